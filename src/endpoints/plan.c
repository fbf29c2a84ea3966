#include "endpoints/plan.h"

#include "base/str.h"
#include "endpoints/plan_impl.h"
#include "endpoints/slice_name.h"

#include <string.h>

static bool is_reserved(const char *key)
{
    return !strcmp(key, LABEL_SERVICE_NAME) || !strcmp(key, LABEL_MANAGED_BY) ||
           !strcmp(key, LABEL_HEADLESS);
}

static void build_labels(struct packing *p)
{
    const struct service *s = p->in->service;
    const struct meta *m = &s->object.meta;
    p->labels = arena_alloc(&p->arena, (m->n_labels + 3u) * sizeof *p->labels);
    for (uint16_t i = 0; i < m->n_labels; i++)
        if (!is_reserved(m->labels[i].key))
            p->labels[p->n_labels++] = m->labels[i];
    p->labels[p->n_labels++] = (struct label){ LABEL_SERVICE_NAME, m->name };
    p->labels[p->n_labels++] = (struct label){ LABEL_MANAGED_BY, SLICE_CONTROLLER };
    if (s->headless || !s->n_cluster_ips)
        p->labels[p->n_labels++] = (struct label){ LABEL_HEADLESS, "" };
}

static bool labels_differ(const struct packing *p, const struct slice *s)
{
    const struct meta *m = &s->object.meta;
    return !labels_equal(p->labels, p->n_labels, m->labels, m->n_labels);
}

static void sort_existing(struct packing *p)
{
    size_t n = p->in->n_existing;
    p->existing = arena_alloc(&p->arena, (n + 1) * sizeof *p->existing);
    for (size_t i = 0; i < n; i++)
        p->existing[i] = p->in->existing[i];
    if (n)
        qsort(p->existing, n, sizeof *p->existing, slice_name_order);
}

/* The wanted endpoint that an existing one already stands for. What makes it another endpoint:
 * address, hostname, Pod. */
static struct wanted *match(struct packing *p, const struct slice *s, const struct endpoint *ep,
                            uint32_t group)
{
    const struct endpoint_more more = slice_more(s, ep);
    struct wanted *w = wanted_find(&p->set, s->family, slice_str(s, more.pod));
    if (!w || w->placed || w->group != group || !ip_equal(w->ip, &ep->ip) ||
        strcmp(w->hostname, slice_str(s, ep->hostname)) != 0 ||
        strcmp(w->pod->object.meta.namespace, slice_str(s, more.pod_namespace)) != 0)
        return NULL;
    w->placed = true;
    p->n_matched++;
    return w;
}

static const char *uid_of(const struct slice *s, const struct endpoint *ep)
{
    size_t i = (size_t)(ep - s->endpoints);
    return i < s->n_targets ? slice_str(s, s->targets[i].uid) : "";
}

static bool has_changed(const struct packing *p, const struct wanted *w, const struct slice *s,
                        const struct endpoint *ep)
{
    if (p->in->api && strcmp(w->pod->object.meta.uid, uid_of(s, ep)) != 0)
        return true;
    unsigned said = p->in->api ? ENDPOINT_ALL_SAID : 0;
    return (w->conditions | said) != ep->conditions ||
           strcmp(w->zone, slice_str(s, ep->zone)) != 0 ||
           strcmp(w->pod->node, slice_str(s, slice_more(s, ep).node)) != 0;
}

/* Not left over from an earlier Service of the same name? */
static bool is_owned(const struct packing *p, const struct slice *s)
{
    return !p->in->api || str_eq(s->owner_uid, p->in->service->object.meta.uid);
}

static void doom(struct packing *p, const struct slice *s)
{
    vec_push(&p->doomed, s);
}

/* What of an existing slice is still wanted. */
static void draft_existing(struct packing *p, const struct slice *s)
{
    uint32_t group = wanted_group(&p->set, s);
    struct draft d = { .old = s, .group = group, .state = DRAFT_KEEP };
    if (group == UINT32_MAX || !is_owned(p, s)) {
        doom(p, s);
        return;
    }
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        const struct endpoint *ep = &s->endpoints[i];
        struct wanted *w = match(p, s, ep, group);
        if (!w || has_changed(p, w, s, ep))
            d.state = DRAFT_UPDATE;
        if (w)
            vec_push(&d.items, w);
    }
    struct group *g = &p->set.groups.items[group];
    /* On an API server one that has been empty before is room for what comes. */
    bool was_empty = p->in->api && !s->n_endpoints && g->n;
    if (!d.items.n && !g->placeholder && !was_empty) {
        doom(p, s);
        return;
    }
    g->placeholder = false; /* there is one now; a second is not needed */
    if (labels_differ(p, s))
        d.state = DRAFT_UPDATE;
    vec_push(&p->drafts, d);
}

