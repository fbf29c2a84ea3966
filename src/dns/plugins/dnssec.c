/* `dnssec [ZONES...] { key file KEY... ; cache_capacity N }`: signs replies as they pass (RFC 4035
 * section 3, with the negative answers of RFC 9824's "compact" kind). */
#include "dns/plugins/dnssec.h"

#include "base/clock.h"
#include "dns/rrsig.h"

#include <string.h>

const struct rrset *dnssec_find(const struct rrset_list *l, uint16_t type)
{
    for (uint16_t i = 0; i < l->n; i++)
        if (l->items[i].type == type)
            return &l->items[i];
    return NULL;
}

/* ---- signatures ---- */

static bool key_is_for(const struct dnssec *d, const struct dnskey *k, uint16_t type)
{
    if (!d->split)
        return true;
    return type == RR_DNSKEY ? dnskey_is_ksk(k) : dnskey_is_zsk(k);
}

/* Over the signed bytes and the signer's name. */
static struct sig_key key_of(const struct dnssec_work *w, const struct rrsig_image *image)
{
    size_t n = name_wire_len(w->zone);
    memcpy(image->records - n, w->zone, n);
    return sig_key_of(image->records - n, n + image->len);
}

/* In the query's memory; NULL: libcrypto would not. */
static struct sig_entry *make(const struct dnssec_work *w, const struct rrsig_image *image,
                              const struct sig_key *key)
{
    size_t cap = w->d->list.n * (2 + RRSIG_RDATA_MAX), len = 0;
    struct sig_entry *e = arena_alloc(&w->q->arena, sizeof *e + cap);
    struct rrsig_times t = { (uint32_t)(w->now - DNSSEC_BACK), (uint32_t)(w->now + DNSSEC_AHEAD) };
    *e = (struct sig_entry){ .key = *key,
                             .from = w->now - DNSSEC_BACK,
                             .until = w->now + DNSSEC_RENEW };
    for (unsigned i = 0; i < w->d->list.n; i++) {
        if (!key_is_for(w->d, w->d->list.keys[i], image->type))
            continue;
        size_t n = rrsig_make(w->d->list.keys[i], image, w->zone, &t, e->rdata + len + 2);
        if (!n) {
            metric_add(w->d->counters[w->q->route->id].failures, 1);
            return NULL;
        }
        put_u16(e->rdata + len, (uint16_t)n);
        len += 2 + n;
        e->count++;
    }
    e->len = (uint32_t)len;
    return e;
}

static const struct sig_entry *find_or_make(const struct dnssec_work *w,
                                            const struct rrsig_image *image)
{
    struct dnssec_counters *counters = &w->d->counters[w->q->route->id];
    struct sig_key key = key_of(w, image);
    const struct sig_entry *found = sig_cache_find(w->d->cache, &key, w->now);
    metric_add(found ? counters->hits : counters->misses, 1);
    if (found)
        return found;
    struct sig_entry *made = make(w, image, &key);
    if (made)
        sig_cache_put(w->d->cache, made);
    return made;
}

bool dnssec_sign(const struct dnssec_work *w, enum section s, const struct rrset *const *sets,
                 size_t n)
{
    struct rrsig_image image;
    const struct rrset first = *sets[0]; /* adding to the section may move it */
    rrsig_image_make(&w->q->arena, dnssec_owner(w->q, &first), sets, n, DNSSEC_TTL, &image);
    const struct sig_entry *e = find_or_make(w, &image);
    if (!e || !e->count)
        return false;
    query_add(w->q, s,
              (struct rrset){ .owner = first.owner,
                              .rdata = e->rdata,
                              .ttl = first.ttl,
                              .type = RR_RRSIG,
                              .class = first.class,
                              .count = e->count });
    return true;
}

/* ---- sections ---- */

static bool same_set(const struct query *q, const struct rrset *a, const struct rrset *b)
{
    return a->type == b->type && a->class == b->class &&
           (a->owner == b->owner || name_equal(dnssec_owner(q, a), dnssec_owner(q, b)));
}

/* Do signatures of it stand in the section already? */
static bool is_signed(const struct query *q, const struct rrset_list *l, const struct rrset *rr)
{
    for (uint16_t i = 0; i < l->n; i++) {
        const struct rrset *sig = &l->items[i];
        const uint8_t *at = sig->rdata;
        if (sig->type != RR_RRSIG || !name_equal(dnssec_owner(q, sig), dnssec_owner(q, rr)))
            continue;
        for (uint16_t k = 0; k < sig->count; k++) {
            size_t len;
            const uint8_t *rdata = rrset_next(sig, &at, &len);
            if (len >= RRSIG_FIXED && get_u16(rdata) == rr->type)
                return true;
        }
    }
    return false;
}

