/* A cluster: the store with its objects, and where they come from. Folders of manifests have in
 * front of the store what an API server and its controllers would do: Services get their
 * clusterIPs, Services with a selector their EndpointSlices, and the namespaces that every cluster
 * has are there. Objects of an API server or a registry are taken as they are. Problems are logged
 * as warnings.
 *
 * Control thread only. */
#pragma once

#include "base/err.h"
#include "dns/plugin.h"
#include "store/store.h"

#include <uv.h>

struct cluster;
struct api_client;
struct registry;

/* Reads the folders before it returns and then follows them on the loop (NULL: reads once); an API
 * server is first asked from the loop, which must be there. The
 * range is one or two of different families, "10.96.0.0/16,fd00:10:96::/112"; the first one's
 * family is that of Services that name none. NULL: the defaults of endpoints/cluster_ip.h. */
int cluster_open(uv_loop_t *loop, const struct object_source *source, struct cluster **ret,
                 struct err *e);
/* With the objects of a registry of this process, which must outlive it: synced at once, and
 * followed without a connection (registry/feed.h). */
struct cluster *cluster_of_registry(struct registry *r);
struct store *cluster_store(struct cluster *c);
/* For requests of one's own to the same API server; NULL: there is none. */
struct api_client *cluster_client(struct cluster *c);
/* NULL is fine. The loop must run on for its handles to be closed. */
void cluster_close(struct cluster *c);

#define CLUSTERS_MAX 64 /* different sets of folders that one Corefile may name */

/* Those that the blocks of a Corefile name: whoever asks for the same shares one. */
struct clusters {
    uv_loop_t *loop;       /* NULL: the folders are read once */
    struct cluster *local; /* NULL, or what those mean who name neither folder nor server */
    struct cluster *first;
    unsigned n;
};

/* dns_options.open_source; ctx: a struct clusters. */
int clusters_open_source(void *ctx, const struct object_source *source, struct store **ret,
                         struct err *e);
/* Walks all of them: NULL starts and ends. */
struct cluster *clusters_next(const struct clusters *all, const struct cluster *c);
void clusters_close(struct clusters *all);