/* Moves wanted endpoints of the group from *next on into the draft, until it is full. */
static void fill(struct packing *p, struct draft *d, size_t *next, size_t *left)
{
    for (; *left && d->items.n < p->max; ++*next) {
        struct wanted *w = &p->set.wanted.items[*next];
        if (w->placed || w->group != d->group)
            continue;
        w->placed = true;
        vec_push(&d->items, w);
        --*left;
    }
}

static struct draft *fullest(struct packing *p, uint32_t group, enum draft_state state, size_t room)
{
    struct draft *best = NULL;
    vec_each (d, &p->drafts) {
        if (d->group != group || d->state != state || d->items.n + room > p->max)
            continue;
        if (!best || d->items.n > best->items.n)
            best = d;
    }
    return best;
}

static struct draft *new_draft(struct packing *p, uint32_t group)
{
    vec_push(&p->drafts, (struct draft){ .group = group, .state = DRAFT_NEW });
    return &p->drafts.items[p->drafts.n - 1];
}

static size_t count_unplaced(const struct packing *p, uint32_t group)
{
    size_t placed = 0;
    vec_each (d, &p->drafts)
        if (d->group == group)
            placed += d->items.n;
    return p->set.groups.items[group].n - placed;
}

/* Slices that are written anyway come first, fullest first; then one that takes all the rest; then
 * new ones. */
static void pack_group(struct packing *p, uint32_t group)
{
    struct group *g = &p->set.groups.items[group];
    size_t left = count_unplaced(p, group), next = p->set.first_of[g->family == 4 ? 0 : 1];
    struct draft *d;
    while (left && (d = fullest(p, group, DRAFT_UPDATE, 1)))
        fill(p, d, &next, &left);
    while (left) {
        d = left < p->max ? fullest(p, group, DRAFT_KEEP, left) : NULL;
        if (d)
            d->state = DRAFT_UPDATE;
        else
            d = new_draft(p, group);
        fill(p, d, &next, &left);
    }
    if (g->placeholder)
        (void)new_draft(p, group);
}

static const char *fresh_name(struct packing *p)
{
    const struct slice_names used = { .existing = p->existing,
                                      .n_existing = p->in->n_existing,
                                      .puts = p->puts.items,
                                      .n_puts = p->puts.n,
                                      .taken = p->in->taken,
                                      .ctx = p->in->ctx };
    return slice_name(&p->arena, &p->in->service->object.meta, &used, &p->next_name);
}

/* Rather than to delete one slice and make another, the old one is written anew. */
static const struct slice *recycle(struct packing *p, uint8_t family)
{
    for (size_t i = 0; i < p->doomed.n; i++) {
        const struct slice *s = p->doomed.items[i];
        if (s->family != family || !is_owned(p, s))
            continue;
        memmove(&p->doomed.items[i], &p->doomed.items[i + 1],
                (--p->doomed.n - i) * sizeof *p->doomed.items);
        return s;
    }
    return NULL;
}

static void add_hint(struct slice_builder *b, const char *hint, uint8_t *n)
{
    if (!*hint)
        return;
    vec_push(&b->hints, slice_builder_text(b, hint));
    ++*n;
}

static void add_for_api(struct packing *p, const struct wanted *w, struct endpoint *ep,
                        struct endpoint_more *more)
{
    struct slice_builder *b = &p->builder;
    const struct meta *m = &w->pod->object.meta;
    const struct target_ref ref = { .kind = "Pod",
                                    .namespace = m->namespace,
                                    .name = m->name,
                                    .uid = m->uid,
                                    .api_version = "",
                                    .field_path = "",
                                    .version = "" };
    ep->conditions |= ENDPOINT_ALL_SAID;
    vec_push(&b->targets, slice_builder_target(b, &ref));
    uint32_t first = (uint32_t)b->hints.n;
    add_hint(b, plan_zone_hint(p, w), &ep->n_hints);
    add_hint(b, plan_node_hint(p, w), &ep->n_node_hints);
    more->first_hint = ep->n_hints || ep->n_node_hints ? first : 0;
}

static void add_endpoint(struct packing *p, const struct wanted *w)
{
    struct slice_builder *b = &p->builder;
    struct endpoint ep;
    struct endpoint_more more = { 0 };
    memset(&ep, 0, sizeof ep);
    ep.ip = *w->ip;
    ep.conditions = w->conditions;
    ep.hostname = slice_builder_text(b, w->hostname);
    more.pod = slice_builder_text(b, w->pod->object.meta.name);
    more.pod_namespace = slice_builder_text(b, w->pod->object.meta.namespace);
    more.node = slice_builder_text(b, w->pod->node);
    ep.zone = slice_builder_text(b, w->zone);
    if (p->in->api)
        add_for_api(p, w, &ep, &more);
    vec_push(&b->endpoints, ep);
    vec_push(&b->more, more);
}

static const struct endpoint *endpoint_of(const struct slice *s, const struct wanted *w)
{
    for (uint32_t i = 0; s && i < s->n_endpoints; i++)
        if (strcmp(slice_str(s, slice_more(s, &s->endpoints[i]).pod), w->pod->object.meta.name) ==
            0)
            return &s->endpoints[i];
    return NULL;
}

