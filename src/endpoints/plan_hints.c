/* Which endpoint is meant for whom: hints for zones and nodes. */
#include "base/str.h"
#include "endpoints/plan_impl.h"
#include "endpoints/topology.h"

#include <string.h>

/* Which hints trafficDistribution asks for. */
static bool wants_zone_hint(const struct service *s)
{
    const char *t = s->topology_auto ? NULL : s->traffic_distribution;
    return t && (!strcmp(t, "PreferClose") || !strcmp(t, "PreferSameZone") ||
                 !strcmp(t, "PreferSameNode"));
}

static bool wants_node_hint(const struct service *s)
{
    return !s->topology_auto && str_eq(s->traffic_distribution, "PreferSameNode");
}

/* Those that are not ready are not looked at. */
const char *plan_zone_hint(const struct packing *p, const struct wanted *w)
{
    bool ready = w->conditions & ENDPOINT_READY;
    if (p->in->service->topology_auto)
        return w->hint ? w->hint : "";
    return ready && wants_zone_hint(p->in->service) ? w->zone : "";
}

const char *plan_node_hint(const struct packing *p, const struct wanted *w)
{
    bool ready = w->conditions & ENDPOINT_READY;
    return ready && wants_node_hint(p->in->service) ? w->pod->node : "";
}

static bool hints_are(const struct slice *s, uint32_t first, uint8_t n, const char *wanted)
{
    if (!*wanted)
        return n == 0;
    return n == 1 && strcmp(slice_str(s, s->hints[first]), wanted) == 0;
}

/* In a slice that needs no other change. */
static bool hints_differ(const struct packing *p, const struct draft *d)
{
    const struct slice *s = d->old;
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        const struct endpoint *ep = &s->endpoints[i];
        const struct endpoint_more more = slice_more(s, ep);
        const struct wanted *w = wanted_find(&p->set, s->family, slice_str(s, more.pod));
        bool is_asked_for = wants_zone_hint(p->in->service);
        if (w && is_asked_for && !(w->conditions & ENDPOINT_READY))
            continue;
        if (w &&
            (!hints_are(s, more.first_hint, ep->n_hints, plan_zone_hint(p, w)) ||
             !hints_are(s, more.first_hint + ep->n_hints, ep->n_node_hints, plan_node_hint(p, w))))
            return true;
    }
    return false;
}

/* ---- by the zones' CPUs ---- */

/* The only zone of an endpoint that is there already; one that is for several will not do. */
static const char *hint_of(const struct slice *s, const struct endpoint *ep)
{
    return ep->n_hints == 1 && !ep->n_node_hints
               ? slice_str(s, s->hints[slice_more(s, ep).first_hint])
               : "";
}

/* The endpoints of a draft that is kept are those of its slice, one by one. */
static void describe(struct packing *p, const struct draft *d, struct topology_slice *ret)
{
    *ret = (struct topology_slice){ .n = d->items.n, .written = d->state != DRAFT_KEEP };
    ret->endpoints = arena_alloc(&p->arena, d->items.n * sizeof *ret->endpoints);
    for (size_t i = 0; i < d->items.n; i++) {
        const struct wanted *w = d->items.items[i];
        ret->endpoints[i] = (struct topology_endpoint){
            .zone = w->zone,
            .hint = d->state == DRAFT_KEEP ? hint_of(d->old, &d->old->endpoints[i]) : "",
            .ready = w->conditions & ENDPOINT_READY,
        };
    }
}

static bool has_hints(const struct slice *s)
{
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (s->endpoints[i].n_hints || s->endpoints[i].n_node_hints)
            return true;
    return false;
}

static void take_hints(struct draft *d, const struct topology_slice *s, bool refused)
{
    if (d->state == DRAFT_KEEP && (s->written || (refused && has_hints(d->old))))
        d->state = DRAFT_UPDATE;
    for (size_t i = 0; i < d->items.n; i++)
        d->items.items[i]->hint = s->endpoints[i].hint;
}

static void tell(const struct topology *t, struct plan_hints *ret)
{
    ret->asked = true;
    ret->refusal = t->refusal ? xstrdup(t->refusal) : NULL;
    ret->counts = xcalloc(t->n_counts + 1, sizeof *ret->counts);
    ret->n = t->n_counts;
    if (t->n_counts)
        memcpy(ret->counts, t->counts, t->n_counts * sizeof *ret->counts);
}

/* New slices come first, then those that are written anyway, as in the original. */
static void hint_by_zones(struct packing *p, uint8_t family, struct plan_hints *ret)
{
    static const enum draft_state order[] = { DRAFT_NEW, DRAFT_UPDATE, DRAFT_KEEP };
    struct topology t = { .zones = p->in->zones, .arena = &p->arena };
    struct draft **drafts = arena_alloc(&p->arena, p->drafts.n * sizeof *drafts);
    t.slices = arena_alloc(&p->arena, p->drafts.n * sizeof *t.slices);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        vec_each (d, &p->drafts) {
            if (d->state != order[i] || p->set.groups.items[d->group].family != family)
                continue;
            drafts[t.n_slices] = d;
            describe(p, d, &t.slices[t.n_slices++]);
        }
    if (!t.n_slices)
        return;
    bool good = topology_hint(&t);
    for (size_t i = 0; i < t.n_slices; i++)
        take_hints(drafts[i], &t.slices[i], !good);
    tell(&t, ret);
}

void plan_choose_hints(struct packing *p, struct plan *ret)
{
    if (p->in->service->topology_auto && p->in->zones) {
        hint_by_zones(p, 4, &ret->hints[0]);
        hint_by_zones(p, 6, &ret->hints[1]);
        return;
    }
    vec_each (d, &p->drafts)
        if (d->state == DRAFT_KEEP && hints_differ(p, d))
            d->state = DRAFT_UPDATE;
}
