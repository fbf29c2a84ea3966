/* `cache [TTL] [ZONES...]`: answers again what was answered before. Options: cache_setup.c. */
#include "dns/plugins/cache.h"

#include "base/clock.h"

#include <string.h>

/* A query's time is that of its batch; a look-up of the server's own may be much later than its
 * parent. */
int64_t cache_now(const struct query *q)
{
    return q->depth ? clock_ns() : q->start_ns;
}

bool cache_wants_ad(const struct query *q)
{
    return q->msg.edns.do_bit || q->msg.flags & FLAG_AD;
}

/* ---- the key ---- */

static bool is_for_us(const struct cache_plugin *p, const struct query *q)
{
    return zone_set_find(p->zones, &q->msg.q) >= 0 && flags_opcode(q->msg.flags) == OPCODE_QUERY &&
           q->msg.q.type != RR_AXFR && q->msg.q.type != RR_IXFR;
}

static void make_key(const struct cache_plugin *p, const struct query *q, struct cache_key *k)
{
    bool do_bit = q->msg.edns.present && q->msg.edns.do_bit, cd = q->msg.flags & FLAG_CD;
    const struct query_ahead *a = query_ahead_of(q, p);
    if (a)
        *k = (struct cache_key){ &q->msg.q, a->hash, do_bit, cd };
    else
        cache_key_init(k, &q->msg.q, do_bit, cd);
}

void cache_ahead(struct query *q, const void *conf, struct query_ahead *ahead, bool second)
{
    const struct cache_plugin *p = conf;
    struct cache_key k;
    if (second) {
        cache_prefetch_entry(p->cache, ahead->hash);
        return;
    }
    make_key(p, q, &k);
    *ahead = (struct query_ahead){ .conf = p, .hash = k.hash };
    __builtin_prefetch(cache_bucket_of(p->cache, k.hash));
    cache_note_prefetch(p->cache, k.hash);
}

/* ---- answering ---- */

static void answer(struct query *q, struct cache_entry *e, uint32_t ttl)
{
    cache_mark_used(e);
    uint16_t flags = FLAG_AA | (e->flags & FLAG_RA);
    if (cache_wants_ad(q))
        flags |= e->flags & FLAG_AD;
    q->reply.flags |= flags;
    cache_entry_fill(e, ttl, &q->arena, &q->reply);
}

/* Is it used so often, without a long pause, and so near its end, that it should be renewed? Two
 * workers may count at once: a use that is lost does not matter. */
static bool is_worth_prefetching(const struct cache_plugin *p, struct cache_entry *e, int64_t now)
{
    int64_t last = atomic_load_explicit(&e->last_hit_ns, memory_order_relaxed);
    uint32_t hits = atomic_load_explicit(&e->hits, memory_order_relaxed);
    hits = now - last > p->prefetch_gap_ns ? 1 : hits + 1;
    atomic_store_explicit(&e->last_hit_ns, now, memory_order_relaxed);
    atomic_store_explicit(&e->hits, hits, memory_order_relaxed);
    uint64_t threshold = ((uint64_t)e->ttl * p->prefetch_percent + 99) / 100;
    return hits >= p->prefetch && cache_ttl_left(e, now) <= threshold;
}

enum step cache_hit(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                    struct cache_entry *e)
{
    int64_t now = cache_now(q);
    metric_add(cache_metrics_of(p, q)->hits[e->kind], 1);
    answer(q, e, p->keepttl ? e->ttl : cache_ttl_left(e, now));
    if (p->prefetch && !e->failure && is_worth_prefetching(p, e, now))
        cache_fetch_refresh(p, q, k, e);
    return STEP_DONE;
}

static enum step answer_stale(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                              struct cache_entry *e, int64_t now)
{
    bool may_ask = now >= atomic_load_explicit(&e->recheck_ns, memory_order_relaxed);
    answer(q, e, p->stale_ttl);
    if (p->verify && may_ask)
        return cache_fetch_verify(p, q, k);
    metric_add(cache_metrics_of(p, q)->hits[e->kind], 1);
    metric_add(cache_metrics_of(p, q)->served_stale, 1);
    if (may_ask)
        cache_fetch_refresh(p, q, k, e);
    return STEP_DONE;
}

/* ---- replies that come from memory anyway ---- */

static bool is_lower_case(const struct question *q)
{
    return memcmp(q->name.wire, q->lower, q->name.len) == 0;
}

