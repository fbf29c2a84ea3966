#include "endpoints/plan_endpoints.h"

#include "base/str.h"
#include "base/vec.h"
#include "endpoints/pod_offer.h"
#include "endpoints/ports.h"
#include "endpoints/subsets.h"

#include <string.h>

#define OVER_CAPACITY "truncated"

/* Pods that offer the same ports. */
struct offer {
    const struct slice_port *ports;
    uint16_t n_ports;
    VEC(struct endpoints_address) ready, unready;
};

struct collecting {
    const struct endpoints_input *in;
    struct arena *a;
    VEC(struct offer) offers;
    bool named_targets;
};

/* ---- addresses ---- */

/* Those that are ending are told only to who wants even those that are not ready. */
static bool is_told(const struct service *s, const struct pod *pod)
{
    return !pod_is_finished(pod) && (!pod->object.meta.deleting || s->publish_not_ready);
}

static struct offer *offer_of(struct collecting *c, const struct pod *pod)
{
    const struct slice_port *ports;
    if (c->offers.n && !c->named_targets)
        return &c->offers.items[0];
    uint16_t n = pod_ports_for(c->in->service, pod, c->a, &ports);
    vec_each (o, &c->offers)
        if (o->n_ports == n && ports_equal(o->ports, ports, n))
            return o;
    vec_push(&c->offers, (struct offer){ .ports = ports, .n_ports = n });
    return &c->offers.items[c->offers.n - 1];
}

/* A Pod that has none of the ports is not told at all, other than in slices. */
static void add_pod(struct collecting *c, const struct pod *pod, uint8_t family)
{
    const struct service *s = c->in->service;
    const struct ip *ip = pod_ip_of(pod, family);
    if (!ip || !is_told(s, pod))
        return;
    struct offer *o = offer_of(c, pod);
    if (!o->n_ports && (s->n_ports || !s->headless))
        return;
    const struct meta *m = &pod->object.meta;
    const struct endpoints_address address = { .ip = *ip,
                                               .hostname = pod_hostname_in(s, pod),
                                               .node = pod->node,
                                               .target = { .kind = "Pod",
                                                           .namespace = m->namespace,
                                                           .name = m->name,
                                                           .uid = m->uid,
                                                           .api_version = "",
                                                           .field_path = "",
                                                           .version = "" } };
    if (s->publish_not_ready || pod->ready)
        vec_push(&o->ready, address);
    else
        vec_push(&o->unready, address);
}

/* False: more than can be packed. */
static bool collect(const struct endpoints_input *in, struct arena *a, struct subsets *ret)
{
    struct collecting c = { .in = in, .a = a };
    uint8_t families[2];
    (void)service_families(in->service, families);
    c.named_targets = service_has_named_targets(in->service);
    for (size_t i = 0; i < in->n_pods; i++)
        add_pod(&c, in->pods[i], families[0]);
    struct endpoints_subset *subsets = arena_alloc(a, c.offers.n * sizeof *subsets);
    uint32_t n = 0;
    vec_each (o, &c.offers)
        subsets[n++] = (struct endpoints_subset){
            .addresses = arena_memdup(a, o->ready.items, o->ready.n * sizeof *o->ready.items),
            .not_ready = arena_memdup(a, o->unready.items, o->unready.n * sizeof *o->unready.items),
            .ports = o->ports,
            .n_addresses = (uint32_t)o->ready.n,
            .n_not_ready = (uint32_t)o->unready.n,
            .n_ports = o->n_ports
        };
    bool fits = subsets_pack(subsets, n, a, ret);
    vec_each (o, &c.offers) {
        vec_done(&o->ready);
        vec_done(&o->unready);
    }
    vec_done(&c.offers);
    return fits;
}

/* ---- capacity ---- */

/* The part of `max` that falls to n of `total`, rounded up, as long as there is some left. */
static uint32_t share(uint32_t n, size_t total, uint32_t max, uint32_t *left)
{
    uint64_t part = ((uint64_t)n * max + total - 1) / total;
    uint32_t take = (uint32_t)(part < n ? part : n);
    take = take < *left ? take : *left;
    *left -= take;
    return take;
}

