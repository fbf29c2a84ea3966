#include "base/mem.h"
#include "dns/cache.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a reply is ---- */

static bool has_type(const struct rrset_list *l, uint16_t type)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].type == type)
            return true;
    return false;
}

static uint32_t least_ttl(const struct reply *r)
{
    uint32_t ttl = UINT32_MAX;
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < r->section[s].n; i++)
            if (r->section[s].items[i].ttl < ttl)
                ttl = r->section[s].items[i].ttl;
    return ttl;
}

/* Expiration and inception follow type, algorithm, labels and original TTL (RFC 4034 section 3.1);
 * both are compared in serial arithmetic. */
static bool signature_holds(const uint8_t *rdata, size_t len, uint32_t now)
{
    if (len < 18)
        return false;
    uint32_t expiration = (uint32_t)get_u16(rdata + 8) << 16 | get_u16(rdata + 10);
    uint32_t inception = (uint32_t)get_u16(rdata + 12) << 16 | get_u16(rdata + 14);
    return (int32_t)(expiration - now) >= 0 && (int32_t)(now - inception) >= 0;
}

static bool signatures_of_set_hold(const struct rrset *rr, uint32_t now)
{
    const uint8_t *at = rr->rdata;
    for (uint16_t i = 0; i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        if (!signature_holds(rdata, len, now))
            return false;
    }
    return true;
}

static bool signatures_hold(const struct reply *r, uint32_t now)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < r->section[s].n; i++)
            if (r->section[s].items[i].type == RR_RRSIG &&
                !signatures_of_set_hold(&r->section[s].items[i], now))
                return false;
    return true;
}

static void judge_noerror(const struct reply *r, struct cache_verdict *v, uint32_t *ttl)
{
    const struct rrset_list *answer = &r->section[SECTION_ANSWER];
    bool soa = has_type(&r->section[SECTION_AUTHORITY], RR_SOA);
    bool reached = r->q->type == RR_ANY ? answer->n > 0 : has_type(answer, r->q->type);
    v->kind = soa && !reached ? CACHE_DENIAL : CACHE_SUCCESS;
    v->store = reached || soa || !answer->n; /* an alias that leads nowhere is not kept */
    bool referral = !answer->n && !soa && has_type(&r->section[SECTION_AUTHORITY], RR_NS);
    uint32_t least = least_ttl(r);
    *ttl = referral || least == UINT32_MAX ? CACHE_TTL_DEFAULT : least;
}

static void clamp(const struct cache_limits *l, uint32_t ttl, struct cache_verdict *v)
{
    if (ttl < l->min_ttl[v->kind])
        ttl = l->min_ttl[v->kind];
    if (ttl > l->max_ttl[v->kind])
        ttl = l->max_ttl[v->kind];
    v->ttl = ttl;
    v->life_ns = (int64_t)ttl * 1000000000;
}

void cache_judge(const struct cache_limits *l, const struct reply *r, bool do_bit, int64_t unix_now,
                 struct cache_verdict *ret)
{
    uint32_t ttl = CACHE_TTL_DEFAULT;
    *ret = (struct cache_verdict){ .kind = CACHE_DENIAL };
    switch (r->rcode) {
    case RCODE_NOERROR:
        judge_noerror(r, ret, &ttl);
        clamp(l, ttl, ret);
        break;
    case RCODE_NXDOMAIN:
        ret->store =
            !r->section[SECTION_ANSWER].n && has_type(&r->section[SECTION_AUTHORITY], RR_SOA);
        ret->kind = ret->store ? CACHE_DENIAL : CACHE_SUCCESS;
        clamp(l, ret->store ? least_ttl(r) : CACHE_TTL_DEFAULT, ret);
        break;
    case RCODE_SERVFAIL:
    case RCODE_NOTIMP:
        ret->store = ret->failure = true;
        ret->life_ns = l->servfail_ns;
        ret->ttl = (uint32_t)(l->servfail_ns / 1000000000);
        break;
    default: /* never kept, but shown with a TTL that answers could have */
        ret->kind = CACHE_SUCCESS;
        clamp(l, CACHE_TTL_DEFAULT, ret);
        break;
    }
    if (r->tc || ret->life_ns <= 0 || (do_bit && !signatures_hold(r, (uint32_t)unix_now)))
        ret->store = false;
}

void cache_set_ttl(struct reply *r, uint32_t ttl)
{
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < r->section[s].n; i++)
            r->section[s].items[i].ttl = ttl;
}

/* ---- building ---- */

