#include "dns/plugins/kubernetes.h"

#include <string.h>

/* ---- ExternalName ---- */

static void add_cname(struct lookup *l, const uint8_t *owner, const uint8_t *target)
{
    uint8_t *rdata = rdata_of_name(&l->q->arena, target);
    query_add(l->q, SECTION_ANSWER,
              (struct rrset){ .owner = owner,
                              .type = RR_CNAME,
                              .class = CLASS_IN,
                              .ttl = l->k->ttl,
                              .count = 1,
                              .rdata = rdata });
}

/* The look-up of a target outside the zone has come back: its answers follow the CNAME. Whatever
 * its rcode, the CNAME stands. */
static enum step external_done(struct query *q, void *conf, void *data)
{
    const struct query *sub = data;
    (void)conf;
    q->reply.tc |= sub->reply.tc;
    query_copy_section(q, sub, SECTION_ANSWER);
    return STEP_DONE;
}

static bool in_answer(const struct query *q, const uint8_t *target)
{
    const struct rrset_list *answer = &q->reply.section[SECTION_ANSWER];
    for (uint16_t i = 0; i < answer->n; i++)
        if (name_equal(answer->items[i].rdata + 2, target))
            return true;
    return false;
}

/* The next name of a chain: a question of its own, so that it parses like any other. */
static void lookup_target(struct lookup *l, const uint8_t *target)
{
    struct question *n = arena_zalloc(&l->q->arena, sizeof *n);
    name_from_wire(target, &n->name);
    name_lower(n->lower, n->name.wire, n->name.len);
    l->name = n;
    l->owner = n->name.wire;
}

/* An ExternalName, or a headless Service whose endpoints are host names. */
static bool is_external(const struct snap_service *s)
{
    return s && (s->kind == SNAP_EXTERNAL ||
                 (s->kind == SNAP_HEADLESS && s->external && !s->n_endpoints));
}

/* Follows ExternalNames while they stay inside the zone. OUTCOME_WAIT with *ret_outside set: the
 * target lies elsewhere and has to be asked for. */
static enum outcome follow_external(struct lookup *l, struct place *p, const uint8_t **ret_outside)
{
    const uint8_t *zone = zone_set_wire(l->k->zones, l->zone);
    for (int hops = 0; hops < KUBERNETES_CHASE; hops++) {
        const uint8_t *target = p->service->external;
        if (!target || name_is_below(target, l->name->name.wire) || in_answer(l->q, target))
            return OUTCOME_NODATA;
        add_cname(l, l->owner, target);
        if (!name_is_below(target, zone)) {
            *ret_outside = target;
            return OUTCOME_WAIT;
        }
        lookup_target(l, target);
        place_parse(l, p);
        if (p->kind != PLACE_SERVICE || !is_external(p->service))
            return answer_address(l, p);
    }
    return OUTCOME_NODATA;
}

static enum outcome answer_external(struct lookup *l, struct place *p, const uint8_t **ret_outside)
{
    if (!p->service->external)
        return OUTCOME_NAME_ERROR;
    if (l->type == RR_CNAME) {
        add_cname(l, l->owner, p->service->external);
        return OUTCOME_ANSWER;
    }
    if (l->type != RR_A && l->type != RR_AAAA)
        return OUTCOME_NODATA;
    enum outcome o = follow_external(l, p, ret_outside);
    if (o == OUTCOME_ANSWER || o == OUTCOME_WAIT)
        return o;
    l->q->reply.section[SECTION_ANSWER].n = 0; /* a chain that leads nowhere is not shown */
    return OUTCOME_NODATA;
}

/* ---- by name and type ---- */

static enum outcome apex(struct lookup *l)
{
    switch (l->type) {
    case RR_SOA:
        add_soa(l, SECTION_ANSWER);
        return OUTCOME_ANSWER;
    case RR_NS:
        return zone_is_lower(l) ? answer_ns(l) : OUTCOME_NODATA;
    case RR_TXT: /* as the reference: docs/decisions */
        return OUTCOME_NAME_ERROR;
    default:
        return OUTCOME_NODATA;
    }
}

