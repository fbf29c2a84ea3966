/* `cache [TTL] [ZONES...]`: answers again what was answered before. Options: cache_setup.c. */
#include "dns/plugins/cache.h"

#include "base/clock.h"

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

/* Where it was computed ahead, ahead_key is the name as typed: no other plugin hashes that. */
static void make_key(const struct query *q, struct cache_key *k)
{
    bool do_bit = q->msg.edns.present && q->msg.edns.do_bit, cd = q->msg.flags & FLAG_CD;
    if (q->ahead_key == q->msg.q.name.wire)
        *k = (struct cache_key){ &q->msg.q, q->ahead_hash, do_bit, cd };
    else
        cache_key_init(k, &q->msg.q, do_bit, cd);
}

void cache_ahead(struct query *q, const void *conf, bool second)
{
    const struct cache_plugin *p = conf;
    if (second) {
        if (q->ahead_key)
            cache_prefetch_entry(p->cache, q->ahead_hash);
        return;
    }
    struct cache_key k;
    make_key(q, &k);
    q->ahead_key = q->msg.q.name.wire;
    q->ahead_hash = k.hash;
    __builtin_prefetch(cache_bucket_of(p->cache, k.hash));
}

/* ---- answering ---- */

static void answer(struct query *q, const struct cache_entry *e, uint32_t ttl)
{
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

enum step cache_in(struct query *q, void *conf)
{
    struct cache_plugin *p = conf;
    struct cache_key k;
    if (!is_for_us(p, q))
        return STEP_NEXT;
    make_key(q, &k);
    int64_t now = cache_now(q);
    metric_add(cache_metrics_of(p, q)->requests, 1);
    struct cache_entry *e = cache_find(p->cache, &k, now);
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
    make_key(q, &k);
    int64_t now = cache_now(q);
    const struct cache_entry *e = cache_find(p->cache, &k, now);
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
}
