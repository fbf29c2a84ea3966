/* A cluster from folders of manifests: the store, and in front of it what an API server and its
 * controllers would do. Services get their clusterIPs, Services with a selector their
 * EndpointSlices, and the namespaces that every cluster has are there. Problems are logged as
 * warnings.
 *
 * Control thread only. */
#pragma once

#include "base/err.h"
#include "store/store.h"

#include <uv.h>

struct cluster;

/* Reads the folders before it returns and then follows them on the loop (NULL: reads once).
 * service_cluster_ip_range: one range or two of different families,
 * "10.96.0.0/16,fd00:10:96::/112"; the first one's family is that of Services that name none. NULL:
 * the defaults of endpoints/cluster_ip.h. */
int cluster_open_dirs(uv_loop_t *loop, const char *const *dirs, size_t n,
                      const char *service_cluster_ip_range, struct cluster **ret, struct err *e);
/* The same, but whoever asks for the same folders, range and loop shares one cluster. */
int cluster_get(uv_loop_t *loop, const char *const *dirs, size_t n,
                const char *service_cluster_ip_range, struct cluster **ret, struct err *e);
struct store *cluster_store(struct cluster *c);
/* Once for each open or get. NULL is fine. The loop must run on for its handles to be closed. */
void cluster_close(struct cluster *c);
