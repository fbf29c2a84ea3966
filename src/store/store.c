#include "store/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/index.h"
#include "kube/slice.h"

#include <assert.h>
#include <string.h>

/* The slices of one Service. */
struct slice_set {
    uint32_t n, capacity;
    const struct object *items[];
};

/* A change that was asked for while another was being told. */
struct pending {
    struct pending *next;
    struct object *put; /* NULL: delete */
    enum kind kind;
    const char *name; /* behind ns in text */
    char ns[];
};

struct store {
    struct index objects[KIND_COUNT];
    struct index slices_of; /* struct slice_set by namespace and Service */
    struct listener *listeners, *next_told;
    struct pending *queue, **queue_end;
    uint64_t revision;
    int64_t changed_unix;
    bool telling, synced, sync_wanted;
};

static struct index_key object_key(const void *item)
{
    const struct object *o = item;
    return (struct index_key){ o->meta.namespace, o->meta.name };
}

static struct index_key set_key(const void *item)
{
    const struct slice *s = slice_of(((const struct slice_set *)item)->items[0]);
    return (struct index_key){ s->object.meta.namespace, s->service };
}

struct store *store_new(void)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->queue_end = &s->queue;
    s->slices_of.key = set_key;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        s->objects[kind].key = object_key;
    return s;
}

static void free_queue(struct store *s)
{
    while (s->queue) {
        struct pending *p = s->queue;
        s->queue = p->next;
        object_free(p->put);
        free(p);
    }
}

void store_free(struct store *s)
{
    if (!s)
        return;
    free_queue(s);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        index_each(e, &s->objects[kind]) object_free(e->item);
        index_done(&s->objects[kind]);
    }
    index_each(e, &s->slices_of) free(e->item);
    index_done(&s->slices_of);
    free(s);
}

static const char *service_of_slice(const struct object *o)
{
    return o->kind == KIND_SLICE ? slice_of(o)->service : "";
}

static void index_slice(struct store *s, const struct object *o)
{
    const char *service = service_of_slice(o);
    if (!*service)
        return;
    struct slice_set *set = index_find(&s->slices_of, o->meta.namespace, service);
    uint32_t n = set ? set->n : 0;
    bool grows = !set || n == set->capacity;
    if (grows) {
        /* Out of the index while it may move in memory. */
        (void)index_remove(&s->slices_of, o->meta.namespace, service);
        uint32_t capacity = n ? 2 * n : 1;
        set = xrealloc(set, sizeof *set + capacity * sizeof set->items[0]);
        set->capacity = capacity;
    }
    set->items[n] = o;
    set->n = n + 1;
    if (grows)
        (void)index_put(&s->slices_of, set);
}

static uint32_t place_in(const struct slice_set *set, const struct object *o)
{
    uint32_t i = 0;
    while (set->items[i] != o)
        i++;
    return i;
}

/* A set's key lies in its first slice; any of them will do. */
static void unindex_slice(struct store *s, const struct object *o)
{
    const char *service = service_of_slice(o);
    if (!*service)
        return;
    struct slice_set *set = index_find(&s->slices_of, o->meta.namespace, service);
    if (set->n == 1) {
        free(index_remove(&s->slices_of, o->meta.namespace, service));
        return;
    }
    set->items[place_in(set, o)] = set->items[--set->n];
}

/* Most changes leave a slice with its Service. */
static void reindex_slice(struct store *s, const struct object *old, const struct object *new)
{
    const char *service = service_of_slice(new);
    if (old && *service && strcmp(service_of_slice(old), service) == 0) {
        struct slice_set *set = index_find(&s->slices_of, new->meta.namespace, service);
        set->items[place_in(set, old)] = new;
        return;
    }
    if (old)
        unindex_slice(s, old);
    index_slice(s, new);
}

static void tell(struct store *s, struct object *old, const struct object *new)
{
    s->changed_unix = clock_unix();
    struct change c = {
        .revision = ++s->revision,
        .kind = new ? new->kind : old->kind,
        .old = old,
        .new = new,
    };
    for (struct listener *l = s->listeners; l; l = s->next_told) {
        s->next_told = l->next;
        l->changed(l->ctx, &c);
    }
    object_free(old);
}