/* The earliest moment at which one of the changed Pods became (un)ready; 0: none known. */
static int64_t trigger_of(const struct packing *p, const struct draft *d)
{
    int64_t first = 0;
    if (p->in->api)
        return p->in->trigger_time_ns;
    vec_each (it, &d->items) {
        const struct wanted *w = *it;
        int64_t t = w->pod->ready_time_ns;
        if (!t || (first && t >= first))
            continue;
        const struct endpoint *ep = endpoint_of(d->old, w);
        if (!ep || has_changed(p, w, d->old, ep))
            first = t;
    }
    return first;
}

/* A slice that is written anew from its name on keeps nothing of what it said. */
static void finish_for_api(const struct packing *p, const struct draft *d, const struct slice *old,
                           struct slice *s)
{
    s->owner_kind = "Service";
    s->owner_uid = p->in->service->object.meta.uid;
    s->version = old ? old->version : NULL;
    s->object.meta.uid = old ? old->object.meta.uid : "";
    if (d->old) {
        s->annotations = old->annotations;
        s->n_annotations = old->n_annotations;
    }
}

static void write_draft(struct packing *p, const struct draft *d)
{
    const struct group *g = &p->set.groups.items[d->group];
    const struct meta *m = &p->in->service->object.meta;
    slice_builder_reset(&p->builder);
    vec_each (it, &d->items)
        add_endpoint(p, *it);
    const struct slice *old = d->old ? d->old : recycle(p, g->family);
    const char *fresh = old ? NULL : p->in->api ? "" : fresh_name(p);
    struct slice s = {
        .object = { .kind = KIND_SLICE,
                    .meta = { .namespace = m->namespace,
                              .name = old ? old->object.meta.name : fresh,
                              .uid = d->old ? d->old->object.meta.uid : "",
                              .origin = "",
                              .labels = p->labels,
                              .n_labels = p->n_labels } },
        .service = m->name,
        .ports = g->ports,
        .n_ports = g->n_ports,
        .family = g->family,
        .computed = !p->in->api,
        .trigger_time_ns = trigger_of(p, d),
    };
    if (p->in->api)
        finish_for_api(p, d, old, &s);
    slice_builder_finish(&p->builder, &s);
    vec_push(&p->puts, object_copy(&s.object));
}

static struct plan_counts count(const struct packing *p)
{
    struct plan_counts c = { .endpoints = (unsigned)p->set.wanted.n,
                             .slices = (unsigned)p->drafts.n,
                             .added = (unsigned)p->set.wanted.n - p->n_matched,
                             .removed = p->n_existing_endpoints - p->n_matched };
    vec_each (g, &p->set.groups)
        c.ideal += (unsigned)((g->n + p->max - 1) / p->max);
    c.ideal += c.ideal == 0; /* there is always one, be it empty */
    return c;
}

static void finish(struct packing *p, struct plan *ret)
{
    ret->counts = count(p);
    vec_each (d, &p->drafts)
        if (d->state != DRAFT_KEEP)
            write_draft(p, d);
    ret->puts = p->puts.items;
    ret->n_puts = p->puts.n;
    ret->dels = xcalloc(p->doomed.n + 1, sizeof *ret->dels);
    ret->incomplete = p->set.skipped != NULL;
    ret->skipped = p->set.skipped;
    vec_each (s, &p->doomed)
        ret->dels[ret->n_dels++] = &(*s)->object;
}

void plan_build(const struct plan_input *in, struct plan *ret_plan)
{
    struct packing p = { .in = in,
                         .max = in->max_endpoints ? in->max_endpoints : PLAN_SLICE_ENDPOINTS };
    *ret_plan = (struct plan){ 0 };
    arena_init(&p.arena, 16384);
    wanted_build(in, &p.arena, &p.set);
    build_labels(&p);
    sort_existing(&p);
    for (size_t i = 0; i < in->n_existing; i++) {
        p.n_existing_endpoints += p.existing[i]->n_endpoints;
        draft_existing(&p, p.existing[i]);
    }
    /* A Service that is being deleted gets no new slices. */
    for (uint32_t g = 0; g < p.set.groups.n && !in->service->object.meta.deleting; g++)
        pack_group(&p, g);
    if (in->api)
        plan_choose_hints(&p, ret_plan);
    finish(&p, ret_plan);
    vec_each (d, &p.drafts)
        vec_done(&d->items);
    vec_done(&p.drafts);
    vec_done(&p.doomed);
    slice_builder_done(&p.builder);
    wanted_done(&p.set);
    arena_done(&p.arena);
}

void plan_done(struct plan *p)
{
    free(p->puts);
    free(p->dels);
    for (unsigned i = 0; i < ARRAY_SIZE(p->hints); i++) {
        free(p->hints[i].counts);
        free(p->hints[i].refusal);
    }
    *p = (struct plan){ 0 };
}
