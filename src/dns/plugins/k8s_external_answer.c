/* Records of `k8s_external`. */
#include "dns/plugins/k8s_external.h"

#include <string.h>

#define SOA_REFRESH 7200
#define SOA_RETRY   1800
#define SOA_EXPIRE  86400

/* ---- the zone ---- */

/* The zone as it stands in the configuration. */
static const uint8_t *zone_of(const struct external_query *e)
{
    return zone_set_wire(e->x->zones, e->zone);
}

void external_soa(struct external_query *e, enum section s)
{
    const uint8_t *zone = zone_of(e), *apex = e->x->apex;
    size_t zone_len = name_wire_len(zone), apex_len = 1u + apex[0];
    uint32_t numbers[] = { snapshot_serial(e->x->k->snapshot), SOA_REFRESH, SOA_RETRY, SOA_EXPIRE,
                           e->x->ttl };
    size_t cap = 2 + 4 + 11 + 2 * (apex_len + zone_len) + sizeof numbers;
    struct wbuf w = wbuf_of(arena_alloc(&e->q->arena, cap), cap);
    wbuf_u16(&w, (uint16_t)(cap - 2));
    wbuf_put(&w, "\003ns1", 4);
    wbuf_put(&w, apex, apex_len);
    wbuf_put(&w, zone, zone_len);
    wbuf_put(&w, "\012hostmaster", 11);
    wbuf_put(&w, apex, apex_len);
    wbuf_put(&w, zone, zone_len);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        wbuf_u32(&w, numbers[i]);
    query_add(e->q, s,
              (struct rrset){ .owner = zone,
                              .type = RR_SOA,
                              .class = CLASS_IN,
                              .ttl = e->x->ttl,
                              .count = 1,
                              .rdata = w.base });
}

/* A record whose data is one name. */
static void add_name(struct external_query *e, uint16_t type, uint32_t ttl, const uint8_t *target)
{
    uint8_t *rdata = rdata_of_name(&e->q->arena, target);
    query_add(
        e->q, SECTION_ANSWER,
        (struct rrset){ .type = type, .class = CLASS_IN, .ttl = ttl, .count = 1, .rdata = rdata });
}

void external_ns(struct external_query *e)
{
    uint8_t labels[4 + 64];
    size_t apex_len = 1u + e->x->apex[0];
    memcpy(labels, "\003ns1", 4);
    memcpy(labels + 4, e->x->apex, apex_len);
    uint8_t *target = join_name(&e->q->arena, labels, 4 + apex_len, zone_of(e));
    if (!target)
        return;
    add_name(e, RR_NS, e->x->ttl, target);
    external_own_addresses(e, SECTION_ADDITIONAL, target, 0);
}

/* ---- our own addresses ---- */

static void add_ip(struct external_query *e, enum section s, const uint8_t *owner,
                   const struct ip *ip)
{
    add_address_set(e->q, s, owner, e->x->ttl, ip->family,
                    arena_memdup(&e->q->arena, ip->bytes, ip_len(ip)), 1);
}

static void add_external(struct external_query *e, enum section s, const uint8_t *owner,
                         const struct snap_external *a, uint8_t family)
{
    if (family != 6)
        add_address_set(e->q, s, owner, e->x->ttl, 4, a->a, a->n_a);
    if (family != 4)
        add_address_set(e->q, s, owner, e->x->ttl, 6, a->aaaa, a->n_aaaa);
}

/* The external addresses of the Services that have one of our own addresses as an endpoint. Returns
 * whether there are such Services. */
static bool own_services(struct external_query *e, enum section s, const uint8_t *owner,
                         uint8_t family, const struct ip *local)
{
    const struct snapshot *snapshot = e->x->k->snapshot;
    struct snap_owners w = snapshot_owners(snapshot, local);
    bool found = false;
    for (struct snap_owner o; snap_owners_next(&w, &o);) {
        const struct snap_service *service = o.service;
        if (!o.endpoint || !service->visible)
            continue;
        found = true;
        const struct snap_external *x = snapshot_external(snapshot, service->key, service->key_len);
        if (x)
            add_external(e, s, owner, x, family);
        else if (e->x->headless && service->kind == SNAP_HEADLESS &&
                 (!family || family == local->family))
            add_ip(e, s, owner, local);
    }
    return found;
}

