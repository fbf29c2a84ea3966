/* Address, PTR, NS, TXT and SOA records from the snapshot. */
#include "dns/plugins/kubernetes.h"

#include <string.h>

#define SOA_REFRESH     7200
#define SOA_RETRY       1800
#define SOA_EXPIRE      86400
#define SOA_TTL_MAX     300
#define SOA_NUMBERS     20 /* bytes from the serial on */
#define DNS_VERSION_TTL 28800

const uint8_t *lookup_zone(const struct lookup *l)
{
    const struct name *n = &l->name->name;
    return n->wire + n->off[n->n_labels - zone_set_labels(l->k->zones, l->zone)];
}

bool zone_is_lower(const struct lookup *l)
{
    size_t off = (size_t)(lookup_zone(l) - l->name->name.wire);
    return memcmp(l->name->name.wire + off, l->name->lower + off, l->name->name.len - off) == 0;
}

uint8_t *join_name(struct arena *a, const uint8_t *labels, size_t len, const uint8_t *tail)
{
    size_t tail_len = name_wire_len(tail);
    if (len + tail_len > NAME_MAX_WIRE)
        return NULL;
    uint8_t *out = arena_alloc(a, len + tail_len);
    memcpy(out, labels, len);
    memcpy(out + len, tail, tail_len);
    return out;
}

uint8_t *soa_rdata(const struct kubernetes *k, struct arena *a, const uint8_t *zone)
{
    size_t zone_len = name_wire_len(zone);
    uint32_t numbers[] = { 0, SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, k->ttl };
    size_t cap = 2 + 7 + 11 + 2 * zone_len + sizeof numbers;
    struct wbuf w = wbuf_of(arena_alloc(a, cap), cap);
    wbuf_u16(&w, (uint16_t)(cap - 2));
    wbuf_put(&w, "\002ns\003dns", 7);
    wbuf_put(&w, zone, zone_len);
    wbuf_put(&w, "\012hostmaster", 11);
    wbuf_put(&w, zone, zone_len);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        wbuf_u32(&w, numbers[i]);
    return w.base;
}

/* The zone's names are echoed as they were typed. */
void add_soa(struct lookup *l, enum section s)
{
    const uint8_t *zone = lookup_zone(l), *ready = l->k->soa[l->zone];
    struct arena *a = &l->q->arena;
    size_t len = 2u + get_u16(ready);
    uint8_t *rdata = zone_is_lower(l) ? arena_memdup(a, ready, len) : soa_rdata(l->k, a, zone);
    put_u32(rdata + len - SOA_NUMBERS, snapshot_serial(l->k->snapshot));
    query_add(l->q, s,
              (struct rrset){ .owner = zone,
                              .type = RR_SOA,
                              .class = CLASS_IN,
                              .ttl = MIN(l->k->ttl, (uint32_t)SOA_TTL_MAX),
                              .count = 1,
                              .rdata = rdata });
}

void add_address_set(struct query *q, enum section s, const uint8_t *owner, uint32_t ttl,
                     uint8_t family, const uint8_t *bytes, uint16_t n)
{
    if (n)
        query_add(q, s,
                  (struct rrset){ .owner = owner,
                                  .type = family == 4 ? RR_A : RR_AAAA,
                                  .class = CLASS_IN,
                                  .ttl = ttl,
                                  .count = n,
                                  .rdlen = family == 4 ? 4 : 16,
                                  .rdata = bytes });
}

static enum outcome add_answer(struct lookup *l, uint8_t family, const uint8_t *bytes, uint32_t n)
{
    if (n == 0)
        return OUTCOME_NODATA;
    add_address_set(l->q, SECTION_ANSWER, l->owner, l->k->ttl, family, bytes,
                    (uint16_t)MIN(n, 65535u));
    return OUTCOME_ANSWER;
}

/* family 0: only whether the name exists. */
static enum outcome service_addresses(struct lookup *l, const struct snap_service *s,
                                      uint8_t family)
{
    if (family == 4)
        return add_answer(l, 4, s->a, s->n_a);
    return family == 6 ? add_answer(l, 6, s->aaaa, s->n_aaaa) : OUTCOME_NODATA;
}

/* Endpoints that fit the place; they are sorted by address, so duplicates are neighbours. */
static enum outcome endpoint_addresses(struct lookup *l, const struct place *p, uint8_t family)
{
    const struct snap_service *s = p->service;
    size_t len = family == 4 ? 4 : 16;
    uint8_t *out = NULL;
    uint32_t n = 0;
    bool exists = false;
    unsigned ports;
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        const struct snap_endpoint *e = &s->endpoints[i];
        if (!place_has_endpoint(p, e, &ports))
            continue;
        exists = true;
        struct ip ip = snap_endpoint_ip(s, e);
        if (ip.family != family || (n && memcmp(out + len * (n - 1), ip.bytes, len) == 0))
            continue;
        if (!out)
            out = arena_alloc(&l->q->arena, len * (s->n_endpoints - i));
        memcpy(out + len * n++, ip.bytes, len);
    }
    if (!exists)
        return OUTCOME_NAME_ERROR;
    return family ? add_answer(l, family, out, n) : OUTCOME_NODATA;
}

