/* Subsets of Endpoints in their one canonical form: every port with the same addresses, ready or
 * not, is in the same subset, no address (by IP and the uid of its target) is in a subset twice,
 * and one that is not ready for a port by any source is not ready. Addresses are sorted by text and
 * uid, ports and subsets by name, protocol and number: the same endpoints always read the same.
 *
 * Source: the canonical layout of Kubernetes' Endpoints (RepackSubsets). */
#pragma once

#include "base/arena.h"
#include "kube/endpoints.h"

#define SUBSETS_PORTS_MAX     10000   /* ports of all subsets */
#define SUBSETS_ADDRESSES_MAX 4000000 /* addresses over all ports that differ, before packing */

struct subsets {
    const struct endpoints_subset *items;
    uint32_t n;
};

/* Texts are the input's, arrays are in the arena. False: more than the limits allow; *ret is
 * empty then. */
bool subsets_pack(const struct endpoints_subset *in, uint32_t n, struct arena *a,
                  struct subsets *ret);
/* The same, in any order of subsets, ports and addresses? Versions of targets do not count. */
bool subsets_equal(const struct endpoints_subset *x, uint32_t n_x, const struct endpoints_subset *y,
                   uint32_t n_y, struct arena *a);
