#include "dns/zone_answer.h"

#include <string.h>

enum zone_outcome {
    ZONE_DONE,
    ZONE_NO_NAME,
    ZONE_LOOKUP, /* *ret_target, a name outside the zone, is to be looked up */
};

struct lookup {
    struct query *q;
    const struct zone_data *z;
    uint16_t type;
    bool signatures; /* the client wants them */
};

/* ---- adding records ---- */

/* All sets of a type with their signatures; owner: NULL for the node's own. */
static void add_as(const struct lookup *l, enum section s, const struct zone_node *n, uint16_t type,
                   const uint8_t *owner)
{
    const struct zone_rrs *end = n->sets + n->n;
    for (const struct zone_rrs *r = zone_node_rrs(n, type, 0); r && r < end && r->rr.type == type;
         r++) {
        struct rrset rr = r->rr;
        rr.owner = owner ? owner : rr.owner;
        query_add(l->q, s, rr);
    }
    if (!l->signatures || type == RR_RRSIG)
        return;
    for (const struct zone_rrs *r = zone_node_rrs(n, RR_RRSIG, type);
         r && r < end && r->rr.type == RR_RRSIG && r->covers == type; r++) {
        struct rrset rr = r->rr;
        rr.owner = owner ? owner : rr.owner;
        query_add(l->q, s, rr);
    }
}

static void add(const struct lookup *l, enum section s, const struct zone_node *n, uint16_t type)
{
    add_as(l, s, n, type, NULL);
}

static void add_soa(const struct lookup *l, enum section s)
{
    query_add(l->q, s, l->z->soa->rr);
    const struct zone_rrs *end = l->z->apex->sets + l->z->apex->n;
    for (const struct zone_rrs *r = l->signatures ? zone_node_rrs(l->z->apex, RR_RRSIG, RR_SOA)
                                                  : NULL;
         r && r < end && r->rr.type == RR_RRSIG && r->covers == RR_SOA; r++)
        query_add(l->q, s, r->rr);
}

static void add_apex_ns(const struct lookup *l)
{
    add(l, SECTION_AUTHORITY, l->z->apex, RR_NS);
}

/* The NSEC of a node, unless the reply has it already. */
static void add_nsec(const struct lookup *l, const struct zone_node *n)
{
    const struct rrset_list *authority = &l->q->reply.section[SECTION_AUTHORITY];
    if (!l->signatures || !n)
        return;
    for (uint16_t i = 0; i < authority->n; i++)
        if (authority->items[i].type == RR_NSEC && authority->items[i].owner == n->wire)
            return;
    add(l, SECTION_AUTHORITY, n, RR_NSEC);
}

/* The node of any name as it stands in rdata. */
static const struct zone_node *find_any_case(const struct zone_data *z, const uint8_t *wire)
{
    uint8_t lower[NAME_MAX_WIRE], len = name_wire_len(wire);
    name_lower(lower, wire, len);
    const struct zone_node *n = zone_find(z, lower, len);
    return n && n->n ? n : NULL;
}

static void add_addresses(const struct lookup *l, const uint8_t *target)
{
    const struct zone_node *n = find_any_case(l->z, target);
    if (!n)
        return;
    add(l, SECTION_ADDITIONAL, n, RR_A);
    add(l, SECTION_ADDITIONAL, n, RR_AAAA);
}

/* Bytes of rdata before the name whose addresses belong to the additional section; -1: none. */
static int target_at(uint16_t type)
{
    switch (type) {
    case RR_NS:
        return 0;
    case RR_MX:
    case RR_SVCB:
    case RR_HTTPS:
        return 2;
    case RR_SRV:
        return 6;
    default:
        return -1;
    }
}

static void add_targets(const struct lookup *l, const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    int skip = target_at(rr->type);
    for (uint16_t i = 0; skip >= 0 && i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        if (len > (size_t)skip)
            add_addresses(l, rdata + skip);
    }
}

static void add_additional(const struct lookup *l, const struct zone_node *n, uint16_t type)
{
    const struct zone_rrs *end = n->sets + n->n;
    for (const struct zone_rrs *r = zone_node_rrs(n, type, 0); r && r < end && r->rr.type == type;
         r++)
        add_targets(l, &r->rr);
}