static bool any_port_matches(const struct place *p)
{
    for (uint16_t i = 0; i < p->service->n_ports; i++)
        if (place_has_port(p, &p->service->ports[i]))
            return true;
    return false;
}

static enum outcome zonal_addresses(struct lookup *l, const struct place *p, uint8_t family)
{
    enum outcome o = endpoint_addresses(l, p, family);
    if (o != OUTCOME_NAME_ERROR)
        return o;
    return p->prefer && p->service->n_endpoints ? service_addresses(l, p->service, family)
                                                : OUTCOME_NODATA;
}

static enum outcome pod_address(struct lookup *l, const struct place *p, uint8_t family)
{
    struct ip ip;
    const struct kubernetes *k = l->k;
    if (k->options.pods == PODS_DISABLED || !snap_dashed_ip(p->endpoint, &ip) ||
        !snapshot_namespace(k->snapshot, p->namespace))
        return OUTCOME_NAME_ERROR;
    if (k->options.pods == PODS_VERIFIED) {
        uint8_t canonical[64];
        snap_dashed_text(&ip, canonical);
        if (memcmp(canonical, p->endpoint, 1u + canonical[0]) != 0 ||
            !snapshot_pod(k->snapshot, p->namespace, &ip))
            return OUTCOME_NAME_ERROR;
    }
    if (ip.family != family)
        return OUTCOME_NODATA;
    return add_answer(l, family, arena_memdup(&l->q->arena, ip.bytes, ip_len(&ip)), 1);
}

enum outcome answer_address(struct lookup *l, const struct place *p)
{
    uint8_t family = l->type == RR_A ? 4 : l->type == RR_AAAA ? 6 : 0;
    if (p->kind == PLACE_POD)
        return pod_address(l, p, family);
    const struct snap_service *s = p->service;
    if (!s || s->kind == SNAP_EXTERNAL)
        return OUTCOME_NAME_ERROR;
    switch (p->kind) {
    case PLACE_SERVICE:
        if (s->kind == SNAP_HEADLESS && s->n_endpoints == 0)
            return OUTCOME_NAME_ERROR;
        return service_addresses(l, s, family);
    case PLACE_PORT:
        if (s->kind == SNAP_HEADLESS)
            return endpoint_addresses(l, p, family);
        return any_port_matches(p) ? service_addresses(l, s, family) : OUTCOME_NAME_ERROR;
    case PLACE_ENDPOINT:
        return endpoint_addresses(l, p, family);
    case PLACE_ZONAL:
        return zonal_addresses(l, p, family);
    default:
        return OUTCOME_NAME_ERROR;
    }
}

/* ---- PTR ---- */

static bool in_answer(const struct query *q, const uint8_t *rdata)
{
    const struct rrset_list *answer = &q->reply.section[SECTION_ANSWER];
    for (uint16_t i = 0; i < answer->n; i++)
        if (name_equal(answer->items[i].rdata + 2, rdata + 2))
            return true;
    return false;
}

static void add_ptr(struct lookup *l, const struct snap_owner *o)
{
    uint8_t labels[SNAP_OWNER_NAME];
    size_t len = snap_owner_name(o, labels);
    uint8_t *target =
        join_name(&l->q->arena, labels, len, zone_set_wire(l->k->zones, l->k->primary));
    if (!target)
        return;
    uint8_t *rdata = rdata_of_name(&l->q->arena, target);
    if (in_answer(l->q, rdata))
        return; /* two slices of a Service may list one address */
    query_add(
        l->q, SECTION_ANSWER,
        (struct rrset){
            .type = RR_PTR, .class = CLASS_IN, .ttl = l->k->ttl, .count = 1, .rdata = rdata });
}

/* A cluster IP has one name; an endpoint's address has one for each Service that it is ready in. */
enum outcome answer_ptr(struct lookup *l, const struct ip *ip)
{
    struct snap_owners w = snapshot_owners(l->k->snapshot, ip);
    struct snap_owner o;
    bool found = false;
    while (snap_owners_next(&w, &o)) {
        found = true;
        if (o.endpoint)
            continue;
        add_ptr(l, &o);
        return OUTCOME_ANSWER;
    }
    w = snapshot_owners(l->k->snapshot, ip);
    while (snap_owners_next(&w, &o))
        add_ptr(l, &o);
    return found ? OUTCOME_ANSWER : OUTCOME_NAME_ERROR;
}

