/* One object that a controller looks after, by namespace and name: when it is looked at next, what
 * is to be written for it, and what has been written but did not come back yet. */
#pragma once

#include "base/vec.h"
#include "endpoints/due_queue.h"
#include "endpoints/plan.h"
#include "endpoints/reconcile.h"

struct controller;
struct hint_state;

struct op {
    enum write_op op;
    struct object *object; /* NULL: deleted */
    char *name, *uid;      /* of what there was; NULL: created */
};

/* A write that the store does not show yet. */
struct expected {
    char *name, *uid, *version; /* version NULL: it will be gone */
    int64_t until_ns;           /* not believed in any more */
};

struct work {
    struct controller *controller;
    char *namespace, *name;
    struct due due;
    int64_t held_until_ns;
    unsigned failures;                   /* in a row */
    bool busy;                           /* ops are being written */
    bool again;                          /* it has changed meanwhile */
    bool stale;                          /* in the queue until the last writes have come back */
    bool incomplete;                     /* Pods were left out as their Node is not known yet */
    bool orphan;                         /* Endpoints: their Service is gone */
    int64_t trigger_ns, used_trigger_ns; /* what led to the next sync, to this one; 0: unknown */
    int64_t queued_ns, begun_ns;         /* for metrics */
    VEC(struct op) ops;
    size_t at; /* the op that is next or under way */
    VEC(struct expected) expected;
    struct hint_state *hints; /* slices: those by zones; or NULL */
    struct work_totals {
        unsigned endpoints, slices, ideal; /* as they were wanted last */
        unsigned distribution;             /* of traffic, by slice_metrics.c; 0: none */
    } totals;
    VEC(char *) lost; /* uids of what went while ops were being written */
};

void work_free(struct work *w);
/* Takes the objects out of the plan. */
void work_take_ops(struct work *w, struct plan *p);
/* An object of the work's name is to go, whether the store knows it or not. */
void work_take_deletion(struct work *w);
void work_drop_ops(struct work *w);
/* What the store shows already need not be waited for. */
void work_expect(struct work *w, const struct op *op, const struct write_result *result,
                 const struct store *store, enum kind kind, int64_t now);
/* Is the change exactly what was expected? what: the object that changed; now: as it is, NULL:
 * gone. */
bool work_confirm(struct work *w, const struct meta *what, const struct object *now);
void work_forget_lost(struct work *w);
/* 0: the store shows all that was written. Else until when it is waited for. */
int64_t work_stale_until(struct work *w, const struct store *store, enum kind kind, int64_t now);