void external_own_addresses(struct external_query *e, enum section s, const uint8_t *owner,
                            uint8_t family)
{
    const struct kubernetes *k = e->x->k;
    bool found = false;
    for (size_t i = 0; i < k->n_local; i++)
        found |= own_services(e, s, owner, family, &k->local[i]);
    if (found)
        return;
    for (size_t i = 0; i < k->n_local; i++)
        if (!family || k->local[i].family == family)
            add_ip(e, s, owner, &k->local[i]);
}

/* ---- reverse ---- */

bool external_ptr(struct external_query *e, const struct ip *ip)
{
    struct snap_owners w = snapshot_external_owners(e->x->k->snapshot, ip);
    const uint8_t *zone = zone_set_wire(e->x->zones, e->x->primary);
    bool found = false;
    for (const struct snap_external *x; (x = snap_external_owners_next(&w));) {
        uint8_t *target = join_name(&e->q->arena, x->key, x->key_len, zone);
        if (target)
            add_name(e, RR_PTR, e->x->ttl, target);
        found = true;
    }
    e->q->reply.flags |= FLAG_AA;
    return found;
}

/* ---- addresses ---- */

static unsigned matching_ports(const struct external_query *e)
{
    unsigned n = 0;
    for (uint16_t i = 0; i < e->service->n_ports; i++)
        n += place_has_port(&e->place, &e->service->ports[i]);
    return n;
}

/* The look-up of a balancer's host name has come back; whatever its rcode, the CNAME stands. */
static enum step cname_done(struct query *q, void *conf, void *data)
{
    const struct query *sub = data;
    (void)conf;
    q->reply.tc |= sub->reply.tc;
    query_copy_section(q, sub, SECTION_ANSWER);
    return STEP_DONE;
}

/* Host names only where there is no address: a CNAME stands alone at its name (RFC 1034
 * section 3.6.2). */
static enum step service_addresses(struct external_query *e, uint8_t family)
{
    const struct snap_external *a = e->addresses;
    if (a->n_a || a->n_aaaa) {
        add_external(e, SECTION_ANSWER, NULL, a, family);
        return STEP_DONE;
    }
    add_name(e, RR_CNAME, e->x->k->ttl, a->hosts);
    return query_lookup(e->q, a->hosts, e->q->msg.q.type, cname_done, NULL);
}

/* They are sorted by address, so duplicates are neighbours. */
static void endpoint_addresses(struct external_query *e, uint8_t family)
{
    const struct snap_service *s = e->service;
    struct ip last = { 0 };
    unsigned ports;
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        struct ip ip = snap_endpoint_ip_at(s, i);
        if (ip.family != family || ip_equal(&last, &ip) ||
            !place_has_endpoint(&e->place, &s->endpoints[i], &ports))
            continue;
        add_ip(e, SECTION_ANSWER, NULL, &ip);
        last = ip;
    }
}

/* ---- SRV ---- */

static bool has_srv(const struct external_query *e, const uint8_t *rdata)
{
    const struct rrset_list *answer = &e->q->reply.section[SECTION_ANSWER];
    for (uint16_t i = 0; i < answer->n; i++)
        if (get_u16(answer->items[i].rdata) == get_u16(rdata) &&
            memcmp(answer->items[i].rdata, rdata, 2u + get_u16(rdata)) == 0)
            return true;
    return false;
}

static void add_srv(struct external_query *e, const uint8_t *target, uint16_t weight, uint16_t port)
{
    uint8_t *rdata = srv_rdata(&e->q->arena, target, weight, port);
    if (!has_srv(e, rdata))
        query_add(e->q, SECTION_ANSWER,
                  (struct rrset){ .type = RR_SRV,
                                  .class = CLASS_IN,
                                  .ttl = e->x->k->ttl,
                                  .count = 1,
                                  .rdata = rdata });
}

static void add_srv_ports(struct external_query *e, const uint8_t *target, uint16_t weight)
{
    for (uint16_t i = 0; i < e->service->n_ports; i++) {
        const struct snap_port *p = &e->service->ports[i];
        if (p->number >= 0 && place_has_port(&e->place, p))
            add_srv(e, target, weight, (uint16_t)p->number);
    }
}

/* Both families of each host name, one after the other. */
struct chase {
    const uint8_t *host; /* in the query's arena: a snapshot does not outlive a wait */
    unsigned left;
    uint16_t type;
};

