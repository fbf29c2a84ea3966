/* The inside of the controller: reconcile.c decides what is done when, reconcile_work.c keeps what
 * is to be written and what has been written but did not come back yet. */
#pragma once

#include "base/metric.h"
#include "base/rand.h"
#include "base/vec.h"
#include "endpoints/due_queue.h"
#include "endpoints/plan.h"
#include "endpoints/reconcile.h"
#include "endpoints/tracker.h"
#include "kube/index.h"

enum sync_result { SYNC_SUCCESS, SYNC_STALE, SYNC_ERROR, SYNC_AWAY, SYNC_RESULTS };

struct slice_list {
    const struct slice **items;
    size_t n, capacity;
};

struct op {
    enum write_op op;
    struct object *slice; /* NULL: deleted */
    char *name, *uid;     /* of what there was; NULL: created */
};

/* A write that the store does not show yet. */
struct expected {
    char *name, *uid, *version; /* version NULL: it will be gone */
    int64_t until_ns;           /* not believed in any more */
};

/* One Service. */
struct work {
    struct reconcile *r;
    char *namespace, *name;
    struct member_set *set; /* NULL: not ours any more */
    struct due due;
    int64_t held_until_ns;
    unsigned failures;                   /* in a row */
    bool busy;                           /* ops are being written */
    bool again;                          /* it has changed meanwhile */
    bool incomplete;                     /* Pods were left out as their Node is not known yet */
    int64_t trigger_ns, used_trigger_ns; /* what led to the next sync, to this one; 0: unknown */
    VEC(struct op) ops;
    size_t at; /* the op that is next or under way */
    VEC(struct expected) expected;
};

struct reconcile_metrics {
    metric changes[WRITE_OPS], syncs[SYNC_RESULTS];
    _Atomic uint64_t depth;
};

struct reconcile {
    struct store *store;
    struct reconcile_options o;
    struct listener listener;
    struct tracker tracker;
    struct index works;
    struct due_queue queue;
    VEC(struct work *) pending; /* with an op to be written as soon as the rate allows */
    unsigned n_busy;
    double tokens;
    int64_t refilled_ns, blocked_until_ns;
    unsigned away; /* failures in a row that were the server's */
    struct rand rand;
    struct reconcile_metrics metrics;
    bool active, pods_changed;
};

/* Takes the objects out of the plan; existing: what it was made from. */
void work_take_ops(struct work *w, const struct plan *p, const struct slice_list *existing);
void work_drop_ops(struct work *w);
void work_expect(struct work *w, const struct op *op, const struct write_result *result,
                 int64_t now);
void work_drop_expected(struct work *w);
/* Is the change exactly what was expected? now: the slice as it is, NULL: gone. */
bool work_confirm(struct work *w, const struct slice *slice, const struct slice *now);
/* 0: the store shows all that was written. Else until when it is waited for. */
int64_t work_stale_until(struct work *w, int64_t now);
void reconcile_metrics(struct reconcile *r);
