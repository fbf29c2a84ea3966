/* The store: typed maps of objects by namespace and name, with one writer and a change feed.
 *
 * It lives on the control thread; nothing here is thread-safe. Sources write, consumers (DNS
 * snapshot, endpoint planner, proxy model) listen and read. Every change raises the revision by
 * one. Listeners are called at once, in the order in which they were added, while both the old and
 * the new object are alive; what they want to keep they copy. A listener may write to the store
 * (the planner does): those changes are queued and told after the current one. */
#pragma once

#include "kube/object.h"

#include <stdint.h>

struct store;

struct change {
    uint64_t revision;
    enum kind kind;
    const struct object *old; /* NULL: added */
    const struct object *new; /* NULL: deleted */
};

struct store *store_new(void);
void store_free(struct store *s);

/* Takes ownership. An object equal to what is there is dropped without a change. */
void store_put(struct store *s, struct object *o);
void store_delete(struct store *s, enum kind kind, const char *ns, const char *name);
const struct object *store_get(const struct store *s, enum kind kind, const char *ns,
                               const char *name);
size_t store_count(const struct store *s, enum kind kind);
uint64_t store_revision(const struct store *s);
int64_t store_changed_unix(const struct store *s); /* Unix seconds of the last change, 0: never */

/* Calls fn for each object of a kind (ns NULL: all namespaces); arbitrary order; the store must not
 * be changed meanwhile. */
void store_each(const struct store *s, enum kind kind, const char *ns,
                void (*fn)(void *ctx, const struct object *o), void *ctx);
/* Each slice whose service label is ns/service. */
void store_each_slice_of(const struct store *s, const char *ns, const char *service,
                         void (*fn)(void *ctx, const struct object *o), void *ctx);

/* The source has delivered its first full list (told once; later calls do nothing). */
void store_set_synced(struct store *s);
bool store_is_synced(const struct store *s);

struct listener {
    void (*changed)(void *ctx, const struct change *c);
    void (*synced)(void *ctx); /* may be NULL; called at once when the store already is */
    void *ctx;
    struct listener *next; /* the store's */
};

/* The listener must outlive its membership. Not told of what is already there: read it first. */
void store_listen(struct store *s, struct listener *l);
void store_unlisten(struct store *s, struct listener *l);
