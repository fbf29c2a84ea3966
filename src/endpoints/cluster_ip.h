/* clusterIPs for Services of a manifest folder that come without one.
 *
 * The address must be the same in every process that reads the same folder (dns, one proxy a node)
 * and after every restart, so it is a function of the set of Services only: each prefers the slot
 * hash(namespace/name) of the range, contested slots go to the first in order of (namespace, name),
 * the others probe on. Explicit addresses are never given away.
 *
 * Like an API server's, the lowest part of a range (1/16 of it, at most 256 addresses) is left to
 * addresses chosen by people until the rest is full; and Services without ipFamilies get those of
 * the ranges: the first range's, and the second's when ipFamilyPolicy asks for two. */
#pragma once

#include "base/ip.h"
#include "kube/service.h"
#include "store/store.h"

#define CLUSTER_IP_DEFAULT_V4 "10.96.0.0/16"
#define CLUSTER_IP_DEFAULT_V6 "fd00:10:96::/112"

struct cluster_ip_allocator;

/* Sits between a source and the store: put the source's Services in here. ranges: at most one a
 * family. */
struct cluster_ip_allocator *cluster_ip_new(struct store *store, const struct ip_prefix *ranges,
                                            size_t n_ranges);
/* One sentence for each Service that gets no address, or one that another has. */
void cluster_ip_on_problem(struct cluster_ip_allocator *a,
                           void (*problem)(void *ctx, const char *text), void *ctx);
void cluster_ip_free(struct cluster_ip_allocator *a);
void cluster_ip_put(struct cluster_ip_allocator *a, struct object *service); /* takes ownership */
void cluster_ip_delete(struct cluster_ip_allocator *a, const char *ns, const char *name);
/* Until now Services that want an address were collected; from here on each is stored at once (the
 * first full list is in). */
void cluster_ip_synced(struct cluster_ip_allocator *a);
