/* EndpointSlices and Endpoints: defaults and checks. Source: Kubernetes API reference,
 * EndpointSlice discovery.k8s.io/v1 and Endpoints. */
#pragma once

#include "registry/resource.h"

#define SLICE_ENDPOINTS_MAX 1000
#define SLICE_PORTS_MAX     20000
#define SLICE_ADDRESSES_MAX 100 /* of one endpoint */

void slice_fill(struct write *w);
void slice_check(struct write *w, struct fault *f);
void endpoints_check(struct write *w, struct fault *f);
