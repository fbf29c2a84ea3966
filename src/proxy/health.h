/* The proxy's two HTTP servers: health (kube-proxy's 10256) and metrics (10249).
 *
 * Health: /healthz and /livez, 200 or 503. A family is healthy unless a change has waited longer
 * than the time-out; /healthz also says 503 while our
 * Node is being deleted or about to be. Metrics:
 * /metrics, /proxyMode, /healthz. The servers run on threads of their own; the control thread
 * reports here. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "proxy/metrics.h"

#include <pthread.h>

struct family_health {
    int64_t updated_ns; /* Unix ns of the last success */
    int64_t queued_ns;  /* clock_ns() of the oldest change that waits, 0: none */
    bool unused;        /* nothing is written for it */
};

struct health {
    pthread_mutex_t lock;
    struct family_health family[FAMILIES];
    bool node_leaving;
    int64_t timeout_ns;
    struct proxy_metrics *metrics;
    const char *mode; /* what /proxyMode says */
};

void health_init(struct health *h, struct proxy_metrics *m, const char *mode, int64_t timeout_ns);
void health_done(struct health *h);

void health_without(struct health *h, unsigned family); /* it is unused from now on */
void health_queued(struct health *h);                   /* a change waits, for both families */
void health_updated(struct health *h, unsigned family);
void health_node(struct health *h, bool leaving);

enum health_role { HEALTH_PROBES, HEALTH_METRICS };
struct health_server;

/* Returns 0, or a negative code with the address in e. */
int health_serve(struct health *h, enum health_role role, const struct ip *ip, uint16_t port,
                 struct health_server **ret, struct err *e);
void health_stop(struct health_server *s);

/* Is no family behind? The node's own state does not matter. */
bool health_is_good(struct health *h);

/* The answer of /healthz (ready) or /livez as JSON; returns the HTTP status. */
int health_answer(struct health *h, bool ready, struct strbuf *out);
