/* SRV records and the addresses of their targets. */
#include "dns/plugins/kubernetes.h"

#include "base/hash.h"
#include "dns/plugins/seen.h"

#include <string.h>

/* Pairs of target and port that are in the answer already. Names that share addresses of both
 * families, or slices that overlap, would give the same record twice (reference: de-duplication).
 */
static bool pair_add(struct seen *s, const uint8_t *label, int32_t port)
{
    return seen_add(s, hash_bytes(label, 1u + label[0]) ^
                           (uint64_t)(uint32_t)port * 0x9e3779b97f4a7c15ULL);
}

uint16_t srv_weight(size_t n)
{
    return n && n < 100 ? (uint16_t)(100 / n) : 1;
}

uint8_t *srv_rdata(struct arena *a, const uint8_t *target, uint16_t weight, uint16_t port)
{
    size_t len = 6 + (size_t)name_wire_len(target);
    struct wbuf w = wbuf_of(arena_alloc(a, 2 + len), 2 + len);
    wbuf_u16(&w, (uint16_t)len);
    wbuf_u16(&w, 0);
    wbuf_u16(&w, weight);
    wbuf_u16(&w, port);
    wbuf_put(&w, target, len - 6);
    return w.base;
}

static void add_srv(struct lookup *l, const uint8_t *target, uint16_t weight, uint16_t port)
{
    query_add(l->q, SECTION_ANSWER,
              (struct rrset){ .owner = l->owner,
                              .type = RR_SRV,
                              .class = CLASS_IN,
                              .ttl = l->k->ttl,
                              .count = 1,
                              .rdata = srv_rdata(&l->q->arena, target, weight, port) });
}

/* "service.namespace.svc.ZONE": object names lower case, the zone as it was typed. */
static uint8_t *service_name(struct lookup *l, const struct snap_service *s)
{
    uint8_t labels[160];
    memcpy(labels, s->key, s->key_len);
    memcpy(labels + s->key_len, "\003svc", 4);
    return join_name(&l->q->arena, labels, s->key_len + 4u, lookup_zone(l));
}

static enum outcome cluster_ip_srv(struct lookup *l, const struct place *p)
{
    const struct snap_service *s = p->service;
    size_t items = 0;
    bool exists = false;
    for (uint16_t i = 0; i < s->n_ports; i++)
        if (place_has_port(p, &s->ports[i])) {
            exists = true;
            items += s->n_a + s->n_aaaa;
        }
    if (!exists)
        return OUTCOME_NAME_ERROR;
    uint8_t *target = service_name(l, s);
    struct seen seen = seen_new(&l->q->arena, s->n_ports);
    bool any = false;
    for (uint16_t i = 0; i < s->n_ports && target && items; i++) {
        const struct snap_port *port = &s->ports[i];
        if (port->number < 0 || !place_has_port(p, port) ||
            !pair_add(&seen, (const uint8_t *)"", port->number))
            continue;
        add_srv(l, target, srv_weight(items), (uint16_t)port->number);
        any = true;
    }
    if (!any)
        return OUTCOME_NODATA;
    add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, 4, s->a, (uint16_t)s->n_a);
    add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, 6, s->aaaa, (uint16_t)s->n_aaaa);
    return OUTCOME_ANSWER;
}

static uint8_t *endpoint_name(struct lookup *l, const struct snap_service *s, const uint8_t *label)
{
    uint8_t labels[224];
    size_t n = 1u + label[0];
    memcpy(labels, label, n);
    memcpy(labels + n, s->key, s->key_len);
    memcpy(labels + n + s->key_len, "\003svc", 4);
    return join_name(&l->q->arena, labels, n + s->key_len + 4u, lookup_zone(l));
}

/* One endpoint's records; `seen` spans all endpoints of the answer. */
static void endpoint_srv(struct lookup *l, const struct place *p, const struct snap_endpoint *e,
                         struct seen *seen, uint16_t weight)
{
    const struct snap_service *s = p->service;
    const struct snap_group *g = &s->groups[e->group];
    uint8_t buf[64];
    const uint8_t *label = snap_endpoint_label(s, e, buf);
    uint8_t *target = endpoint_name(l, s, label);
    bool has_port = false;
    for (uint16_t i = 0; i < g->n && target; i++) {
        const struct snap_port *port = &s->ports[g->first + i];
        if (port->number < 0 || !place_has_port(p, port))
            continue;
        has_port = true;
        if (pair_add(seen, label, port->number))
            add_srv(l, target, weight, (uint16_t)port->number);
    }
    /* The pair (target, address) once: -2 and below cannot be ports. */
    struct ip ip = snap_endpoint_ip(s, e);
    int32_t address = -2 - (int32_t)(hash_bytes(ip.bytes, ip_len(&ip)) & 0x3fffffff);
    if (has_port && pair_add(seen, label, address))
        add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, ip.family,
                        snap_endpoint_bytes(s, (uint32_t)(e - s->endpoints)), 1);
}

static enum outcome endpoints_srv(struct lookup *l, const struct place *p)
{
    const struct snap_service *s = p->service;
    size_t items = 0, matched = 0;
    unsigned ports;
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (place_has_endpoint(p, &s->endpoints[i], &ports)) {
            items += ports;
            matched++;
        }
    if (!items)
        return OUTCOME_NAME_ERROR;
    struct seen seen = seen_new(&l->q->arena, items + matched);
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (place_has_endpoint(p, &s->endpoints[i], &ports))
            endpoint_srv(l, p, &s->endpoints[i], &seen, srv_weight(items));
    return l->q->reply.section[SECTION_ANSWER].n ? OUTCOME_ANSWER : OUTCOME_NODATA;
}

static enum outcome zonal_srv(struct lookup *l, const struct place *p)
{
    enum outcome o = endpoints_srv(l, p);
    if (o != OUTCOME_NAME_ERROR)
        return o;
    if (!p->prefer || p->service->n_endpoints == 0)
        return OUTCOME_NODATA;
    struct place all = *p;
    all.kind = PLACE_SERVICE;
    return endpoints_srv(l, &all);
}

/* A pod's name has an SRV with port 0 that points to itself, as in the reference; labels in front
 * of it are left out. */
static enum outcome pod_srv(struct lookup *l, const struct place *p)
{
    struct ip ip;
    enum outcome o = answer_address(l, p); /* type SRV: only whether it exists */
    if (o == OUTCOME_NAME_ERROR || !snap_dashed_ip(p->endpoint, &ip))
        return o;
    size_t at = (size_t)(p->endpoint - l->name->lower);
    size_t zone = (size_t)(lookup_zone(l) - l->name->name.wire);
    const uint8_t *target = join_name(&l->q->arena, p->endpoint, zone - at, lookup_zone(l));
    add_srv(l, target, 100, 0);
    add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, ip.family,
                    arena_memdup(&l->q->arena, ip.bytes, ip_len(&ip)), 1);
    return OUTCOME_ANSWER;
}

enum outcome answer_srv(struct lookup *l, const struct place *p)
{
    if (p->kind == PLACE_POD)
        return pod_srv(l, p);
    const struct snap_service *s = p->service;
    if (!s || s->kind == SNAP_EXTERNAL)
        return OUTCOME_NAME_ERROR;
    if (p->kind == PLACE_ZONAL)
        return zonal_srv(l, p);
    if (p->kind == PLACE_ENDPOINT || s->kind == SNAP_HEADLESS)
        return endpoints_srv(l, p);
    return cluster_ip_srv(l, p);
}
