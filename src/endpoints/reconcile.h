/* The endpoint controllers, as a library: they keep the EndpointSlices and the Endpoints of every
 * Service with a selector, and the slices that mirror hand-made Endpoints, as plan.h,
 * plan_endpoints.h and plan_mirror.h want them.
 *
 * They read one store, in which what they have written turns up again some time later, and write
 * through a table of functions of their owner (cmd/api_writer.c). So the objects may live on an API
 * server (`signpost controller`), or in the registry of the process that runs the controllers: its
 * functions write at once and call reconcile_written() before they return, and the object comes
 * back with its new name, uid and version when it is durable. The only demand is that versions of
 * one object grow, or at least differ.
 *
 * Each Service or Endpoints object is in its controller's queue at most once. One sync compares
 * what there is with what ought to be and makes the writes that are missing, one after the other:
 * creations, then updates, then deletions, so that no endpoint is missing in between. An object
 * whose last writes have not come back yet waits for them, as otherwise it would be made twice.
 * Writes that are refused (somebody else was faster; an object is not valid) are computed anew
 * after a pause that grows with each failure; while the server is away or asks for patience nothing
 * is written at all.
 *
 * Slices of Services that are gone are left to the garbage collection by owner, as the originals
 * leave them; Endpoints of such Services are deleted. Control thread only. Source: Kubernetes
 * EndpointSlice, Endpoints and EndpointSliceMirroring controllers. */
#pragma once

#include "kube/event.h"
#include "kube/object.h"
#include "store/store.h"

#define RECONCILE_BUSY_MAX 200 /* objects of one controller that are written at the same time */

enum controller_id {
    CONTROLLER_SLICES,
    CONTROLLER_ENDPOINTS,
    CONTROLLER_MIRROR,
    CONTROLLERS,
};

enum write_op { WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE, WRITE_OPS };

/* What the owner does for the controllers. Objects are EndpointSlices or Endpoints, as their kind
 * says, and live until the write has ended. reconcile_written() is called once for each write, from
 * within or later. */
struct object_writer {
    /* One without a name gets one that begins with its Service's. */
    void (*create)(void *ctx, const struct object *o, void *token);
    /* Only if it still has the version that the object says; else WRITE_REFUSED. */
    void (*update)(void *ctx, const struct object *o, void *token);
    /* One that is not there is as good as deleted: WRITE_OK. */
    void (*remove)(void *ctx, enum kind kind, const char *ns, const char *name, void *token);
    /* Something to be told to people; nothing waits for it. May be NULL. */
    void (*event)(void *ctx, const struct event *e);
    void (*poke)(void *ctx);   /* reconcile_run() has something to do, or earlier than it said */
    int64_t (*now)(void *ctx); /* NULL: the monotonic clock */
    void *ctx;
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
    unsigned max_endpoints;         /* of a slice, 1 to 1000 */
    unsigned max_mirrored;          /* addresses of a subset, 1 to 1000 */
    unsigned qps, burst;            /* writes a second, and how many may be saved up; at least 1 */
    unsigned busy_max[CONTROLLERS]; /* written at the same time, to RECONCILE_BUSY_MAX; 0: the
                                       controller does not run */
    int64_t
        batch_ns[CONTROLLERS]; /* changes of Pods (mirroring: of slices) wait so long for others */
    struct object_writer writer;
};

struct reconcile;

/* Nothing happens before reconcile_start(). The store must outlive it. */
struct reconcile *reconcile_new(struct store *store, const struct reconcile_options *o);
void reconcile_free(struct reconcile *r); /* NULL is fine */

/* From now on it may write: everything is looked at. The store must be synced. */
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
