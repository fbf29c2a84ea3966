/* The service model: from the store's Services and EndpointSlices to virtual addresses with their
 * backends, for both families. Source: Kubernetes, "Virtual IPs and Service Proxies".
 *
 * A listener marks Services dirty; model_refresh() recomputes only those and collects what came out
 * differently. Between two refreshes the vips do not move, so that another thread may read them.
 * Not thread-safe otherwise: it lives on the store's thread.
 *
 * What is left out, as the original does: headless Services, type ExternalName, Services and slices
 * with the label service.kubernetes.io/service-proxy-name (another proxy's), slices of FQDN
 * addresses. Features beyond the cluster IP are not served; each Service that asks for some is
 * reported once, by name. When two Services claim the same address, protocol and port, the first by
 * name gets it and the other is reported. */
#pragma once

#include "proxy/vip.h"
#include "store/store.h"

struct model;

struct model_options {
    const char *node_name;                     /* copied */
    void (*dirty)(void *ctx);                  /* something may have changed; may be NULL */
    void (*warn)(void *ctx, const char *text); /* one sentence; may be NULL */
    void *ctx;
};

/* Listens to the store until model_free(); what is there already is taken in. */
struct model *model_new(struct store *store, const struct model_options *o);
void model_free(struct model *m);

bool model_is_dirty(const struct model *m);
/* Recomputes what is dirty. The changes wait for model_take_changes(). */
void model_refresh(struct model *m);

/* The changed keys since the last call, sorted by key, each once, with what is there now. The array
 * is the caller's (free()); the vips live until the next model_refresh(). */
size_t model_take_changes(struct model *m, struct vip_change **ret_changes);
/* All that a family has, sorted by key, as changes. The same ownership. */
size_t model_all(const struct model *m, uint8_t family, struct vip_change **ret_changes);
const struct vip *model_find(const struct model *m, const struct vip_key *key);

struct model_stats {
    size_t services, vips, backends;            /* served now */
    uint64_t service_changes, endpoint_changes; /* seen since the start */
    int64_t dirty_since; /* clock_ns() of the oldest change not yet refreshed, 0: none */
    int64_t trigger_ns;  /* the oldest trigger time among them, Unix ns, 0: none */
    bool node_deleting;  /* our own Node object is being deleted */
};
struct model_stats model_stats(const struct model *m);