static const uint8_t *first_name(const struct zone_node *n, uint16_t type)
{
    const struct zone_rrs *r = zone_node_rrs(n, type, 0);
    return r ? r->rr.rdata + 2 : NULL;
}

/* ---- endings ---- */

static enum zone_outcome no_data(const struct lookup *l, const struct zone_node *n)
{
    add_soa(l, SECTION_AUTHORITY);
    add_nsec(l, n);
    return ZONE_DONE;
}

static enum zone_outcome referral(const struct lookup *l, const struct zone_node *cut)
{
    l->q->reply.flags &= (uint16_t)~FLAG_AA;
    add(l, SECTION_AUTHORITY, cut, RR_NS);
    if (l->signatures && zone_node_rrs(cut, RR_DS, 0))
        add(l, SECTION_AUTHORITY, cut, RR_DS);
    else
        add_nsec(l, cut); /* it proves that there is no DS: RFC 4035 section 3.1.4.1 */
    add_additional(l, cut, RR_NS);
    return ZONE_DONE;
}

/* The longest name of the zone that the question lies below. */
static const struct zone_node *closest_encloser(const struct lookup *l)
{
    const struct question *question = &l->q->msg.q;
    for (int i = 1; i <= question->name.n_labels - l->z->origin_labels; i++) {
        uint8_t off = question->name.off[i];
        const struct zone_node *n =
            zone_find(l->z, question->lower + off, question->name.len - off);
        if (n)
            return n;
    }
    return l->z->apex;
}

/* No such name; signed zones prove that, and that no wildcard would have matched. */
static enum zone_outcome no_name(const struct lookup *l)
{
    struct query *q = l->q;
    q->reply.rcode = RCODE_NXDOMAIN;
    add_soa(l, SECTION_AUTHORITY);
    if (!l->signatures)
        return ZONE_NO_NAME;
    add_nsec(l, zone_before(l->z, q->msg.q.lower));
    const struct zone_node *encloser = closest_encloser(l);
    uint8_t wildcard[2 + NAME_MAX_WIRE] = { 1, '*' };
    if (encloser->len + 2 <= NAME_MAX_WIRE) {
        memcpy(wildcard + 2, encloser->wire, encloser->len);
        add_nsec(l, zone_before(l->z, wildcard));
    }
    return ZONE_NO_NAME;
}

/* ---- aliases ---- */

/* Names below a zone cut are not ours to tell, even when the zone holds them as glue. */
static bool is_below_cut(const struct zone_data *z, const struct zone_node *n)
{
    for (const uint8_t *p = n->wire; n && n != z->apex; p += 1 + p[0]) {
        n = zone_find(z, p, name_wire_len(p));
        if (n && n != z->apex && zone_node_rrs(n, RR_NS, 0))
            return true;
    }
    return false;
}

/* Follows CNAMEs from `target` on; the one that led there is in the answer. What is said of name
 * servers is left to a look-up, as in the reference: only that tells a name without any from one
 * that is a zone's. */
static enum zone_outcome follow(const struct lookup *l, const uint8_t *target,
                                const uint8_t **ret_target)
{
    for (int hops = 0;; hops++) {
        const struct zone_node *n = find_any_case(l->z, target);
        if (!n || is_below_cut(l->z, n) || l->type == RR_NS) {
            *ret_target = target;
            return ZONE_LOOKUP;
        }
        const uint8_t *next = first_name(n, RR_CNAME);
        if (!next || hops == ZONE_CHASE) {
            if (!next)
                add(l, SECTION_ANSWER, n, l->type);
            add_apex_ns(l);
            if (!next)
                add_additional(l, n, l->type);
            return ZONE_DONE;
        }
        add(l, SECTION_ANSWER, n, RR_CNAME);
        target = next;
    }
}

/* The question lies below a DNAME's owner: the CNAME that follows from it (RFC 6672 section 2.2).
 */
