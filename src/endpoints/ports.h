/* Order and sameness of the ports that slices and Endpoints tell. */
#pragma once

#include "kube/slice.h"

int port_compare(const void *a, const void *b); /* by name, protocol, number; for qsort() */
/* Both sorted: the same, their application protocols included? */
bool ports_equal(const struct slice_port *a, const struct slice_port *b, size_t n);
