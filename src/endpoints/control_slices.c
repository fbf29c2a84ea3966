/* The EndpointSlice controller: slices for Services with a selector. */
#include "base/str.h"
#include "endpoints/controller.h"
#include "endpoints/hint_state.h"
#include "endpoints/slice_list.h"

#include <string.h>

static void start(struct controller *c)
{
    (void)c; /* the tracker names every Service that has a selector */
}

static bool wanted(const struct work *w)
{
    return members_find(&w->controller->r->tracker.members, w->namespace, w->name) != NULL;
}

/* Our own writes come back as changes; all others are looked at. */
static void slice_changed(struct controller *c, const struct slice *slice, const struct object *now)
{
    const struct meta *m = &slice->object.meta;
    struct work *w = slice_is_by(slice, SLICE_CONTROLLER)
                         ? controller_find(c, m->namespace, slice->service)
                         : NULL;
    if (!w)
        return;
    if (!work_echo(w, m, now) && wanted(w))
        work_hurry(w, 0);
    work_settle(w);
}

/* Services whose hints fit the Nodes no more. A change of CPUs alone is not looked at, as by the
 * original. */
static void node_changed(struct controller *c, const struct node *old, const struct node *new)
{
    struct reconcile *r = c->r;
    if (old && new && old->ready == new->ready && str_eq(old->zone, new->zone))
        return;
    zones_done(&r->zones);
    zones_read(r->store, &r->zones);
    index_each(e, &c->works)
    {
        struct work *w = e->item;
        if (hint_state_is_overloaded(w->hints, &r->zones))
            work_schedule(w, 0);
    }
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == KIND_NODE)
        node_changed(c, change->old ? node_of(change->old) : NULL,
                     change->new ? node_of(change->new) : NULL);
    if (change->kind == KIND_SERVICE)
        controller_settle(c, change->new ? &change->new->meta : &change->old->meta);
    if (change->kind != KIND_SLICE)
        return;
    const struct slice *old = change->old ? slice_of(change->old) : NULL;
    const struct slice *new = change->new ? slice_of(change->new) : NULL;
    if (old)
        slice_changed(c, old, change->new);
    if (new &&
        (!old || !slice_is_by(old, SLICE_CONTROLLER) || strcmp(old->service, new->service) != 0))
        slice_changed(c, new, change->new);
}

static const struct node *find_node(void *ctx, const char *name)
{
    const struct reconcile *r = ctx;
    const struct object *o = store_get(r->store, KIND_NODE, "", name);
    return o ? node_of(o) : NULL;
}

static void tell_skipped(struct work *w, const struct service *s, const struct pod *pod)
{
    controller_event(w->controller, &s->object, true, "FailedToUpdateEndpointSlices",
                     "Error updating Endpoint Slices for Service %s/%s: skipping Pod %s for "
                     "Service %s/%s: Node %s Not Found",
                     w->namespace, w->name, pod->object.meta.name, w->namespace, w->name,
                     pod->node);
}

static void plan(struct work *w)
{
    struct reconcile *r = w->controller->r;
    const struct member_set *set = members_find(&r->tracker.members, w->namespace, w->name);
    struct slice_list ours;
    struct plan p;
    if (!set)
        return;
    slice_list_read(r->store, w->namespace, w->name, SLICE_CONTROLLER, &ours);
    plan_build(&(struct plan_input){ .service = set->service,
                                     .pods = set->pods.items,
                                     .n_pods = set->pods.n,
                                     .node = find_node,
                                     .ctx = r,
                                     .existing = ours.slices.items,
                                     .n_existing = ours.slices.n,
                                     .nodes_required = true,
                                     .placeholder = true,
                                     .api = true,
                                     .zones = &r->zones,
                                     .max_endpoints = r->o.max_endpoints,
                                     .trigger_time_ns = w->used_trigger_ns },
               &p);
    w->incomplete = p.incomplete;
    hint_state_take(w, set->service, &p);
    if (p.skipped)
        tell_skipped(w, set->service, p.skipped);
    controller_count(w, &p, set->service, 0);
    work_take_ops(w, &p);
    plan_done(&p);
    vec_done(&ours.slices);
}

static void refused(struct work *w, const struct op *op, const char *text)
{
    static const char *const verbs[WRITE_OPS] = { "create", "update", "delete" };
    const struct object *service =
        store_get(w->controller->r->store, KIND_SERVICE, w->namespace, w->name);
    if (service)
        controller_event(w->controller, service, true, "FailedToUpdateEndpointSlices",
                         "Error updating Endpoint Slices for Service %s/%s: failed to %s %s%s"
                         "EndpointSlice for Service %s/%s: %s",
                         w->namespace, w->name, verbs[op->op], op->name ? op->name : "",
                         op->name ? " " : "", w->namespace, w->name, text);
}

const struct controller_type control_slices = { .component = "endpoint-slice-controller",
                                                .queue = "endpoint_slice",
                                                .about = "Service",
                                                .writes = "its slices",
                                                .kind = KIND_SLICE,
                                                .start = start,
                                                .dirty = controller_service_dirty,
                                                .untracked = controller_untracked,
                                                .changed = changed,
                                                .wanted = wanted,
                                                .plan = plan,
                                                .refused = refused };
