/* Which backend sits in which slot of a list. A new connection draws a slot number below the count
 * of backends, so the slots must be dense; apart from that a backend keeps its slot, so that a
 * change of one endpoint is a change of one or two map elements, whatever the list's length.
 * Clients that are to stay where they are (session affinity) remember endpoints, not slots. */
#pragma once

#include "proxy/portal.h"

/* Fills out[0 .. n-1] with the n sorted backends of `new`, given what the slots hold now. */
void slots_plan(const struct backend *old, uint32_t n_old, const struct backend *new, uint32_t n,
                struct backend *out);
