/* Which backend sits in which slot of a virtual address. A new connection draws a slot number below
 * the count of backends, so the slots must be dense; apart from that a backend keeps its slot, so
 * that a change of one endpoint is a change of one or two map elements, whatever the list's length.
 *
 * (For session affinity, where clients remember slot numbers, a stricter rule will be needed: a
 * freed slot may not be given to another backend while a client is bound to it. It belongs here.)
 */
#pragma once

#include "proxy/vip.h"

/* Fills out[0 .. n-1] with the n sorted backends of `new`, given what the slots hold now. */
void slots_plan(const struct backend *old, uint32_t n_old, const struct backend *new, uint32_t n,
                struct backend *out);
