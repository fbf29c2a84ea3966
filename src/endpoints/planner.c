#include "endpoints/planner.h"

#include "base/mem.h"
#include "base/str.h"
#include "endpoints/members.h"
#include "endpoints/plan.h"

#include <string.h>

struct planner {
    struct store *store;
    struct listener listener;
    struct members members;
    VEC(struct member_set *) dirty;
    bool started;  /* the store has been read; before that its changes do not count */
    bool planning; /* our own writes come back as changes */
};

static void mark(struct planner *p, struct member_set *set)
{
    if (!set || set->dirty)
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

static void delete_all(struct planner *p, const struct meta *service)
{
    struct slices s = slices_of(p, service);
    vec_each (it, &s.ours)
        delete_slice(p, service->namespace, (*it)->object.meta.name);
    vec_done(&s.ours);
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
    for (size_t i = 0; i < plan.n_dels; i++)
        delete_slice(p, ns, plan.dels[i]);
    for (size_t i = 0; i < plan.n_puts; i++)
        store_put(p->store, plan.puts[i]);
    plan_done(&plan);
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

static void untrack(struct planner *p, struct member_set *set)
{
    for (size_t i = 0; i < p->dirty.n; i++)
        if (p->dirty.items[i] == set)
            p->dirty.items[i] = NULL;
    members_remove_service(&p->members, set->service);
}

static void add_member(void *ctx, struct member_set *set, const struct pod *pod)
{
    member_set_add(set, pod);
    mark(ctx, set);
}

static void remove_member(void *ctx, struct member_set *set, const struct pod *pod)
{
    member_set_remove(set, pod);
    mark(ctx, set);
}

static void add_if_selected(void *ctx, const struct object *o)
{
    struct member_set *set = ctx;
    if (labels_match(&o->meta, set->service->selector, set->service->n_selector))
        member_set_add(set, pod_of(o));
}

static bool same_selector(const struct service *a, const struct service *b)
{
    if (service_selects(a) != service_selects(b) || a->n_selector != b->n_selector)
        return false;
    for (uint16_t i = 0; i < a->n_selector; i++)
        if (!str_eq(a->selector[i].key, b->selector[i].key) ||
            !str_eq(a->selector[i].value, b->selector[i].value))
            return false;
    return true;
}

static bool has_foreign(const struct planner *p, const struct meta *service)
{
    struct slices s = slices_of(p, service);
    vec_done(&s.ours);
    return s.foreign;
}

/* Begins or ends to look after a Service, as is right now. Endpoints that somebody else maintains
 * are left to them; on a copy of a real cluster that is all of them, and costs nothing here. */
static void consider(struct planner *p, const struct service *s)
{
    const struct meta *m = &s->object.meta;
    struct member_set *set = members_find(&p->members, m->namespace, m->name);
    bool ours = service_selects(s) && !has_foreign(p, m);
    if (!ours && set)
        untrack(p, set);
    if (!ours) {
        delete_all(p, m);
        return;
    }
    if (!set) {
        set = members_add_service(&p->members, s);
        store_each(p->store, KIND_POD, m->namespace, add_if_selected, set);
    }
    mark(p, set);
}

static void service_changed(struct planner *p, const struct service *old, const struct service *new)
{
    const struct meta *m = new ? &new->object.meta : &old->object.meta;
    struct member_set *set = members_find(&p->members, m->namespace, m->name);
    if (set && new &&same_selector(old, new)) {
        members_replace_service(&p->members, new);
        mark(p, set);
        return;
    }
    if (set)
        untrack(p, set);
    if (new)
        consider(p, new);
    else
        delete_all(p, m);
}

/* Where labels did not change, the old object is simply exchanged for the new one. */
static void pod_changed(struct planner *p, const struct pod *old, const struct pod *new)
{
    if (old)
        members_each(&p->members, old, remove_member, p);
    if (new)
        members_each(&p->members, new, add_member, p);
}

static bool has_pod_on(const struct member_set *set, const char *node)
{
    for (size_t i = 0; i < set->pods.n; i++)
        if (strcmp(set->pods.items[i]->node, node) == 0)
            return true;
    return false;
}

/* Only the zone of a Node shows in slices. */
static void node_changed(struct planner *p, const struct node *old, const struct node *new)
{
    const char *name = new ? new->object.meta.name : old->object.meta.name;
    if (str_eq(old ? old->zone : "", new ? new->zone : ""))
        return;
    ht_each (e, &p->members.sets) {
        struct member_set *set = e->value;
        if (has_pod_on(set, name))
            mark(p, set);
    }
}

static void consider_owner(struct planner *p, const struct slice *slice)
{
    const struct object *o = NULL;
    if (slice && *slice->service)
        o = store_get(p->store, KIND_SERVICE, slice->object.meta.namespace, slice->service);
    if (o)
        consider(p, service_of(o));
}

/* Our own writes come back as changes, too; they are no news. */
static void slice_changed(struct planner *p, const struct slice *old, const struct slice *new)
{
    if ((!old || old->computed) && (!new || new->computed))
        return;
    consider_owner(p, old);
    consider_owner(p, new);
}

static void on_change(void *ctx, const struct change *c)
{
    struct planner *p = ctx;
    if (!p->started)
        return;
    if (c->kind == KIND_SERVICE)
        service_changed(p, c->old ? service_of(c->old) : NULL, c->new ? service_of(c->new) : NULL);
    else if (c->kind == KIND_POD)
        pod_changed(p, c->old ? pod_of(c->old) : NULL, c->new ? pod_of(c->new) : NULL);
    else if (c->kind == KIND_NODE)
        node_changed(p, c->old ? node_of(c->old) : NULL, c->new ? node_of(c->new) : NULL);
    else if (c->kind == KIND_SLICE)
        slice_changed(p, c->old ? slice_of(c->old) : NULL, c->new ? slice_of(c->new) : NULL);
    plan_dirty(p);
}

static void read_service(void *ctx, const struct object *o)
{
    struct planner *p = ctx;
    if (service_selects(service_of(o)) && !has_foreign(p, &o->meta))
        mark(p, members_add_service(&p->members, service_of(o)));
}

static void read_pod(void *ctx, const struct object *o)
{
    struct planner *p = ctx;
    members_each(&p->members, pod_of(o), add_member, p);
}

/* Everything at once, so that each Service is planned once and not with each of its Pods. */
void planner_start(struct planner *p)
{
    if (p->started)
        return;
    p->started = true;
    store_each(p->store, KIND_SERVICE, NULL, read_service, p);
    store_each(p->store, KIND_POD, NULL, read_pod, p);
    plan_dirty(p);
}

static void on_synced(void *ctx)
{
    planner_start(ctx);
}

struct planner *planner_new(struct store *store)
{
    struct planner *p = xcalloc(1, sizeof *p);
    p->store = store;
    p->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = p };
    store_listen(store, &p->listener);
    return p;
}

void planner_free(struct planner *p)
{
    if (!p)
        return;
    store_unlisten(p->store, &p->listener);
    members_done(&p->members);
    vec_done(&p->dirty);
    free(p);
}
