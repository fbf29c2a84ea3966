#include "endpoints/planner.h"

#include "base/mem.h"
#include "base/str.h"
#include "endpoints/plan_mirror.h"
#include "endpoints/tracker.h"

#include <string.h>

struct planner {
    struct store *store;
    struct listener listener;
    struct tracker tracker;
    VEC(struct member_set *) dirty;
    bool planning; /* our own writes come back as changes */
};

static void mark(void *ctx, struct member_set *set)
{
    struct planner *p = ctx;
    if (set->dirty)
        return;
    set->dirty = true;
    vec_push(&p->dirty, set);
}

/* The slices of a Service, ours and those of the source. */
struct slices {
    VEC(const struct slice *) ours;
    bool foreign;
};

static void sort_slice(void *ctx, const struct object *o)
{
    struct slices *s = ctx;
    if (slice_of(o)->computed)
        vec_push(&s->ours, slice_of(o));
    else
        s->foreign = true;
}

static struct slices slices_of(const struct planner *p, const struct meta *service)
{
    struct slices s = { 0 };
    store_each_slice_of(p->store, service->namespace, service->name, sort_slice, &s);
    return s;
}

static void delete_slice(struct planner *p, const char *ns, const char *name)
{
    cleanup_free char *ns_copy = xstrdup(ns),
                      *name_copy = xstrdup(name); /* they may be the object's */
    store_delete(p->store, KIND_SLICE, ns_copy, name_copy);
}

static void delete_all(struct planner *p, const struct meta *service, const struct slices *s)
{
    vec_each (it, &s->ours)
        delete_slice(p, service->namespace, (*it)->object.meta.name);
}

struct look_up {
    struct store *store;
    const char *ns;
};

static const struct node *find_node(void *ctx, const char *name)
{
    const struct look_up *l = ctx;
    const struct object *o = store_get(l->store, KIND_NODE, "", name);
    return o ? node_of(o) : NULL;
}

static bool is_taken(void *ctx, const char *name)
{
    const struct look_up *l = ctx;
    return store_get(l->store, KIND_SLICE, l->ns, name) != NULL;
}

static void carry_out(struct planner *p, const char *ns, struct plan *plan)
{
    for (size_t i = 0; i < plan->n_dels; i++)
        delete_slice(p, ns, plan->dels[i]->meta.name);
    for (size_t i = 0; i < plan->n_puts; i++)
        store_put(p->store, plan->puts[i]);
    plan_done(plan);
}

static void compute(struct planner *p, const struct member_set *set, const struct slices *slices)
{
    const char *ns = set->service->object.meta.namespace;
    struct look_up look_up = { p->store, ns };
    struct plan plan;
    plan_build(&(struct plan_input){ .service = set->service,
                                     .pods = set->pods.items,
                                     .n_pods = set->pods.n,
                                     .node = find_node,
                                     .taken = is_taken,
                                     .ctx = &look_up,
                                     .existing = slices->ours.items,
                                     .n_existing = slices->ours.n },
               &plan);
    carry_out(p, ns, &plan);
}

/* Endpoints without slices of their own, as old manifests have them, are told as slices. */
static void mirror(struct planner *p, const struct endpoints *e, const struct slices *slices)
{
    struct look_up look_up = { p->store, e->object.meta.namespace };
    struct mirror_report report;
    struct plan plan;
    mirror_build(&(struct mirror_input){ .endpoints = e,
                                         .existing = slices->ours.items,
                                         .n_existing = slices->ours.n,
                                         .taken = is_taken,
                                         .ctx = &look_up },
                 &plan, &report);
    carry_out(p, e->object.meta.namespace, &plan);
}

/* A Service, or what would be one, whose Pods are nobody's business here. */
static void on_unwanted(void *ctx, const struct meta *service)
{
    struct planner *p = ctx;
    struct slices s = slices_of(p, service);
    const struct object *o = store_get(p->store, KIND_SERVICE, service->namespace, service->name);
    const struct object *e = store_get(p->store, KIND_ENDPOINTS, service->namespace, service->name);
    if (!s.foreign && mirror_applies(o ? service_of(o) : NULL, e ? endpoints_of(e) : NULL))
        mirror(p, endpoints_of(e), &s);
    else
        delete_all(p, service, &s);
    vec_done(&s.ours);
}