/* Only what this zone has authority for: of what lies at or below a cut that is the DS record. */
static bool is_ours(const struct dnssec_work *w, const struct rrset *rr)
{
    const uint8_t *owner = dnssec_owner(w->q, rr);
    if (rr->type == RR_RRSIG || rr->type == RR_OPT || !name_is_below(owner, w->zone))
        return false;
    return !w->cut || rr->type == RR_DS || !name_is_below(owner, w->cut);
}

/* The set that item i begins, with its later parts; 0: an earlier item did, or it is not for us. */
static size_t gather(const struct dnssec_work *w, const struct rrset_list *l, uint16_t i,
                     uint16_t end, const struct rrset **sets)
{
    const struct rrset *first = &l->items[i];
    size_t n = 0;
    if (!is_ours(w, first))
        return 0;
    for (uint16_t k = 0; k < i; k++)
        if (same_set(w->q, &l->items[k], first))
            return 0;
    for (uint16_t k = i; k < end; k++)
        if (same_set(w->q, &l->items[k], first))
            sets[n++] = &l->items[k];
    return is_signed(w->q, l, first) ? 0 : n;
}

static void sign_section(const struct dnssec_work *w, enum section s)
{
    struct rrset_list *l = &w->q->reply.section[s];
    uint16_t end = l->n;
    const struct rrset **sets = arena_alloc(&w->q->arena, end * sizeof *sets);
    for (uint16_t i = 0; i < end && i < DNSSEC_SETS_MAX; i++) {
        size_t n = gather(w, l, i, end, sets);
        if (n)
            (void)dnssec_sign(w, s, sets, n);
    }
}

/* ---- the hook ---- */

/* False: nothing is to be signed. The messages of a zone transfer are not one reply. */
static bool begin(struct query *q, struct dnssec *d, struct dnssec_work *ret)
{
    uint16_t type = q->msg.q.type;
    if (!q->msg.edns.do_bit || q->msg.q.class != CLASS_IN || type == RR_AXFR || type == RR_IXFR)
        return false;
    int zone = zone_set_find(d->zones, &q->msg.q);
    if (zone < 0)
        return false;
    *ret = (struct dnssec_work){
        .q = q, .d = d, .zone = zone_set_wire(d->zones, zone), .now = clock_unix()
    };
    return true;
}

static enum step finish(struct dnssec_work *w, const struct dnssec_verdict *v, bool delegated)
{
    w->cut = v->cut;
    for (int s = 0; s < SECTION_COUNT; s++)
        sign_section(w, (enum section)s);
    if (v->denied)
        dnssec_deny(w, v->name, delegated);
    else if (v->cut && !dnssec_find(&w->q->reply.section[SECTION_AUTHORITY], RR_DS))
        dnssec_deny(w, v->cut, true);
    return STEP_DONE;
}

/* Is there a zone cut where a DS record was asked for? */
static enum step looked_up(struct query *q, void *conf, void *data)
{
    const struct query *sub = data;
    struct dnssec_work w;
    bool delegated = false;
    if (!begin(q, conf, &w))
        return STEP_DONE;
    struct dnssec_verdict v = dnssec_judge(q, w.zone);
    for (int s = SECTION_ANSWER; s <= SECTION_AUTHORITY; s++) {
        const struct rrset *ns = dnssec_find(&sub->reply.section[s], RR_NS);
        delegated |= ns && name_equal(dnssec_owner(sub, ns), v.name);
    }
    return finish(&w, &v, delegated);
}

enum step dnssec_out(struct query *q, void *conf)
{
    struct dnssec_work w;
    if (!begin(q, conf, &w))
        return STEP_DONE;
    struct dnssec_verdict v = dnssec_judge(q, w.zone);
    /* To say that an ordinary name is a cut without DS would allow to forge all that is there. */
    if (v.denied && q->msg.q.type == RR_DS && !name_equal(v.name, w.zone))
        return query_lookup(q, v.name, RR_NS, looked_up, conf);
    return finish(&w, &v, false);
}

/* ---- the keys ---- */

enum step dnssec_in(struct query *q, void *conf)
{
    struct dnssec *d = conf;
    struct dnssec_work w;
    const struct rrset *keys = &d->dnskeys;
    int zone = zone_set_find(d->zones, &q->msg.q);
    if (q->msg.q.type != RR_DNSKEY || q->msg.q.class != CLASS_IN || zone < 0 ||
        flags_opcode(q->msg.flags) != OPCODE_QUERY ||
        zone_set_labels(d->zones, zone) != q->msg.q.name.n_labels)
        return STEP_NEXT;
    q->reply.flags |= FLAG_AA;
    query_add(q, SECTION_ANSWER, *keys);
    if (begin(q, d, &w))
        (void)dnssec_sign(&w, SECTION_ANSWER, &keys, 1);
    return STEP_DONE;
}
