/* What the three controllers have in common, and how they differ. reconcile.c runs them;
 * control_slices.c, control_endpoints.c and control_mirror.c are their rows. Private to
 * endpoints/. */
#pragma once

#include "base/metric.h"
#include "base/rand.h"
#include "base/vec.h"
#include "endpoints/topology.h"
#include "endpoints/tracker.h"
#include "endpoints/work.h"
#include "kube/index.h"

enum sync_result { SYNC_SUCCESS, SYNC_STALE, SYNC_ERROR, SYNC_AWAY, SYNC_RESULTS };

struct controller_type {
    const char *component; /* who it is in Events */
    const char *queue;     /* its name in the metrics of queues */
    const char *about;     /* the kind of what it looks after, for people */
    const char *writes;    /* what it writes, for people */
    enum kind kind;        /* the same */

    /* Everything that may be its business is put into the queue. */
    void (*start)(struct controller *c);
    /* The members of a Service have changed, or it has; a Service is not tracked any more. May be
     * NULL. */
    void (*dirty)(struct controller *c, struct member_set *set);
    void (*untracked)(struct controller *c, const struct meta *service);
    /* Every change of the store; of what it writes, `echo` says whether it was expected. */
    void (*changed)(struct controller *c, const struct change *change);
    /* Is there anything left to look after? Then the work stays, and what is being written goes
     * on. */
    bool (*wanted)(const struct work *w);
    /* Fills w->ops with what is missing. */
    void (*plan)(struct work *w);
    /* A write was refused: says so in an Event. */
    void (*refused)(struct work *w, const struct op *op, const char *text);
};

#define DISTRIBUTIONS 4 /* none, and three values of trafficDistribution */

struct controller_metrics {
    metric changes[WRITE_OPS], syncs[SYNC_RESULTS];
    metric adds, retries;
    struct histogram waited, worked;
    _Atomic uint64_t depth;
    /* Of those that write slices: */
    struct histogram added, updated, removed, skipped, took;
    struct histogram changed[2][DISTRIBUTIONS]; /* by topology-mode and trafficDistribution */
    _Atomic int64_t endpoints, slices, ideal, distribution[DISTRIBUTIONS];
};

struct controller {
    const struct controller_type *type; /* NULL: it does not run */
    struct reconcile *r;
    struct index works;
    struct due_queue queue;
    unsigned n_busy, busy_max;
    int64_t batch_ns;
    struct controller_metrics metrics;
};

struct reconcile {
    struct store *store;
    struct reconcile_options o;
    struct listener listener;
    struct tracker tracker;
    struct controller controllers[CONTROLLERS];
    VEC(struct work *) pending; /* with an op to be written as soon as the rate allows */
    double tokens;
    int64_t refilled_ns, blocked_until_ns;
    unsigned away; /* failures in a row that were the server's */
    struct rand rand;
    struct zones zones; /* of the Nodes */
    bool active, pods_changed;
};

extern const struct controller_type control_slices, control_endpoints, control_mirror;

int64_t controller_now(const struct controller *c);
struct work *controller_find(const struct controller *c, const char *ns, const char *name);
/* Found or made. */
struct work *controller_work(struct controller *c, const char *ns, const char *name);
/* controller_type.dirty of those that look after Services. */
void controller_service_dirty(struct controller *c, struct member_set *set);
/* controller_type.untracked of the same: what is written just now is not interrupted, nothing
 * follows it, and what was written last stays. */
void controller_untracked(struct controller *c, const struct meta *service);
/* In the queue, to be looked at when the pause is over; work that failed is held longer. */
void work_schedule(struct work *w, int64_t pause_ns);
/* It has changed by somebody else's hand: a pause after failures is over. */
void work_hurry(struct work *w, int64_t pause_ns);
/* Gone, unless there is something to be done or to be waited for. */
void work_settle(struct work *w);
void controller_settle(struct controller *c, const struct meta *m); /* if there is one */
/* An object that this controller writes has changed: was the change expected? */
bool work_echo(struct work *w, const struct meta *what, const struct object *now);
void controller_metrics_init(struct controller *c);
void controller_metrics_done(struct controller *c);
void slice_metrics_init(struct controller *c);
void slice_metrics_done(struct controller *c);
/* Counts what a plan came to; service NULL: that of a mirror, which left `skipped` addresses out.
 */
void controller_count(struct work *w, const struct plan *p, const struct service *service,
                      unsigned skipped);
/* The work is about to go, and with it what it counted for. */
void controller_uncount(struct work *w);
/* Says something about an object; variadic: the message. */
void controller_event(const struct controller *c, const struct object *about, bool warning,
                      const char *reason, const char *fmt, ...) printf_like(5, 6);

/* 0 is unknown. */
static inline int64_t earliest(int64_t a, int64_t b)
{
    return a && (!b || a < b) ? a : b;
}