static enum zone_outcome substitute(const struct lookup *l, const struct zone_node *n,
                                    const uint8_t **ret_target)
{
    struct query *q = l->q;
    const struct zone_rrs *dname = zone_node_rrs(n, RR_DNAME, 0);
    const uint8_t *tail = dname->rr.rdata + 2;
    size_t head = (size_t)(q->msg.q.name.len - n->len), tail_len = name_wire_len(tail);
    add(l, SECTION_ANSWER, n, RR_DNAME);
    if (head + tail_len > NAME_MAX_WIRE) {
        q->reply.rcode = RCODE_YXDOMAIN;
        return ZONE_DONE;
    }
    uint8_t *rdata = arena_alloc(&q->arena, 2 + head + tail_len);
    put_u16(rdata, (uint16_t)(head + tail_len));
    memcpy(rdata + 2, q->msg.q.lower, head);
    memcpy(rdata + 2 + head, tail, tail_len);
    query_add(q, SECTION_ANSWER,
              (struct rrset){ .owner = q->msg.q.lower,
                              .rdata = rdata,
                              .ttl = dname->rr.ttl,
                              .type = RR_CNAME,
                              .class = CLASS_IN,
                              .count = 1 });
    if (l->type == RR_CNAME) {
        add_apex_ns(l);
        return ZONE_DONE;
    }
    return follow(l, rdata + 2, ret_target);
}

/* ---- the way down ---- */

/* Records of the name itself. */
static enum zone_outcome at_name(const struct lookup *l, const struct zone_node *n,
                                 const uint8_t **ret_target)
{
    if (l->type != RR_CNAME && first_name(n, RR_CNAME)) {
        add(l, SECTION_ANSWER, n, RR_CNAME);
        return follow(l, first_name(n, RR_CNAME), ret_target);
    }
    if (!zone_node_rrs(n, l->type, 0))
        return no_data(l, n);
    add(l, SECTION_ANSWER, n, l->type);
    if (n != l->z->apex || l->type != RR_NS)
        add_apex_ns(l);
    add_additional(l, n, l->type);
    return ZONE_DONE;
}

/* Records that a wildcard stands for. */
static enum zone_outcome at_wildcard(const struct lookup *l, const struct zone_node *n,
                                     const uint8_t **ret_target)
{
    const uint8_t *name = l->q->msg.q.lower;
    if (l->type != RR_CNAME && first_name(n, RR_CNAME)) {
        add_as(l, SECTION_ANSWER, n, RR_CNAME, name);
        return follow(l, first_name(n, RR_CNAME), ret_target);
    }
    if (!zone_node_rrs(n, l->type, 0)) {
        no_data(l, n);
        add_nsec(l, zone_before(l->z, name));
        return ZONE_DONE;
    }
    add_as(l, SECTION_ANSWER, n, l->type, name);
    add_apex_ns(l);
    add_additional(l, n, l->type);
    add_nsec(l, zone_before(l->z, name)); /* no closer name: RFC 4035 section 3.1.3.3 */
    return ZONE_DONE;
}

/* "*" in place of the name's first label. */
static const struct zone_node *wildcard_beside(const struct zone_data *z, const uint8_t *name,
                                               size_t len)
{
    uint8_t wire[2 + NAME_MAX_WIRE] = { 1, '*' };
    size_t parent = len - 1 - name[0];
    memcpy(wire + 2, name + 1 + name[0], parent);
    const struct zone_node *n = zone_find(z, wire, 2 + parent);
    return n && n->n ? n : NULL;
}

static enum zone_outcome descend(const struct lookup *l, const uint8_t **ret_target)
{
    const struct name *name = &l->q->msg.q.name;
    const uint8_t *lower = l->q->msg.q.lower;
    const struct zone_node *n = NULL, *wildcard = NULL;
    for (int i = name->n_labels - l->z->origin_labels; i >= 0; i--) {
        size_t len = (size_t)(name->len - name->off[i]);
        n = zone_find(l->z, lower + name->off[i], len);
        bool apex = n == l->z->apex;
        if (!apex && (!n || !n->n)) {
            const struct zone_node *w = wildcard_beside(l->z, lower + name->off[i], len);
            /* A name that exists, if only above others, ends what a wildcard covers: RFC 4592. The
             * name asked for is answered all the same, as the reference does. */
            wildcard = n && i ? NULL : w ? w : wildcard;
            continue;
        }
        wildcard = NULL;
        if (i && zone_node_rrs(n, RR_DNAME, 0))
            return substitute(l, n, ret_target);
        if (!apex && zone_node_rrs(n, RR_NS, 0) && (i || l->type != RR_DS))
            return referral(l, n);
    }
    if (n && (n->n || n == l->z->apex))
        return at_name(l, n, ret_target);
    if (wildcard)
        return at_wildcard(l, wildcard, ret_target);
    if (!n)
        return no_name(l);
    no_data(l, zone_before(l->z, lower));
    return ZONE_NO_NAME; /* it only has names below it, and falls through as one that is not there
                          */
}

