/* The service model: from the store's Services, EndpointSlices and our own Node to portals, for
 * both families. Source: Kubernetes, "Virtual IPs and Service Proxies".
 *
 * A listener marks Services dirty; model_refresh() recomputes only those and collects what came out
 * differently. Between two refreshes the portals do not move, so that another thread may read them.
 * Not thread-safe otherwise: it lives on the store's thread.
 *
 * What is left out, as the original does: headless Services, type ExternalName, Services and slices
 * with the label service.kubernetes.io/service-proxy-name (another proxy's), slices of FQDN
 * addresses. When two Services claim the same address, protocol and port, the first by name gets it
 * and the other is reported. */
#pragma once

#include "proxy/select.h"
#include "store/store.h"

struct model;

struct model_options {
    const char *node_name;                     /* copied */
    struct ip addresses[2];                    /* the node's, in place of what its object says */
    void (*dirty)(void *ctx);                  /* something may have changed; may be NULL */
    void (*warn)(void *ctx, const char *text); /* one sentence; may be NULL */
    void *ctx;
};

/* Listens to the store until model_free(); what is there already is taken in. */
struct model *model_new(struct store *store, const struct model_options *o);
void model_free(struct model *m);

bool model_is_dirty(const struct model *m);
/* Recomputes what is dirty. The changes wait for model_take_changes(). Portals that were replaced
 * by the refresh before this one are freed. */
void model_refresh(struct model *m);

/* The changed portals since the last call, sorted by id, each once, with what was there then and
 * what is there now (the same pointer twice: only its grants changed). The array is the caller's
 * (free()); the portals live until the next model_refresh(). */
size_t model_take_changes(struct model *m, struct portal_change **ret_changes);
/* All that a family has, sorted by id, as changes from nothing. The same ownership. */
size_t model_all(const struct model *m, uint8_t family, struct portal_change **ret_changes);
const struct portal *model_find(const struct model *m, const char *id);

/* Where we are, as far as the store knows; valid until the next change of our Node. */
const struct place *model_place(const struct model *m);

/* A Service whose load balancer asks this node whether it has endpoints. */
struct health_check {
    const char *service; /* "namespace/name" */
    uint16_t port;       /* healthCheckNodePort */
    unsigned n_local;    /* addresses of ready endpoints here */
};
/* In arbitrary order; strings live until the next refresh. The array is the caller's (free()). */
size_t model_health_checks(const struct model *m, struct health_check **ret_checks);

struct model_stats {
    size_t services, portals, backends; /* served now */
    /* Portals whose policy Local finds no endpoint here although there are some: [family index]
     * [0: internal, 1: external]. */
    size_t no_local[2][2];
    uint64_t service_changes, endpoint_changes; /* seen since the start */
    int64_t dirty_since; /* clock_ns() of the oldest change not yet refreshed, 0: none */
    int64_t trigger_ns;  /* the oldest trigger time among them, Unix ns, 0: none */
};
struct model_stats model_stats(const struct model *m);
