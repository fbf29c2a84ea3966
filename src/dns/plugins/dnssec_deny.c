/* Negative answers: not the names around the one that is not there are told, but a record of that
 * name itself, with everything else that it might have. */
#include "dns/plugins/dnssec.h"
#include "wire/canonical.h"

#define BITMAP_MAX 64 /* bytes: one window with types up to 255 */

/* The lists, the next name and the TTL are those of the reference. */
static const uint16_t types_inside[] = { RR_A,    RR_HINFO, RR_TXT,        RR_AAAA,  RR_LOC,
                                         RR_SRV,  RR_CERT,  RR_SSHFP,      RR_RRSIG, RR_NSEC,
                                         RR_TLSA, RR_HIP,   RR_OPENPGPKEY, RR_SPF };
static const uint16_t types_cut[] = { RR_A,    RR_NS,   RR_HINFO, RR_TXT,        RR_AAAA,
                                      RR_LOC,  RR_SRV,  RR_CERT,  RR_SSHFP,      RR_RRSIG,
                                      RR_NSEC, RR_TLSA, RR_HIP,   RR_OPENPGPKEY, RR_SPF };
static const uint16_t types_apex[] = { RR_A,     RR_NS,         RR_SOA,  RR_HINFO,  RR_MX,
                                       RR_TXT,   RR_AAAA,       RR_LOC,  RR_SRV,    RR_CERT,
                                       RR_SSHFP, RR_RRSIG,      RR_NSEC, RR_DNSKEY, RR_TLSA,
                                       RR_HIP,   RR_OPENPGPKEY, RR_SPF };

#define TYPES_MAX ARRAY_SIZE(types_apex)

/* ---- what a reply says ---- */

static const uint8_t *target_of(const struct rrset *cname)
{
    const uint8_t *at = cname->rdata;
    size_t len;
    return rrset_next(cname, &at, &len);
}

/* Where the answer's CNAMEs lead. */
static const uint8_t *end_of_chain(const struct query *q)
{
    const struct rrset_list *l = &q->reply.section[SECTION_ANSWER];
    const uint8_t *name = q->msg.q.lower;
    bool more = q->msg.q.type != RR_CNAME && q->msg.q.type != RR_ANY;
    for (int hops = 0; more && hops < DNSSEC_CHAIN_MAX; hops++) {
        more = false;
        for (uint16_t i = 0; i < l->n && !more; i++) {
            if (l->items[i].type != RR_CNAME || !name_equal(dnssec_owner(q, &l->items[i]), name))
                continue;
            name = target_of(&l->items[i]);
            more = true;
        }
    }
    return name;
}

static bool has_data(const struct query *q, const uint8_t *name)
{
    const struct rrset_list *l = &q->reply.section[SECTION_ANSWER];
    uint16_t type = q->msg.q.type;
    for (uint16_t i = 0; i < l->n; i++)
        if ((l->items[i].type == type || type == RR_ANY) &&
            name_equal(dnssec_owner(q, &l->items[i]), name))
            return true;
    return false;
}

static bool is_proven(const struct rrset_list *authority)
{
    return dnssec_find(authority, RR_NSEC) || dnssec_find(authority, RR_NSEC3);
}

struct dnssec_verdict dnssec_judge(const struct query *q, const uint8_t *zone)
{
    const struct rrset_list *authority = &q->reply.section[SECTION_AUTHORITY];
    const struct rrset *ns = dnssec_find(authority, RR_NS);
    struct dnssec_verdict v = { .name = end_of_chain(q) };
    bool soa = dnssec_find(authority, RR_SOA), proven = is_proven(authority);
    if (has_data(q, v.name) || !name_is_below(v.name, zone))
        return v;
    if (q->reply.rcode != RCODE_NOERROR && q->reply.rcode != RCODE_NXDOMAIN)
        return v;
    v.denied = soa && !proven;
    if (soa || !ns || q->reply.rcode != RCODE_NOERROR)
        return v;
    const uint8_t *owner = dnssec_owner(q, ns);
    if (name_is_below(v.name, owner) && name_is_below(owner, zone) && !name_equal(owner, zone))
        v.cut = owner;
    return v;
}

/* ---- the record ---- */

/* All types of a list but one, ascending. */
static size_t without(const uint16_t *types, size_t n, uint16_t one, uint16_t out[TYPES_MAX])
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (types[i] != one)
            out[kept++] = types[i];
    return kept;
}

static void put_types(const struct dnssec_work *w, const uint8_t *name, bool delegated,
                      struct wbuf *out)
{
    uint16_t types[TYPES_MAX], asked = w->q->msg.q.type;
    size_t n;
    if (asked == RR_NSEC) /* is there, as it is made here */
        asked = 0;
    if (name_equal(name, w->zone))
        n = without(types_apex, ARRAY_SIZE(types_apex), asked, types);
    else if (delegated)
        n = without(types_cut, ARRAY_SIZE(types_cut), 0, types);
    else
        n = without(types_inside, ARRAY_SIZE(types_inside), asked, types);
    type_bitmap_put(out, types, n);
}

/* False: no name comes after that one. */
static bool make_nsec(const struct dnssec_work *w, const uint8_t *name, bool delegated,
                      struct rrset *ret)
{
    uint8_t next[NAME_MAX_WIRE];
    const struct rrset_list *authority = &w->q->reply.section[SECTION_AUTHORITY];
    const struct rrset *soa = dnssec_find(authority, RR_SOA);
    if (!name_after(name, w->cut != NULL, next))
        return false;
    uint8_t *rdata = arena_alloc(&w->q->arena, 2 + NAME_MAX_WIRE + BITMAP_MAX);
    struct wbuf out = wbuf_of(rdata, 2 + NAME_MAX_WIRE + BITMAP_MAX);
    wbuf_u16(&out, 0);
    wbuf_put(&out, next, name_wire_len(next));
    put_types(w, name, delegated, &out);
    put_u16(rdata, (uint16_t)(out.pos - 2));
    *ret = (struct rrset){ .owner = name == w->q->msg.q.lower ? NULL : name,
                           .rdata = rdata,
                           .ttl = soa ? soa->ttl : authority->items[0].ttl,
                           .type = RR_NSEC,
                           .class = CLASS_IN,
                           .count = 1 };
    return true;
}

void dnssec_deny(const struct dnssec_work *w, const uint8_t *name, bool delegated)
{
    struct rrset nsec;
    const struct rrset *sets[] = { &nsec };
    bool asked = w->q->msg.q.type == RR_NSEC && name == w->q->msg.q.lower && !w->cut;
    if (is_proven(&w->q->reply.section[SECTION_AUTHORITY]) || !make_nsec(w, name, delegated, &nsec))
        return;
    if (asked) /* then it is the answer */
        w->q->reply.section[SECTION_AUTHORITY].n = 0;
    enum section s = asked ? SECTION_ANSWER : SECTION_AUTHORITY;
    query_add(w->q, s, nsec);
    if (dnssec_sign(w, s, sets, 1))
        w->q->reply.rcode = RCODE_NOERROR;
}
