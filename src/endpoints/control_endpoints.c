/* The Endpoints controller: one object for each Service with a selector, and none for Services that
 * are gone. */
#include "endpoints/controller.h"
#include "endpoints/plan_endpoints.h"
#include "endpoints/plan_mirror.h"

static bool is_tracked(const struct controller *c, const char *ns, const char *name)
{
    return members_find(&c->r->tracker.members, ns, name) != NULL;
}

static bool wanted(const struct work *w)
{
    return w->orphan || is_tracked(w->controller, w->namespace, w->name);
}

/* Their Service is gone, or never was: they go, too. */
static void orphaned(struct controller *c, const struct meta *m)
{
    struct work *w = controller_work(c, m->namespace, m->name);
    w->orphan = true;
    work_hurry(w, 0);
}

/* Endpoints that election by an annotation uses never had a Service. */
static void read_leftover(void *ctx, const struct object *o)
{
    struct controller *c = ctx;
    const struct meta *m = &o->meta;
    if (!endpoints_annotation(endpoints_of(o), ANNOTATION_LEADER) &&
        !store_get(c->r->store, KIND_SERVICE, m->namespace, m->name))
        orphaned(c, m);
}

static void start(struct controller *c)
{
    store_each(c->r->store, KIND_ENDPOINTS, NULL, read_leftover, c);
}

/* Endpoints that somebody else has changed are looked at with the next change of their Service, as
 * by the original; those that are gone at once. */
static void endpoints_changed(struct controller *c, const struct change *change)
{
    const struct meta *m = change->new ? &change->new->meta : &change->old->meta;
    struct work *w = controller_find(c, m->namespace, m->name);
    bool echo = w && work_echo(w, m, change->new);
    if (!change->new && !echo && is_tracked(c, m->namespace, m->name))
        work_hurry(controller_work(c, m->namespace, m->name), 0);
    else if (w)
        work_settle(w);
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == KIND_ENDPOINTS)
        endpoints_changed(c, change);
    else if (change->kind == KIND_SERVICE && !change->new)
        orphaned(c, &change->old->meta);
    else if (change->kind == KIND_SERVICE)
        controller_settle(c, &change->new->meta);
}

static void plan(struct work *w)
{
    struct reconcile *r = w->controller->r;
    const struct member_set *set = members_find(&r->tracker.members, w->namespace, w->name);
    const struct object *have = store_get(r->store, KIND_ENDPOINTS, w->namespace, w->name);
    w->orphan = false;
    if (!set) {
        if (!store_get(r->store, KIND_SERVICE, w->namespace, w->name))
            work_take_deletion(w);
        return;
    }
    struct object *put =
        endpoints_build(&(struct endpoints_input){ .service = set->service,
                                                   .pods = set->pods.items,
                                                   .n_pods = set->pods.n,
                                                   .existing = have ? endpoints_of(have) : NULL,
                                                   .trigger_time_ns = w->used_trigger_ns });
    work_take_ops(w, &(struct plan){ .puts = &put, .n_puts = put != NULL });
}

static void refused(struct work *w, const struct op *op, const char *text)
{
    const struct controller *c = w->controller;
    if (op->op == WRITE_CREATE)
        controller_event(c, op->object, true, "FailedToCreateEndpoint",
                         "Failed to create endpoint for service %s/%s: %s", w->namespace, w->name,
                         text);
    else if (op->op == WRITE_UPDATE)
        controller_event(c, op->object, true, "FailedToUpdateEndpoint",
                         "Failed to update endpoint %s/%s: %s", w->namespace, w->name, text);
    else
        w->orphan = true;
}

const struct controller_type control_endpoints = { .component = "endpoint-controller",
                                                   .queue = "endpoint",
                                                   .about = "Service",
                                                   .writes = "its Endpoints",
                                                   .kind = KIND_ENDPOINTS,
                                                   .start = start,
                                                   .dirty = controller_service_dirty,
                                                   .untracked = controller_untracked,
                                                   .changed = changed,
                                                   .wanted = wanted,
                                                   .plan = plan,
                                                   .refused = refused };
