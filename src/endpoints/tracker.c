#include "endpoints/tracker.h"

#include "base/str.h"

#include <string.h>

void tracker_done(struct tracker *t)
{
    members_done(&t->members);
}

static void untrack(struct tracker *t, struct member_set *set)
{
    t->untracked(t->ctx, set);
    members_remove_service(&t->members, set->service);
}

static void add_member(void *ctx, struct member_set *set, const struct pod *pod)
{
    struct tracker *t = ctx;
    member_set_add(set, pod);
    t->dirty(t->ctx, set);
}

static void remove_member(void *ctx, struct member_set *set, const struct pod *pod)
{
    struct tracker *t = ctx;
    member_set_remove(set, pod);
    t->dirty(t->ctx, set);
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

void tracker_consider(struct tracker *t, const struct service *s)
{
    const struct meta *m = &s->object.meta;
    struct member_set *set = members_find(&t->members, m->namespace, m->name);
    bool wanted = service_selects(s) && t->wanted(t->ctx, s);
    if (!wanted && set)
        untrack(t, set);
    if (!wanted) {
        t->unwanted(t->ctx, m);
        return;
    }
    if (!set) {
        set = members_add_service(&t->members, s);
        store_each(t->store, KIND_POD, m->namespace, add_if_selected, set);
    }
    t->dirty(t->ctx, set);
}

static void service_changed(struct tracker *t, const struct service *old, const struct service *new)
{
    const struct meta *m = new ? &new->object.meta : &old->object.meta;
    struct member_set *set = members_find(&t->members, m->namespace, m->name);
    if (set && new &&same_selector(old, new)) {
        members_replace_service(&t->members, new);
        t->dirty(t->ctx, set);
        return;
    }
    if (set)
        untrack(t, set);
    if (new)
        tracker_consider(t, new);
    else
        t->unwanted(t->ctx, m);
}

/* Where labels did not change, the old object is simply exchanged for the new one. */
static void pod_changed(struct tracker *t, const struct pod *old, const struct pod *new)
{
    t->trigger_ns =
        new && (!old || old->ready_time_ns != new->ready_time_ns) ? new->ready_time_ns : 0;
    if (old)
        members_each(&t->members, old, remove_member, t);
    if (new)
        members_each(&t->members, new, add_member, t);
    t->trigger_ns = 0;
}

static bool has_pod_on(const struct member_set *set, const char *node)
{
    for (size_t i = 0; i < set->pods.n; i++)
        if (strcmp(set->pods.items[i]->node, node) == 0)
            return true;
    return false;
}

/* Only the zone of a Node shows in slices. */
static void node_changed(struct tracker *t, const struct node *old, const struct node *new)
{
    const char *name = new ? new->object.meta.name : old->object.meta.name;
    bool came_or_went = t->nodes_required && (!old || !new);
    if (!came_or_went && str_eq(old ? old->zone : "", new ? new->zone : ""))
        return;
    ht_each (e, &t->members.sets) {
        struct member_set *set = e->value;
        if (has_pod_on(set, name))
            t->dirty(t->ctx, set);
    }
}

void tracker_change(struct tracker *t, const struct change *c)
{
    if (!t->started)
        return;
    if (c->kind == KIND_SERVICE)
        service_changed(t, c->old ? service_of(c->old) : NULL, c->new ? service_of(c->new) : NULL);
    else if (c->kind == KIND_POD)
        pod_changed(t, c->old ? pod_of(c->old) : NULL, c->new ? pod_of(c->new) : NULL);
    else if (c->kind == KIND_NODE)
        node_changed(t, c->old ? node_of(c->old) : NULL, c->new ? node_of(c->new) : NULL);
}

static void read_service(void *ctx, const struct object *o)
{
    struct tracker *t = ctx;
    if (service_selects(service_of(o)) && t->wanted(t->ctx, service_of(o)))
        t->dirty(t->ctx, members_add_service(&t->members, service_of(o)));
}

static void read_pod(void *ctx, const struct object *o)
{
    pod_changed(ctx, NULL, pod_of(o));
}

void tracker_start(struct tracker *t)
{
    if (t->started)
        return;
    t->started = true;
    store_each(t->store, KIND_SERVICE, NULL, read_service, t);
    store_each(t->store, KIND_POD, NULL, read_pod, t);
}