/* Nothing is gained by keeping what the next step would say: it is noted that it said so. A reply
 * to a question with capitals is kept all the same when it is the first, for its spelling. */
static bool is_to_be_noted(const struct cache_plugin *p, const struct query *q,
                           const struct cache_key *k, int64_t now)
{
    return query_next_at_once(q) &&
           (is_lower_case(&q->msg.q) || cache_note_age(p->cache, k->hash, now) >= 0);
}

/* Owners as the first who asked spelled them: in lower case. */
static void lower_owners(struct query *q)
{
    const struct question *asked = &q->msg.q;
    if (is_lower_case(asked))
        return;
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < q->reply.section[s].n; i++) {
            const uint8_t **owner = &q->reply.section[s].items[i].owner;
            if (!*owner)
                *owner = asked->lower;
            else if (*owner >= asked->name.wire && *owner < asked->name.wire + asked->name.len)
                *owner = asked->lower + (*owner - asked->name.wire);
        }
}

/* The TTLs that the reply would have if the first one had been kept. */
static void end_noting(struct cache_plugin *p, struct query *q)
{
    struct cache_metrics *m = cache_metrics_of(p, q);
    struct cache_verdict v;
    struct cache_key k;
    if (q->bare || q->dropped) {
        metric_add(m->misses, 1);
        return;
    }
    make_key(p, q, &k);
    int64_t now = cache_now(q), age = cache_note_age(p->cache, k.hash, now);
    cache_judge(&p->limits, &q->reply, k.do_bit, k.do_bit ? clock_unix() : 0, &v);
    bool counts = v.store && q->at_once && !zone_set_covers(p->disabled[v.kind], &q->msg.q);
    bool again = counts && age >= 0 && age < v.life_ns;
    metric_add(again ? m->hits[v.kind] : m->misses, 1);
    if (again)
        lower_owners(q);
    else if (counts)
        cache_note(p->cache, k.hash, now);
    cache_set_ttl(&q->reply, again && !p->keepttl ? v.ttl - (uint32_t)(age / 1000000000) : v.ttl);
}

enum step cache_in(struct query *q, void *conf)
{
    struct cache_plugin *p = conf;
    struct cache_key k;
    if (!is_for_us(p, q))
        return STEP_NEXT;
    make_key(p, q, &k);
    int64_t now = cache_now(q);
    metric_add(cache_metrics_of(p, q)->requests, 1);
    struct cache_entry *e = cache_find(p->cache, &k, now);
    if (!e && is_to_be_noted(p, q, &k, now)) {
        q->noting = true;
        return STEP_NEXT;
    }
    if (!e)
        return cache_fetch_miss(p, q, &k);
    return cache_is_fresh(e, now) ? cache_hit(p, q, &k, e) : answer_stale(p, q, &k, e, now);
}

/* ---- why ---- */

static void cache_why_before(struct query *q, void *conf, struct why_words *w)
{
    static const char *const kinds[CACHE_KINDS] = { "success", "denial" };
    const struct cache_plugin *p = conf;
    struct cache_key k;
    if (!is_for_us(p, q)) {
        why_say(w, "scope", "not for such a name or query");
        return;
    }
    make_key(p, q, &k);
    int64_t now = cache_now(q);
    const struct cache_entry *e = cache_find(p->cache, &k, now);
    if (!e && is_to_be_noted(p, q, &k, now)) {
        long long noted = cache_note_age(p->cache, k.hash, now);
        if (noted < 0)
            why_say(w, "miss", "the reply comes from memory: it is not kept");
        else
            why_say(w, "miss", "the reply comes from memory: its TTL counts from %lld s ago",
                    noted / 1000000000);
        return;
    }
    if (!e) {
        why_say(w, "miss", "the reply is kept if it may be");
        return;
    }
    long long age = (now - e->stored_ns) / 1000000000;
    if (cache_is_fresh(e, now))
        why_say(w, "hit", "%s, %lld s old, TTL %u, %u s left", kinds[e->kind], age, e->ttl,
                cache_ttl_left(e, now));
    else
        why_say(w, "stale", "%s, %lld s old, ended %lld s ago", kinds[e->kind], age,
                (long long)(now - e->end_ns) / 1000000000);
}

const struct plugin_why cache_why = { .before = cache_why_before };

void cache_out(struct query *q, void *conf)
{
    if (q->fetch)
        cache_fetch_end(conf, q);
    else if (q->noting)
        end_noting(conf, q);
}