static struct lookup lookup_of(struct query *q, const struct zone_data *z)
{
    return (
        struct lookup){ .q = q, .z = z, .type = q->msg.q.type, .signatures = q->msg.edns.do_bit };
}

static enum zone_outcome answer(struct query *q, const struct zone_data *z,
                                const uint8_t **ret_target)
{
    struct lookup l = lookup_of(q, z);
    q->reply.flags |= FLAG_AA;
    if (l.type == RR_SOA && q->msg.q.name.len == z->origin_len) {
        add_soa(&l, SECTION_ANSWER);
        add_apex_ns(&l);
        return ZONE_DONE;
    }
    return descend(&l, ret_target);
}

static enum step fall_through(struct query *q)
{
    q->reply.rcode = RCODE_NOERROR;
    q->reply.flags &= (uint16_t)~FLAG_AA;
    q->reply.section[SECTION_AUTHORITY].n = 0;
    return STEP_NEXT;
}

enum step zone_step(struct query *q, const struct zone_data *z, const struct zone_set *fallthrough,
                    resume_fn *resume, void *conf)
{
    const uint8_t *target;
    if (flags_opcode(q->msg.flags) == OPCODE_NOTIFY) /* the zone has no primaries */
        return STEP_DROP;
    if (q->msg.q.type == RR_AXFR || q->msg.q.type == RR_IXFR) /* `transfer` did not want it */
        return query_fail(q, RCODE_REFUSED, NULL);
    switch (answer(q, z, &target)) {
    case ZONE_LOOKUP:
        return query_lookup(q, target, q->msg.q.type, resume, conf);
    case ZONE_NO_NAME:
        return zone_set_covers(fallthrough, &q->msg.q) ? fall_through(q) : STEP_DONE;
    default:
        return STEP_DONE;
    }
}

/* ---- after a look-up ---- */

/* The target lies below a zone cut. */
static bool is_referral(const struct query *sub)
{
    const struct rrset_list *authority = &sub->reply.section[SECTION_AUTHORITY];
    return sub->reply.rcode == RCODE_NOERROR && !sub->reply.section[SECTION_ANSWER].n &&
           authority->n && authority->items[0].type == RR_NS;
}

enum step zone_answer_looked_up(struct query *q, const struct zone_data *z, const struct query *sub)
{
    bool any = sub->reply.section[SECTION_ANSWER].n;
    if (!z)
        return query_fail(q, RCODE_SERVFAIL, "the zone is gone");
    struct lookup l = lookup_of(q, z);
    query_copy_section(q, sub, SECTION_ANSWER);
    if (sub->reply.tc)
        q->reply.tc = true;
    if (sub->reply.rcode == RCODE_NXDOMAIN || sub->reply.rcode == RCODE_SERVFAIL)
        q->reply.rcode = sub->reply.rcode; /* that of the last name: RFC 6604 section 3 */
    if (is_referral(sub)) {
        query_copy_section(q, sub, SECTION_AUTHORITY);
        query_copy_section(q, sub, SECTION_ADDITIONAL);
        return STEP_DONE;
    }
    if (sub->reply.rcode == RCODE_NXDOMAIN || (sub->reply.rcode == RCODE_NOERROR && !any))
        add_soa(&l, SECTION_AUTHORITY);
    else
        add_apex_ns(&l);
    const struct rrset_list *answer = &q->reply.section[SECTION_ANSWER];
    for (uint16_t i = 0; i < answer->n; i++)
        if (answer->items[i].type == l.type)
            add_targets(&l, &answer->items[i]);
    return STEP_DONE;
}
