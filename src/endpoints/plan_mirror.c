#include "endpoints/plan_mirror.h"

#include "base/str.h"
#include "endpoints/ports.h"
#include "endpoints/slice_name.h"
#include "endpoints/subsets.h"
#include "kube/slice_builder.h"

#include <string.h>

/* The addresses of one family in one subset: they share a slice. */
struct mirror_group {
    const struct slice_port *ports; /* sorted */
    uint16_t n_ports;
    uint8_t family;
    VEC(const struct endpoints_address *) addresses;
    size_t n_ready;          /* the first of them */
    const struct slice *old; /* the one that has these ports already, or NULL */
};

struct mirror {
    const struct mirror_input *in;
    struct mirror_report *report;
    struct arena arena;
    struct slice_builder builder;
    VEC(struct mirror_group) groups;
    VEC(const struct slice *) free; /* existing ones that nothing needs, by name */
    VEC(struct object *) puts;
    const struct label *labels, *annotations;
    uint16_t n_labels, n_annotations;
    unsigned next_name;
    struct plan_counts counts;
};

bool mirror_applies(const struct service *service, const struct endpoints *endpoints)
{
    return service && endpoints && !service->n_selector &&
           !str_eq(meta_label(&endpoints->object.meta, LABEL_SKIP_MIRROR), "true") &&
           !endpoints_annotation(endpoints, ANNOTATION_LEADER);
}

/* ---- what is wanted ---- */

static void add_address(struct mirror *m, size_t first, const struct endpoints_address *a,
                        bool ready)
{
    if (!a->ip.family) {
        m->report->invalid++;
        return;
    }
    struct mirror_group *g = &m->groups.items[first + (a->ip.family == 6)];
    vec_push(&g->addresses, a);
    g->n_ready += ready;
}

/* The ready ones come first, also where not all have room. */
static void add_subset(struct mirror *m, const struct endpoints_subset *s)
{
    size_t first = m->groups.n;
    unsigned max = m->in->max_addresses ? m->in->max_addresses : MIRROR_ADDRESSES_MAX;
    for (unsigned i = 0; i < 2; i++)
        vec_push(&m->groups, (struct mirror_group){
                                 .ports = s->ports, .n_ports = s->n_ports, .family = i ? 6 : 4 });
    for (uint32_t i = 0; i < s->n_addresses + s->n_not_ready; i++) {
        bool ready = i < s->n_addresses;
        size_t have = m->groups.items[first].addresses.n + m->groups.items[first + 1].addresses.n;
        if (have >= max)
            m->report->surplus++;
        else
            add_address(m, first, ready ? &s->addresses[i] : &s->not_ready[i - s->n_addresses],
                        ready);
    }
}

static bool is_own_label(const char *key)
{
    return !strcmp(key, LABEL_SERVICE_NAME) || !strcmp(key, LABEL_MANAGED_BY);
}

static void build_labels(struct mirror *m)
{
    const struct meta *from = &m->in->endpoints->object.meta;
    struct label *labels = arena_alloc(&m->arena, (from->n_labels + 2u) * sizeof *labels);
    for (uint16_t i = 0; i < from->n_labels; i++)
        if (!is_own_label(from->labels[i].key))
            labels[m->n_labels++] = from->labels[i];
    labels[m->n_labels++] = (struct label){ LABEL_SERVICE_NAME, from->name };
    labels[m->n_labels++] = (struct label){ LABEL_MANAGED_BY, MIRRORING_CONTROLLER };
    m->labels = labels;
}

static void build_annotations(struct mirror *m)
{
    const struct endpoints *from = m->in->endpoints;
    struct label *all = arena_alloc(&m->arena, from->n_annotations * sizeof *all);
    for (uint16_t i = 0; i < from->n_annotations; i++)
        if (strcmp(from->annotations[i].key, ANNOTATION_LAST_APPLY) != 0)
            all[m->n_annotations++] = from->annotations[i];
    m->annotations = all;
}

/* ---- one slice ---- */

static void add_endpoint(struct mirror *m, const struct endpoints_address *a, bool ready)
{
    struct slice_builder *b = &m->builder;
    struct endpoint ep;
    bool is_pod = strcmp(a->target.kind, "Pod") == 0;
    memset(&ep, 0, sizeof ep);
    ep.ip = a->ip;
    /* Nothing is known of serving and terminating; who does not hear of them takes the first for
     * true. */
    ep.conditions = (uint8_t)((ready ? ENDPOINT_READY : 0u) | ENDPOINT_SERVING |
                              (m->in->api ? ENDPOINT_READY_SAID : 0u));
    ep.hostname = slice_builder_text(b, a->hostname);
    const struct endpoint_more more = {
        .node = slice_builder_text(b, a->node),
        .pod = is_pod ? slice_builder_text(b, a->target.name) : 0,
        .pod_namespace = is_pod ? slice_builder_text(b, a->target.namespace) : 0,
    };
    if (m->in->api)
        vec_push(&b->targets, slice_builder_target(b, &a->target));
    vec_push(&b->endpoints, ep);
    vec_push(&b->more, more);
}

