/* The EndpointSlice controller: keeps the slices of every Service with a selector as plan.h wants
 * them, by writing to wherever they live. It reads one store, in which what it has written turns up
 * again some time later, and writes through a function of its owner, so that the slices may be on
 * an API server or in the same process.
 *
 * Each Service is in the queue at most once. One sync compares its slices with what they ought to
 * be and makes the writes that are missing, one after the other: creations, then updates, then
 * deletions, so that no endpoint is missing in between. A Service whose last writes have not come
 * back yet waits for them, as otherwise it would make slices twice. Writes that are refused
 * (somebody else was faster; an object is not valid) are computed anew after a pause that grows
 * with each failure; while the server is away or asks for patience nothing is written at all.
 *
 * Slices of Services that are gone are left to the garbage collection by owner, as the original
 * leaves them. Control thread only. Source: Kubernetes EndpointSlice controller. */
#pragma once

#include "kube/slice.h"
#include "store/store.h"

#define RECONCILE_BUSY_MAX 200 /* Services that are written at the same time */

enum write_op { WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE, WRITE_OPS };

struct slice_write {
    enum write_op op;
    const char *namespace, *name; /* name: of what is updated or deleted */
    const struct slice *slice;    /* NULL: deleted. Lives until the write has ended */
    void *token;                  /* for reconcile_written() */
};

enum write_outcome {
    WRITE_OK,
    WRITE_REFUSED, /* for reasons of this object: conflict, gone, not valid, not allowed */
    WRITE_ENDING,  /* its namespace is being deleted: nothing can be made in it any more */
    WRITE_AWAY,    /* no answer, or the server has too much to do */
};

struct write_result {
    enum write_outcome outcome;
    long wait_s;                      /* the server asks us to wait so long; 0: it says nothing */
    const char *name, *uid, *version; /* of what there is now (WRITE_OK, not for deletions) */
    const char *text;                 /* what went wrong */
};

struct reconcile_options {
    unsigned max_endpoints; /* of a slice, 1 to 1000 */
    unsigned busy_max;      /* Services written at the same time, 1 to RECONCILE_BUSY_MAX */
    unsigned qps, burst;    /* writes a second, and how many may be saved up; both at least 1 */
    int64_t batch_ns;       /* changes of Pods wait so long for others */
    /* Begins a write. reconcile_written() is called once for each, from within or later. */
    void (*write)(void *ctx, const struct slice_write *w);
    void (*poke)(void *ctx);   /* reconcile_run() has something to do, or earlier than it said */
    int64_t (*now)(void *ctx); /* NULL: the monotonic clock */
    void *ctx;
};

struct reconcile;

/* Nothing happens before reconcile_start(). The store must outlive it. */
struct reconcile *reconcile_new(struct store *store, const struct reconcile_options *o);
void reconcile_free(struct reconcile *r); /* NULL is fine */

/* From now on it may write: every Service is looked at. The store must be synced. */
void reconcile_start(struct reconcile *r);
/* No write any more. Those under way are forgotten: the owner cancels them, and does not call
 * reconcile_written() for them. Can be started again. */
void reconcile_stop(struct reconcile *r);
/* Does what is due. Returns when it wants to be called again, as `now` counts; INT64_MAX: when
 * poked. */
int64_t reconcile_run(struct reconcile *r);
void reconcile_written(void *token, const struct write_result *result);
/* Nothing queued and nothing under way? */
bool reconcile_is_idle(const struct reconcile *r);
