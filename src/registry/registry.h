/* The state: all objects in memory, in the order of lists, what happened lately, and the file
 * behind it. One thread (that of the loop); the HTTP side and controllers in this process work on
 * it alike.
 *
 * A write changes the state at once and is durable with the next commit, which comes before the
 * loop waits again: all writes of one turn of the loop share it. Nobody outside is told anything
 * before: replies wait with registry_wait(), and listeners hear of events after the commit. When
 * the file cannot be written the process ends, so that nothing is acknowledged that is not there
 * after the next start. */
#pragma once

#include "base/vec.h"
#include "registry/history.h"
#include "registry/item.h"

#include <uv.h>

#define REGISTRY_OBJECTS_MAX 500000 /* of all resources together */

struct registry;

struct registry_options {
    uv_loop_t *loop;
    const char *path;             /* of the file, or ":memory:" */
    const char *cluster_ip_range; /* "10.96.0.0/16", or two of different families, with a comma */
    long node_port_min, node_port_max;
    size_t events_max; /* of the history; 0: HISTORY_EVENTS_MAX */
};

struct allocator;
struct allocator *registry_allocator(const struct registry *r);

int registry_open(const struct registry_options *o, struct registry **ret, struct err *e);
void registry_close(struct registry *r); /* NULL is fine */

/* ---- reading ---- */

struct item_list {
    struct item **items;
    size_t n, capacity;
};
void item_list_done(struct item_list *l); /* with their references */

int64_t registry_revision(const struct registry *r);
/* Borrowed; NULL: not there. namespace "" for cluster-scoped resources. */
struct item *registry_find(const struct registry *r, const struct resource *of,
                           const char *namespace, const char *name);
/* All of a resource, of one namespace (NULL: of all), in order; with references. */
void registry_list(const struct registry *r, const struct resource *of, const char *namespace,
                   struct item_list *ret);
/* The same as it was at a revision. ERR_NOT_FOUND: that is forgotten. */
int registry_list_at(const struct registry *r, const struct resource *of, const char *namespace,
                     int64_t revision, struct item_list *ret) must_check;
size_t registry_count(const struct registry *r, const struct resource *of);
const struct history *registry_history(const struct registry *r);
/* Forgets the history up to the revision. */
void registry_compact(struct registry *r, int64_t revision);

/* ---- writing ---- */

/* Inserts or replaces; takes over the document and gives it its resourceVersion. The item is
 * borrowed. */
struct item *registry_put(struct registry *r, const struct resource *of, json_t *doc);
void registry_delete(struct registry *r, struct item *i);
/* Calls fn when all that was written so far is durable; at once when it is already. */
void registry_wait(struct registry *r, void (*fn)(void *ctx), void *ctx);
/* Makes it durable now. */
void registry_commit(struct registry *r);

/* ---- being told ---- */

struct registry_listener {
    void (*event)(void *ctx, const struct history_event *e);
    void *ctx;
    /* Around the events of one commit, when there are several; NULL: it makes no difference. */
    void (*many)(void *ctx, bool begin);
    struct registry_listener *next;
};
void registry_listen(struct registry *r, struct registry_listener *l); /* caller's memory */
void registry_unlisten(struct registry *r, struct registry_listener *l);
