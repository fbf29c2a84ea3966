/* Pods: defaults and checks. Source: Kubernetes API reference, Pod; pod lifecycle. */
#pragma once

#include "registry/resource.h"

void pod_fill(struct write *w);
void pod_prepare(struct write *w);
void pod_check(struct write *w, struct fault *f);