/* As it ought to be; it lives until the next one is made. */
static struct slice make_slice(struct mirror *m, const struct mirror_group *g,
                               const struct slice *old)
{
    const struct meta *from = &m->in->endpoints->object.meta;
    slice_builder_reset(&m->builder);
    for (size_t i = 0; i < g->addresses.n; i++)
        add_endpoint(m, g->addresses.items[i], i < g->n_ready);
    struct slice s = { .object = { .kind = KIND_SLICE,
                                   .meta = { .namespace = from->namespace,
                                             .name = old ? old->object.meta.name : "",
                                             .uid = old ? old->object.meta.uid : "",
                                             .origin = "",
                                             .labels = m->labels,
                                             .n_labels = m->n_labels } },
                       .service = from->name,
                       .ports = g->ports,
                       .n_ports = g->n_ports,
                       .family = g->family,
                       .computed = !m->in->api };
    if (m->in->api) {
        s.owner_kind = "Endpoints";
        s.owner_uid = from->uid;
        s.version = old ? old->version : NULL;
        s.annotations = m->annotations;
        s.n_annotations = m->n_annotations;
    }
    slice_builder_finish(&m->builder, &s);
    return s;
}

/* ---- what there is ---- */

/* An endpoint of either slice, to be sorted by what tells endpoints apart. */
struct seen {
    const struct slice *slice;
    const struct endpoint *ep;
    const char *hostname, *namespace, *name;
    struct endpoint_more more;
    struct endpoint_target target;
};

static int by_identity(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int r = ip_compare(&x->ep->ip, &y->ep->ip);
    if (r == 0)
        r = strcmp(x->hostname, y->hostname);
    if (r == 0)
        r = strcmp(x->namespace, y->namespace);
    return r ? r : strcmp(x->name, y->name);
}

static struct seen *sort_endpoints(struct mirror *m, const struct slice *s)
{
    struct seen *all = arena_alloc(&m->arena, s->n_endpoints * sizeof *all);
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        const struct endpoint *ep = &s->endpoints[i];
        struct seen *x = &all[i];
        *x = (struct seen){ .slice = s, .ep = ep, .hostname = slice_str(s, ep->hostname) };
        x->more = slice_more(s, ep);
        x->target = i < s->n_targets ? s->targets[i]
                                     : (struct endpoint_target){ .namespace = x->more.pod_namespace,
                                                                 .name = x->more.pod };
        x->namespace = slice_str(s, x->target.namespace);
        x->name = slice_str(s, x->target.name);
    }
    if (s->n_endpoints)
        qsort(all, s->n_endpoints, sizeof *all, by_identity);
    return all;
}

static bool same_text(const struct seen *x, uint32_t a, const struct seen *y, uint32_t b)
{
    return strcmp(slice_str(x->slice, a), slice_str(y->slice, b)) == 0;
}

static bool says_the_same(const struct seen *x, const struct seen *y)
{
    return x->ep->conditions == y->ep->conditions && same_text(x, x->more.node, y, y->more.node) &&
           same_text(x, x->ep->zone, y, y->ep->zone) &&
           same_text(x, x->target.kind, y, y->target.kind) &&
           same_text(x, x->target.uid, y, y->target.uid) &&
           same_text(x, x->target.api_version, y, y->target.api_version) &&
           same_text(x, x->target.field_path, y, y->target.field_path);
}

/* Counts what is new, gone and otherwise; is nothing? */
static bool same_endpoints(struct mirror *m, const struct slice *old, const struct slice *new)
{
    const struct seen *x = sort_endpoints(m, old), *y = sort_endpoints(m, new);
    unsigned added = 0, removed = 0, updated = 0;
    uint32_t i = 0, k = 0;
    while (i < old->n_endpoints || k < new->n_endpoints) {
        int r = i == old->n_endpoints ? 1 : k == new->n_endpoints ? -1 : by_identity(&x[i], &y[k]);
        removed += r < 0;
        added += r > 0;
        updated += r == 0 && !says_the_same(&x[i], &y[k]);
        i += r <= 0;
        k += r >= 0;
    }
    m->counts.added += added;
    m->counts.removed += removed;
    m->counts.updated += updated;
    return added + removed + updated == 0;
}

static bool is_up_to_date(struct mirror *m, const struct slice *old, const struct slice *new)
{
    bool same = same_endpoints(m, old, new);
    return same &&
           labels_equal(new->object.meta.labels, new->object.meta.n_labels, old->object.meta.labels,
                        old->object.meta.n_labels) &&
           (!m->in->api || (labels_equal(new->annotations, new->n_annotations, old->annotations,
                                         old->n_annotations) &&
                            str_eq(old->owner_uid, new->owner_uid)));
}

