/* What a running lab looks like: nodes, pods, addresses, readiness. */
#pragma once

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

/* The file that leads a kubectl of this machine to the lab's own API; false: it has none. */
bool report_kubeconfig(const char *dir, char out[PATH_MAX]);
int report_status(const char *dir, FILE *out, struct err *e);