static bool same_name(const uint8_t *a, const uint8_t *b)
{
    return a && b &&
           (a == b ||
            (name_wire_len(a) == name_wire_len(b) && memcmp(a, b, name_wire_len(a)) == 0));
}

/* Owners often repeat from one RRset to the next: those are kept once. */
static size_t reply_bytes(const struct reply *r, uint32_t *ret_n)
{
    size_t bytes = 0;
    *ret_n = 0;
    for (int s = 0; s < SECTION_COUNT; s++) {
        const struct rrset_list *l = &r->section[s];
        *ret_n += l->n;
        for (uint16_t i = 0; i < l->n; i++) {
            bytes += rrset_bytes(&l->items[i]);
            if (l->items[i].owner && !(i && same_name(l->items[i].owner, l->items[i - 1].owner)))
                bytes += name_wire_len(l->items[i].owner);
        }
    }
    return bytes;
}

static uint8_t *keep(uint8_t **next, const uint8_t *p, size_t n)
{
    uint8_t *copy = *next;
    memcpy(copy, p, n);
    *next += n;
    return copy;
}

static void keep_records(struct cache_entry *e, const struct reply *r, uint8_t *next)
{
    struct rrset *to = e->rr;
    for (int s = 0; s < SECTION_COUNT; s++) {
        const struct rrset_list *l = &r->section[s];
        e->n[s] = l->n;
        for (uint16_t i = 0; i < l->n; i++, to++) {
            const struct rrset *rr = &l->items[i];
            *to = *rr;
            if (rr->owner && i && same_name(rr->owner, l->items[i - 1].owner))
                to->owner = to[-1].owner;
            else if (rr->owner)
                to->owner = keep(&next, rr->owner, name_wire_len(rr->owner));
            to->rdata = keep(&next, rr->rdata, rrset_bytes(rr));
        }
    }
}

struct cache_entry *cache_entry_new(const struct cache_key *k, const struct reply *r,
                                    const struct cache_verdict *v, int64_t now)
{
    const struct question *q = k->q;
    bool spelled_low = memcmp(q->name.wire, q->lower, q->name.len) == 0;
    uint32_t n;
    size_t bytes = reply_bytes(r, &n) + (spelled_low ? 1u : 2u) * q->name.len;
    size_t head = sizeof(struct cache_entry) + n * sizeof(struct rrset);
    struct cache_entry *e = malloc(head + bytes);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    e->hash = k->hash;
    e->stored_ns = now;
    e->end_ns = now + v->life_ns;
    e->ttl = v->ttl;
    e->type = q->type;
    e->class = q->class;
    e->flags = r->flags & (FLAG_AA | FLAG_RA | FLAG_AD);
    e->rcode = r->rcode;
    e->name_len = q->name.len;
    e->kind = (uint8_t)v->kind;
    e->do_bit = k->do_bit;
    e->cd = k->cd;
    e->failure = v->failure;
    uint8_t *next = (uint8_t *)e + head;
    e->name = e->lower = keep(&next, q->name.wire, q->name.len);
    if (!spelled_low)
        e->lower = keep(&next, q->lower, q->name.len);
    keep_records(e, r, next);
    return e;
}

/* ---- answering ---- */

bool cache_entry_is(const struct cache_entry *e, const struct cache_key *k)
{
    const struct question *q = k->q;
    return e->hash == k->hash && e->name_len == q->name.len && e->type == q->type &&
           e->class == q->class && e->do_bit == k->do_bit && e->cd == k->cd &&
           memcmp(e->lower, q->lower, q->name.len) == 0;
}

void cache_entry_fill(const struct cache_entry *e, uint32_t ttl, struct arena *a, struct reply *r)
{
    const struct rrset *from = e->rr;
    /* Another spelling of the question: owners stay as the query that filled the entry spelled
     * them. */
    const uint8_t *owner = memcmp(e->name, r->q->name.wire, e->name_len) == 0 ? NULL : e->name;
    r->rcode = e->rcode;
    for (int s = 0; s < SECTION_COUNT; s++) {
        uint16_t n = e->n[s];
        r->section[s] = (struct rrset_list){ .n = n, .capacity = n };
        if (!n)
            continue;
        struct rrset *to = arena_alloc(a, n * sizeof *to);
        r->section[s].items = to;
        for (const struct rrset *end = from + n; from < end; from++, to++) {
            *to = *from;
            to->ttl = ttl;
            if (!to->owner)
                to->owner = owner;
        }
    }
}