/* ---- the name server itself ---- */

/* Calls fn for each Service endpoint that has one of our own addresses; returns how many. */
static unsigned each_own_service(struct lookup *l,
                                 void (*fn)(struct lookup *l, const struct snap_owner *o,
                                            const struct ip *ip))
{
    unsigned n = 0;
    for (size_t i = 0; i < l->k->n_local; i++) {
        struct snap_owners w = snapshot_owners(l->k->snapshot, &l->k->local[i]);
        for (struct snap_owner o; snap_owners_next(&w, &o);) {
            const struct snap_service *s = o.service;
            if (!o.endpoint || !s->visible ||
                (s->kind != SNAP_CLUSTER_IP && s->kind != SNAP_HEADLESS))
                continue;
            fn(l, &o, &l->k->local[i]);
            n++;
        }
    }
    return n;
}

/* False: it is there already, as with both families of one pod, or two pods of one Service. */
static bool add_ns(struct lookup *l, const uint8_t *target)
{
    uint8_t *rdata = rdata_of_name(&l->q->arena, target);
    if (in_answer(l->q, rdata))
        return false;
    query_add(l->q, SECTION_ANSWER,
              (struct rrset){
                  .type = RR_NS, .class = CLASS_IN, .ttl = l->k->ttl, .count = 1, .rdata = rdata });
    return true;
}

static void add_ip(struct lookup *l, enum section s, const uint8_t *owner, const struct ip *ip)
{
    add_address_set(l->q, s, owner, l->k->ttl, ip->family,
                    arena_memdup(&l->q->arena, ip->bytes, ip_len(ip)), 1);
}

static void add_own_ns(struct lookup *l, const struct snap_owner *o, const struct ip *ip)
{
    const struct snap_service *s = o->service;
    bool headless = s->kind == SNAP_HEADLESS;
    struct snap_owner named = { s, headless ? o->endpoint : NULL };
    uint8_t labels[SNAP_OWNER_NAME];
    uint8_t *target =
        join_name(&l->q->arena, labels, snap_owner_name(&named, labels), lookup_zone(l));
    if (!target)
        return;
    bool new = add_ns(l, target);
    if (headless) {
        add_ip(l, SECTION_ADDITIONAL, target, ip);
    } else if (new) {
        add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, 4, s->a, (uint16_t)s->n_a);
        add_address_set(l->q, SECTION_ADDITIONAL, target, l->k->ttl, 6, s->aaaa,
                        (uint16_t)s->n_aaaa);
    }
}

enum outcome answer_ns(struct lookup *l)
{
    if (each_own_service(l, add_own_ns))
        return OUTCOME_ANSWER;
    if (l->k->n_local == 0)
        return OUTCOME_NODATA;
    uint8_t *target = join_name(&l->q->arena, (const uint8_t *)"\002ns\003dns", 7, lookup_zone(l));
    if (!target)
        return OUTCOME_NODATA;
    add_ns(l, target);
    for (size_t i = 0; i < l->k->n_local; i++)
        add_ip(l, SECTION_ADDITIONAL, target, &l->k->local[i]);
    return OUTCOME_ANSWER;
}

static void add_own_address(struct lookup *l, const struct snap_owner *o, const struct ip *ip)
{
    const struct snap_service *s = o->service;
    uint8_t family = l->type == RR_A ? 4 : 6;
    if (s->kind == SNAP_CLUSTER_IP)
        add_address_set(l->q, SECTION_ANSWER, l->owner, l->k->ttl, family,
                        family == 4 ? s->a : s->aaaa, (uint16_t)(family == 4 ? s->n_a : s->n_aaaa));
    else if (ip->family == family)
        add_ip(l, SECTION_ANSWER, l->owner, ip);
}

enum outcome answer_ns_dns(struct lookup *l)
{
    uint8_t family = l->type == RR_A ? 4 : l->type == RR_AAAA ? 6 : 0;
    if (family && !each_own_service(l, add_own_address))
        for (size_t i = 0; i < l->k->n_local; i++)
            if (l->k->local[i].family == family)
                add_ip(l, SECTION_ANSWER, l->owner, &l->k->local[i]);
    return l->q->reply.section[SECTION_ANSWER].n ? OUTCOME_ANSWER : OUTCOME_NODATA;
}

enum outcome answer_txt_version(struct lookup *l)
{
    static const uint8_t rdata[] = { 0, 6, 5, '1', '.', '1', '.', '0' };
    query_add(l->q, SECTION_ANSWER,
              (struct rrset){ .owner = l->owner,
                              .type = RR_TXT,
                              .class = CLASS_IN,
                              .ttl = DNS_VERSION_TTL,
                              .count = 1,
                              .rdata = rdata });
    return OUTCOME_ANSWER;
}