static enum step chase_next(struct query *q, struct chase *c);

static enum step chase_done(struct query *q, void *conf, void *data)
{
    struct chase *c = conf;
    const struct query *sub = data;
    query_copy_records(q, sub, SECTION_ANSWER, SECTION_ADDITIONAL, 0);
    if (c->type == RR_AAAA) {
        c->host += name_wire_len(c->host);
        c->left--;
    }
    c->type = c->type == RR_A ? RR_AAAA : RR_A;
    return chase_next(q, c);
}

static enum step chase_next(struct query *q, struct chase *c)
{
    return c->left ? query_lookup(q, c->host, c->type, chase_done, c) : STEP_DONE;
}

static enum step service_srv(struct external_query *e, unsigned ports)
{
    const struct snap_external *a = e->addresses;
    struct arena *arena = &e->q->arena;
    uint16_t weight = srv_weight((size_t)ports * (a->n_a + a->n_aaaa + a->n_hosts));
    uint8_t *target = join_name(arena, e->service->key, e->service->key_len, zone_of(e));
    if (target && (a->n_a || a->n_aaaa)) {
        add_srv_ports(e, target, weight);
        if (e->q->reply.section[SECTION_ANSWER].n)
            add_external(e, SECTION_ADDITIONAL, target, a, 0);
    }
    const uint8_t *host = a->hosts;
    for (unsigned i = 0; i < a->n_hosts; i++, host += name_wire_len(host))
        add_srv_ports(e, host, weight);
    if (a->n_hosts == 0 || e->q->reply.section[SECTION_ANSWER].n == 0)
        return STEP_DONE;
    struct chase *c = arena_alloc(arena, sizeof *c);
    *c = (struct chase){ arena_memdup(arena, a->hosts, (size_t)(host - a->hosts)), a->n_hosts,
                         RR_A };
    return chase_next(e->q, c);
}

static void add_endpoint(struct external_query *e, const struct snap_endpoint *p, uint16_t weight)
{
    const struct snap_service *s = e->service;
    uint8_t buf[64], labels[64 + 128];
    const uint8_t *label = snap_endpoint_label(s, p, buf);
    size_t n = 1u + label[0];
    memcpy(labels, label, n);
    memcpy(labels + n, s->key, s->key_len);
    uint8_t *target = join_name(&e->q->arena, labels, n + s->key_len, zone_of(e));
    if (!target)
        return;
    const struct snap_group *g = &s->groups[p->group];
    bool any = false;
    for (uint16_t i = 0; i < g->n; i++) {
        const struct snap_port *port = &s->ports[g->first + i];
        if (port->number < 0 || !place_has_port(&e->place, port))
            continue;
        add_srv(e, target, weight, (uint16_t)port->number);
        any = true;
    }
    struct ip ip = snap_endpoint_ip(s, p);
    if (any)
        add_ip(e, SECTION_ADDITIONAL, target, &ip);
}

static void endpoints_srv(struct external_query *e)
{
    const struct snap_service *s = e->service;
    size_t items = 0;
    unsigned ports;
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (place_has_endpoint(&e->place, &s->endpoints[i], &ports))
            items += ports;
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (place_has_endpoint(&e->place, &s->endpoints[i], &ports))
            add_endpoint(e, &s->endpoints[i], srv_weight(items));
}

/* ---- by type ---- */

static bool has_endpoint(const struct external_query *e)
{
    unsigned ports;
    for (uint32_t i = 0; i < e->service->n_endpoints; i++)
        if (place_has_endpoint(&e->place, &e->service->endpoints[i], &ports))
            return true;
    return false;
}

bool external_answer(struct external_query *e, enum step *ret_step)
{
    uint16_t type = e->q->msg.q.type;
    unsigned ports = e->addresses ? matching_ports(e) : 0;
    *ret_step = STEP_DONE;
    if (e->addresses ? ports == 0 : !has_endpoint(e))
        return false;
    e->q->reply.flags |= FLAG_AA;
    if (type == RR_A || type == RR_AAAA) {
        if (e->addresses)
            *ret_step = service_addresses(e, type == RR_A ? 4 : 6);
        else
            endpoint_addresses(e, type == RR_A ? 4 : 6);
    } else if (type == RR_SRV) {
        if (e->addresses)
            *ret_step = service_srv(e, ports);
        else
            endpoints_srv(e);
    }
    return true;
}