static void apply_put(struct store *s, struct object *o)
{
    struct index *map = &s->objects[o->kind];
    struct object *old = index_put(map, o);
    if (old && object_equal(old, o)) {
        (void)index_put(map, old);
        object_free(o);
        return;
    }
    reindex_slice(s, old, o);
    tell(s, old, o);
}

static void apply_delete(struct store *s, enum kind kind, const char *ns, const char *name)
{
    struct object *old = index_remove(&s->objects[kind], ns, name);
    if (!old)
        return;
    unindex_slice(s, old);
    tell(s, old, NULL);
}

static void tell_synced(struct store *s)
{
    s->synced = true;
    for (struct listener *l = s->listeners; l; l = s->next_told) {
        s->next_told = l->next;
        if (l->synced)
            l->synced(l->ctx);
    }
}

/* Carries out what listeners asked for meanwhile, in order, until nothing is left. */
static void drain(struct store *s)
{
    while (s->queue || s->sync_wanted) {
        struct pending *p = s->queue;
        if (!p) {
            s->sync_wanted = false;
            tell_synced(s);
            continue;
        }
        s->queue = p->next;
        if (!s->queue)
            s->queue_end = &s->queue;
        if (p->put)
            apply_put(s, p->put);
        else
            apply_delete(s, p->kind, p->ns, p->name);
        free(p);
    }
    s->telling = false;
}

static void enqueue(struct store *s, struct pending *p)
{
    *s->queue_end = p;
    s->queue_end = &p->next;
}

void store_put(struct store *s, struct object *o)
{
    if (s->telling) {
        struct pending *p = xcalloc(1, sizeof *p);
        p->put = o;
        enqueue(s, p);
        return;
    }
    s->telling = true;
    apply_put(s, o);
    drain(s);
}

void store_delete(struct store *s, enum kind kind, const char *ns, const char *name)
{
    if (s->telling) {
        size_t a = strlen(ns) + 1, b = strlen(name) + 1;
        struct pending *p = xcalloc(1, sizeof *p + a + b);
        p->kind = kind;
        memcpy(p->ns, ns, a);
        p->name = memcpy(p->ns + a, name, b);
        enqueue(s, p);
        return;
    }
    s->telling = true;
    apply_delete(s, kind, ns, name);
    drain(s);
}

void store_set_synced(struct store *s)
{
    if (s->synced || s->sync_wanted)
        return;
    s->sync_wanted = true;
    if (s->telling)
        return;
    s->telling = true;
    drain(s);
}

const struct object *store_get(const struct store *s, enum kind kind, const char *ns,
                               const char *name)
{
    return index_find(&s->objects[kind], ns, name);
}

size_t store_count(const struct store *s, enum kind kind)
{
    return s->objects[kind].n;
}

uint64_t store_revision(const struct store *s)
{
    return s->revision;
}

int64_t store_changed_unix(const struct store *s)
{
    return s->changed_unix;
}

bool store_is_synced(const struct store *s)
{
    return s->synced;
}

void store_each(const struct store *s, enum kind kind, const char *ns,
                void (*fn)(void *ctx, const struct object *o), void *ctx)
{
    index_each(e, &s->objects[kind])
    {
        const struct object *o = e->item;
        if (!ns || strcmp(o->meta.namespace, ns) == 0)
            fn(ctx, o);
    }
}

void store_each_slice_of(const struct store *s, const char *ns, const char *service,
                         void (*fn)(void *ctx, const struct object *o), void *ctx)
{
    const struct slice_set *set = index_find(&s->slices_of, ns, service);
    for (uint32_t i = 0; set && i < set->n; i++)
        fn(ctx, set->items[i]);
}

void store_listen(struct store *s, struct listener *l)
{
    struct listener **end = &s->listeners;
    while (*end)
        end = &(*end)->next;
    l->next = NULL;
    *end = l;
    if (s->synced && l->synced)
        l->synced(l->ctx);
}

void store_unlisten(struct store *s, struct listener *l)
{
    for (struct listener **at = &s->listeners; *at; at = &(*at)->next) {
        if (*at != l)
            continue;
        *at = l->next;
        if (s->next_told == l)
            s->next_told = l->next;
        return;
    }
}