static bool has_ports(const struct slice *s, const struct mirror_group *g, struct arena *a)
{
    if (s->family != g->family || s->n_ports != g->n_ports)
        return false;
    struct slice_port *sorted = arena_alloc(a, s->n_ports * sizeof *sorted);
    if (s->n_ports)
        memcpy(sorted, s->ports, s->n_ports * sizeof *sorted);
    if (s->n_ports)
        qsort(sorted, s->n_ports, sizeof *sorted, port_compare);
    return ports_equal(sorted, g->ports, g->n_ports);
}

static const struct slice *take(struct mirror *m, size_t i)
{
    const struct slice *s = m->free.items[i];
    memmove(&m->free.items[i], &m->free.items[i + 1], (--m->free.n - i) * sizeof *m->free.items);
    return s;
}

static const struct slice *take_with_ports(struct mirror *m, const struct mirror_group *g)
{
    for (size_t i = 0; i < m->free.n; i++)
        if (has_ports(m->free.items[i], g, &m->arena))
            return take(m, i);
    return NULL;
}

static const struct slice *take_of_family(struct mirror *m, uint8_t family)
{
    for (size_t i = 0; i < m->free.n; i++)
        if (m->free.items[i]->family == family)
            return take(m, i);
    return NULL;
}

/* ---- the plan ---- */

static const char *fresh_name(struct mirror *m)
{
    const struct slice_names used = { .existing = m->in->existing,
                                      .n_existing = m->in->n_existing,
                                      .puts = m->puts.items,
                                      .n_puts = m->puts.n,
                                      .taken = m->in->taken,
                                      .ctx = m->in->ctx };
    return slice_name(&m->arena, &m->in->endpoints->object.meta, &used, &m->next_name);
}

static void put(struct mirror *m, struct slice *s)
{
    if (!m->in->api && !*s->object.meta.name)
        s->object.meta.name = fresh_name(m);
    vec_push(&m->puts, object_copy(&s->object));
}

/* Rather than to delete one slice and make another, the old one is written anew. Endpoints that are
 * being deleted get no new slices. */
static void make_anew(struct mirror *m, const struct mirror_group *g)
{
    const struct slice *old = take_of_family(m, g->family);
    if (!old && m->in->api && m->in->endpoints->object.meta.deleting)
        return;
    struct slice s = make_slice(m, g, old);
    m->counts.added += s.n_endpoints;
    put(m, &s);
}

static void settle_groups(struct mirror *m)
{
    vec_each (g, &m->groups)
        g->old = g->addresses.n ? take_with_ports(m, g) : NULL;
    vec_each (g, &m->groups) {
        if (!g->addresses.n)
            continue;
        m->counts.slices++;
        m->counts.endpoints += (unsigned)g->addresses.n;
        if (!g->old) {
            make_anew(m, g);
            continue;
        }
        struct slice s = make_slice(m, g, g->old);
        if (!is_up_to_date(m, g->old, &s))
            put(m, &s);
    }
}

static void finish(struct mirror *m, struct plan *ret)
{
    *ret = (struct plan){ .puts = m->puts.items,
                          .n_puts = m->puts.n,
                          .dels = xcalloc(m->free.n + 1, sizeof *ret->dels) };
    m->counts.ideal = m->counts.slices; /* one for each subset and family */
    vec_each (s, &m->free) {
        m->counts.removed += (*s)->n_endpoints;
        ret->dels[ret->n_dels++] = &(*s)->object;
    }
    ret->counts = m->counts;
    vec_each (g, &m->groups)
        vec_done(&g->addresses);
    vec_done(&m->groups);
    vec_done(&m->free);
    slice_builder_done(&m->builder);
    arena_done(&m->arena);
}

void mirror_build(const struct mirror_input *in, struct plan *ret_plan, struct mirror_report *ret)
{
    struct mirror m = { .in = in, .report = ret };
    struct subsets packed;
    *ret = (struct mirror_report){ 0 };
    arena_init(&m.arena, 16384);
    if (subsets_pack(in->endpoints->subsets, in->endpoints->n_subsets, &m.arena, &packed)) {
        for (size_t i = 0; i < in->n_existing; i++)
            vec_push(&m.free, in->existing[i]);
        if (m.free.n)
            qsort(m.free.items, m.free.n, sizeof *m.free.items, slice_name_order);
        build_labels(&m);
        build_annotations(&m);
        for (uint32_t i = 0; i < packed.n; i++)
            add_subset(&m, &packed.items[i]);
        settle_groups(&m);
    } else {
        ret->too_big = true;
    }
    finish(&m, ret_plan);
}