static void plan_set(struct planner *p, struct member_set *set)
{
    struct slices slices = slices_of(p, &set->service->object.meta);
    set->dirty = false;
    compute(p, set, &slices);
    vec_done(&slices.ours);
}

static void plan_dirty(struct planner *p)
{
    if (p->planning)
        return;
    p->planning = true;
    for (size_t i = 0; i < p->dirty.n; i++)
        if (p->dirty.items[i])
            plan_set(p, p->dirty.items[i]);
    vec_clear(&p->dirty);
    p->planning = false;
}

static void forget(void *ctx, struct member_set *set)
{
    struct planner *p = ctx;
    for (size_t i = 0; i < p->dirty.n; i++)
        if (p->dirty.items[i] == set)
            p->dirty.items[i] = NULL;
}

/* Endpoints that somebody else maintains are left to them; on a copy of a real cluster that is all
 * of them, and costs nothing here. */
static bool is_ours(void *ctx, const struct service *service)
{
    struct slices s = slices_of(ctx, &service->object.meta);
    vec_done(&s.ours);
    return !s.foreign;
}

static void consider_owner(struct planner *p, const struct slice *slice)
{
    const struct object *o = NULL;
    if (slice && *slice->service)
        o = store_get(p->store, KIND_SERVICE, slice->object.meta.namespace, slice->service);
    if (o)
        tracker_consider(&p->tracker, service_of(o));
}

/* Our own writes come back as changes, too; they are no news. */
static void slice_changed(struct planner *p, const struct slice *old, const struct slice *new)
{
    if ((!old || old->computed) && (!new || new->computed))
        return;
    consider_owner(p, old);
    consider_owner(p, new);
}

static void endpoints_changed(struct planner *p, const struct meta *m)
{
    const struct object *o = store_get(p->store, KIND_SERVICE, m->namespace, m->name);
    if (o && !service_selects(service_of(o)))
        on_unwanted(p, m);
}

static void on_change(void *ctx, const struct change *c)
{
    struct planner *p = ctx;
    if (!p->tracker.started)
        return;
    if (c->kind == KIND_ENDPOINTS)
        endpoints_changed(p, c->new ? &c->new->meta : &c->old->meta);
    else if (c->kind == KIND_SLICE)
        slice_changed(p, c->old ? slice_of(c->old) : NULL, c->new ? slice_of(c->new) : NULL);
    else
        tracker_change(&p->tracker, c);
    plan_dirty(p);
}

struct found {
    VEC(const struct object *) objects;
};

static void collect(void *ctx, const struct object *o)
{
    vec_push(&((struct found *)ctx)->objects, o);
}

static void mirror_all(struct planner *p)
{
    struct found all = { 0 };
    store_each(p->store, KIND_ENDPOINTS, NULL, collect, &all);
    vec_each (o, &all.objects)
        endpoints_changed(p, &(*o)->meta);
    vec_done(&all.objects);
}

/* Everything at once, so that each Service is planned once and not with each of its Pods. */
void planner_start(struct planner *p)
{
    if (p->tracker.started)
        return;
    tracker_start(&p->tracker);
    plan_dirty(p);
    mirror_all(p);
}

static void on_synced(void *ctx)
{
    planner_start(ctx);
}

struct planner *planner_new(struct store *store)
{
    struct planner *p = xcalloc(1, sizeof *p);
    p->store = store;
    p->tracker = (struct tracker){ .store = store,
                                   .wanted = is_ours,
                                   .dirty = mark,
                                   .untracked = forget,
                                   .unwanted = on_unwanted,
                                   .ctx = p };
    p->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = p };
    store_listen(store, &p->listener);
    return p;
}

void planner_free(struct planner *p)
{
    if (!p)
        return;
    store_unlisten(p->store, &p->listener);
    tracker_done(&p->tracker);
    vec_done(&p->dirty);
    free(p);
}