/* Ready ones go first; each subset keeps its part. Were any left out? */
static bool truncate_subsets(const struct subsets *s)
{
    struct endpoints_subset *items = (struct endpoints_subset *)s->items;
    size_t ready = 0, unready = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        ready += items[i].n_addresses;
        unready += items[i].n_not_ready;
    }
    if (ready + unready <= ENDPOINTS_CAPACITY)
        return false;
    bool cut_ready = ready > ENDPOINTS_CAPACITY;
    uint32_t max = cut_ready ? ENDPOINTS_CAPACITY : ENDPOINTS_CAPACITY - (uint32_t)ready;
    uint32_t left = max;
    for (uint32_t i = 0; i < s->n; i++) {
        if (cut_ready) {
            items[i].n_addresses = share(items[i].n_addresses, ready, max, &left);
            items[i].n_not_ready = 0;
        } else {
            items[i].n_not_ready = share(items[i].n_not_ready, unready, max, &left);
        }
    }
    return true;
}

/* ---- labels and annotations ---- */

static uint16_t build_labels(const struct service *s, struct arena *a, const struct label **ret)
{
    const struct meta *m = &s->object.meta;
    struct label *labels = arena_alloc(a, (m->n_labels + 2u) * sizeof *labels);
    uint16_t n = 0;
    for (uint16_t i = 0; i < m->n_labels; i++)
        if (strcmp(m->labels[i].key, LABEL_HEADLESS) != 0 &&
            strcmp(m->labels[i].key, LABEL_ENDPOINTS_MANAGED) != 0)
            labels[n++] = m->labels[i];
    if (s->headless || !s->n_cluster_ips)
        labels[n++] = (struct label){ LABEL_HEADLESS, "" };
    labels[n++] = (struct label){ LABEL_ENDPOINTS_MANAGED, ENDPOINTS_CONTROLLER };
    *ret = labels;
    return n;
}

/* Others may have written some; they stay. */
static uint16_t build_annotations(const struct endpoints *existing, bool truncated, struct arena *a,
                                  const struct label **ret)
{
    uint16_t have = existing ? existing->n_annotations : 0, n = 0;
    struct label *all = arena_alloc(a, (have + 1u) * sizeof *all);
    for (uint16_t i = 0; i < have; i++)
        if (strcmp(existing->annotations[i].key, ANNOTATION_OVER_CAPACITY) != 0)
            all[n++] = existing->annotations[i];
    if (truncated)
        all[n++] = (struct label){ ANNOTATION_OVER_CAPACITY, OVER_CAPACITY };
    *ret = all;
    return n;
}

static bool is_up_to_date(const struct endpoints *have, const struct endpoints *want,
                          struct arena *a)
{
    const struct meta *x = &have->object.meta, *y = &want->object.meta;
    return labels_equal(x->labels, x->n_labels, y->labels, y->n_labels) &&
           labels_equal(have->annotations, have->n_annotations, want->annotations,
                        want->n_annotations) &&
           subsets_equal(have->subsets, have->n_subsets, want->subsets, want->n_subsets, a);
}

struct object *endpoints_build(const struct endpoints_input *in)
{
    const struct meta *m = &in->service->object.meta;
    const struct endpoints *old = in->existing;
    cleanup(arena_done) struct arena a;
    struct subsets subsets;
    arena_init(&a, 16384);
    if (!collect(in, &a, &subsets))
        return NULL;
    bool truncated = truncate_subsets(&subsets);
    struct endpoints e = { .object = { .kind = KIND_ENDPOINTS,
                                       .meta = { .namespace = m->namespace,
                                                 .name = m->name,
                                                 .uid = old ? old->object.meta.uid : "",
                                                 .origin = "" } },
                           .subsets = subsets.items,
                           .n_subsets = subsets.n,
                           .version = old ? old->version : NULL,
                           .trigger_time_ns = in->trigger_time_ns };
    e.object.meta.n_labels = build_labels(in->service, &a, &e.object.meta.labels);
    e.n_annotations = build_annotations(old, truncated, &a, &e.annotations);
    if (old && is_up_to_date(old, &e, &a))
        return NULL;
    return object_copy(&e.object);
}