static enum outcome level(const struct lookup *l, const struct place *p)
{
    if (l->type == RR_TXT)
        return OUTCOME_NAME_ERROR;
    if (p->kind == PLACE_LEVEL)
        return OUTCOME_NODATA;
    if (p->pods && l->k->options.pods == PODS_DISABLED)
        return OUTCOME_NAME_ERROR;
    return snapshot_namespace(l->k->snapshot, p->namespace) ? OUTCOME_NODATA : OUTCOME_NAME_ERROR;
}

static enum outcome resolve(struct lookup *l, const uint8_t **ret_outside)
{
    struct place p;
    struct ip ip;
    if (l->type == RR_PTR && name_to_ip(l->name->lower, &ip) == 0)
        return answer_ptr(l, &ip);
    place_parse(l, &p);
    if (l->type == RR_SOA && p.kind != PLACE_APEX)
        return OUTCOME_NODATA; /* whether the name exists is not looked at, as in the reference */
    switch (p.kind) {
    case PLACE_NONE:
        return OUTCOME_NAME_ERROR;
    case PLACE_APEX:
        return apex(l);
    case PLACE_LEVEL:
    case PLACE_NAMESPACE:
        return level(l, &p);
    case PLACE_DNS_VERSION:
        return l->type == RR_TXT ? answer_txt_version(l) : OUTCOME_NAME_ERROR;
    case PLACE_NS_DNS:
        return l->type == RR_TXT || !zone_is_lower(l) ? OUTCOME_NAME_ERROR : answer_ns_dns(l);
    default:
        break;
    }
    if (p.kind == PLACE_SERVICE && is_external(p.service))
        return answer_external(l, &p, ret_outside);
    return l->type == RR_SRV ? answer_srv(l, &p) : answer_address(l, &p);
}

/* ---- the step ---- */

static enum step name_error(struct lookup *l)
{
    struct query *q = l->q;
    if (zone_set_covers(l->k->fallthrough, &q->msg.q))
        return STEP_NEXT;
    q->at_once = true;
    /* Before the first full list "no such name" would be a guess, and nothing to be cached. */
    if (!snapshot_synced(l->k->snapshot))
        return query_fail(q, RCODE_SERVFAIL, NULL);
    q->reply.rcode = RCODE_NXDOMAIN;
    q->reply.flags |= FLAG_AA;
    add_soa(l, SECTION_AUTHORITY);
    return STEP_DONE;
}

/* All but names outside the zone, which have to be asked for, and what the next plugin may know. */
bool kubernetes_at_once(const struct query *q, const void *conf)
{
    const struct kubernetes *k = conf;
    int zone = kubernetes_zone(k, q);
    return zone >= 0 && k->keeps[zone] && !is_external(kubernetes_service(k, q, zone));
}

enum step kubernetes_in(struct query *q, void *conf)
{
    const struct kubernetes *k = conf;
    int zone = kubernetes_zone(k, q);
    if (zone < 0)
        return STEP_NEXT;
    uint16_t type = q->msg.q.type;
    if (type == RR_AXFR || type == RR_IXFR)
        return query_fail(q, RCODE_REFUSED, NULL);
    struct lookup l = { .q = q, .k = k, .name = &q->msg.q, .zone = zone, .type = type };
    const uint8_t *outside = NULL;
    enum outcome o = resolve(&l, &outside);
    if (o == OUTCOME_NAME_ERROR)
        return name_error(&l);
    q->at_once = o != OUTCOME_WAIT;
    q->reply.flags |= FLAG_AA;
    if (o == OUTCOME_NODATA) {
        struct lookup asked = { .q = q, .k = k, .name = &q->msg.q, .zone = zone, .type = type };
        add_soa(&asked, SECTION_AUTHORITY);
    }
    if (o == OUTCOME_WAIT)
        return query_lookup(q, outside, type, external_done, NULL);
    return STEP_DONE;
}
