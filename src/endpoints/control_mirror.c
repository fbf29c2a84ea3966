/* The EndpointSliceMirroring controller: slices that tell what hand-made Endpoints tell. */
#include "endpoints/controller.h"
#include "endpoints/plan_mirror.h"
#include "endpoints/slice_list.h"

#include "base/log.h"

#include <string.h>

static const struct endpoints *find_endpoints(const struct controller *c, const char *ns,
                                              const char *name)
{
    const struct object *o = store_get(c->r->store, KIND_ENDPOINTS, ns, name);
    return o ? endpoints_of(o) : NULL;
}

/* The Endpoints, if they are to be mirrored. */
static const struct endpoints *find_mirrored(const struct controller *c, const char *ns,
                                             const char *name)
{
    const struct object *service = store_get(c->r->store, KIND_SERVICE, ns, name);
    const struct endpoints *e = find_endpoints(c, ns, name);
    return mirror_applies(service ? service_of(service) : NULL, e) ? e : NULL;
}

static void note_mirrored(void *ctx, const struct object *o)
{
    bool *found = ctx;
    *found |= slice_is_by(slice_of(o), MIRRORING_CONTROLLER) && !o->meta.deleting;
}

/* Most Endpoints belong to Services with a selector, and are none of ours. */
static bool concerns(const struct controller *c, const char *ns, const char *name)
{
    bool found = find_mirrored(c, ns, name) != NULL;
    if (!found)
        store_each_slice_of(c->r->store, ns, name, note_mirrored, &found);
    return found;
}

static bool wanted(const struct work *w)
{
    return concerns(w->controller, w->namespace, w->name);
}

/* What is being written or has not come back yet may need another look when it has. */
static void look(struct controller *c, const char *ns, const char *name, int64_t pause_ns)
{
    const struct work *w = controller_find(c, ns, name);
    if (*name && ((w && (w->busy || w->expected.n)) || concerns(c, ns, name)))
        work_hurry(controller_work(c, ns, name), pause_ns);
    else
        controller_settle(c, &(struct meta){ .namespace = ns, .name = name });
}

static void read_one(void *ctx, const struct object *o)
{
    struct controller *c = ctx;
    if (o->kind == KIND_ENDPOINTS)
        look(c, o->meta.namespace, o->meta.name, 0);
    else if (slice_is_by(slice_of(o), MIRRORING_CONTROLLER))
        look(c, o->meta.namespace, slice_of(o)->service, 0);
}

static void start(struct controller *c)
{
    store_each(c->r->store, KIND_ENDPOINTS, NULL, read_one, c);
    store_each(c->r->store, KIND_SLICE, NULL, read_one, c);
}

/* Our own writes come back as changes. */
static void slice_changed(struct controller *c, const struct slice *slice, const struct object *now)
{
    const struct meta *m = &slice->object.meta;
    if (!slice_is_by(slice, MIRRORING_CONTROLLER))
        return;
    struct work *w = controller_find(c, m->namespace, slice->service);
    if (w && work_echo(w, m, now))
        work_settle(w);
    else
        look(c, m->namespace, slice->service, c->batch_ns);
}

static void slices_changed(struct controller *c, const struct slice *old, const struct slice *new)
{
    if (old)
        slice_changed(c, old, new ? &new->object : NULL);
    if (new && (!old || !slice_is_by(old, MIRRORING_CONTROLLER) ||
                strcmp(old->service, new->service) != 0))
        slice_changed(c, new, &new->object);
}

static bool has_selector(const struct object *service)
{
    return service && service_of(service)->n_selector;
}

static void changed(struct controller *c, const struct change *change)
{
    const struct meta *m = change->new ? &change->new->meta : &change->old->meta;
    if (change->kind == KIND_SLICE)
        slices_changed(c, change->old ? slice_of(change->old) : NULL,
                       change->new ? slice_of(change->new) : NULL);
    else if (change->kind == KIND_ENDPOINTS)
        look(c, m->namespace, m->name, 0);
    else if (change->kind == KIND_SERVICE &&
             (!change->old || !change->new ||
              has_selector(change->old) != has_selector(change->new)))
        look(c, m->namespace, m->name, 0);
}

static void report(const struct controller *c, const struct endpoints *e,
                   const struct mirror_report *r)
{
    if (r->invalid)
        controller_event(c, &e->object, true, "InvalidIPAddress",
                         "Skipped %u invalid IP addresses when mirroring to EndpointSlices",
                         r->invalid);
    if (r->surplus)
        controller_event(c, &e->object, true, "TooManyAddressesToMirror",
                         "A max of %u addresses can be mirrored to EndpointSlices per Endpoints "
                         "subset. %u addresses were skipped",
                         c->r->o.max_mirrored, r->surplus + r->invalid);
    if (r->too_big)
        log_warning("controller: Endpoints %s/%s: too many ports and addresses to be mirrored",
                    e->object.meta.namespace, e->object.meta.name);
}

static void take_all(struct work *w, const struct slice_list *l)
{
    struct plan p = { .dels = xcalloc(l->slices.n + 1, sizeof *p.dels) };
    vec_each (s, &l->slices)
        p.dels[p.n_dels++] = &(*s)->object;
    work_take_ops(w, &p);
    plan_done(&p);
}

static void plan(struct work *w)
{
    struct controller *c = w->controller;
    const struct endpoints *e = find_mirrored(c, w->namespace, w->name);
    struct slice_list ours;
    struct mirror_report told;
    struct plan p;
    slice_list_read(c->r->store, w->namespace, w->name, MIRRORING_CONTROLLER, &ours);
    if (e) {
        mirror_build(&(struct mirror_input){ .endpoints = e,
                                             .existing = ours.slices.items,
                                             .n_existing = ours.slices.n,
                                             .api = true,
                                             .max_addresses = c->r->o.max_mirrored },
                     &p, &told);
        report(c, e, &told);
        controller_count(w, &p, NULL, told.invalid + told.surplus);
        work_take_ops(w, &p);
        plan_done(&p);
    } else {
        take_all(w, &ours);
    }
    vec_done(&ours.slices);
}

static void refused(struct work *w, const struct op *op, const char *text)
{
    (void)w;
    (void)op;
    (void)text; /* it goes to the log only, as with the original */
}

const struct controller_type control_mirror = { .component = "endpoint-slice-mirroring-controller",
                                                .queue = "endpoint_slice_mirroring",
                                                .about = "Endpoints",
                                                .writes = "the slices that mirror it",
                                                .kind = KIND_SLICE,
                                                .start = start,
                                                .changed = changed,
                                                .wanted = wanted,
                                                .plan = plan,
                                                .refused = refused };
