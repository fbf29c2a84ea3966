#include "dns/cache.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BYTES(b)  (0x0101010101010101ULL * (b))
#define WAYS_MASK 0x0080808080808080ULL

/* ---- making ---- */

struct cache *cache_new(const struct cache_limits *limits)
{
    struct cache *c = aligned_alloc(64, sizeof *c);
    if (!c)
        c = xmalloc(SIZE_MAX); /* ends the process with the usual words */
    memset(c, 0, sizeof *c);
    c->users = 1;
    c->limits = *limits;
    uint32_t sum = 0;
    for (int k = 0; k < CACHE_KINDS; k++) {
        uint32_t capacity = limits->capacity[k];
        if (capacity < CACHE_CAPACITY_MIN)
            capacity = CACHE_CAPACITY_MIN;
        c->shard_max[k] = capacity / CACHE_SHARDS;
        sum += c->shard_max[k];
    }
    c->n_buckets = (2 * sum + CACHE_WAYS - 1) / CACHE_WAYS;
    cache_notes_init(&c->notes, sum * CACHE_SHARDS);
    /* calloc() leaves pages of that size untouched; one bucket more to align by hand. */
    size_t n = (size_t)c->n_buckets * CACHE_SHARDS;
    c->memory = xcalloc(n + 1, sizeof(struct cache_bucket));
    struct cache_bucket *buckets = (void *)(((uintptr_t)c->memory + 63) & ~(uintptr_t)63);
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        pthread_mutex_init(&c->shards[i].lock, NULL);
        c->shards[i].buckets = buckets + i * c->n_buckets;
    }
    return c;
}

static void free_shard(struct cache *c, struct cache_shard *s)
{
    for (uint32_t b = 0; b < c->n_buckets && s->n[CACHE_SUCCESS] + s->n[CACHE_DENIAL]; b++) {
        for (int i = 0; i < CACHE_WAYS; i++) {
            struct cache_entry *e = rcu_load(&s->buckets[b].way[i]);
            if (e)
                s->n[e->kind]--;
            free(e);
        }
    }
    pthread_mutex_destroy(&s->lock);
}

struct cache *cache_share(struct cache *c)
{
    c->users++;
    return c;
}

void cache_free(struct cache *c)
{
    if (!c || --c->users)
        return;
    for (size_t i = 0; i < CACHE_SHARDS; i++)
        free_shard(c, &c->shards[i]);
    cache_notes_done(&c->notes);
    free(c->memory);
    free(c);
}

uint32_t cache_count(struct cache *c, enum cache_kind kind)
{
    uint32_t n = 0;
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        pthread_mutex_lock(&c->shards[i].lock);
        n += c->shards[i].n[kind];
        pthread_mutex_unlock(&c->shards[i].lock);
    }
    return n;
}

/* ---- looking up ---- */

void cache_key_init(struct cache_key *k, const struct question *q, bool do_bit, bool cd)
{
    /* Type, class and flags go into the hash by a multiplication: it is keyed by the name's
     * already. */
    uint64_t rest = (uint64_t)q->type << 18 | (uint64_t)q->class << 2 | (uint64_t)do_bit << 1 | cd;
    uint64_t h = hash_bytes(q->lower, q->name.len) ^ rest * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    *k = (struct cache_key){ .q = q, .hash = h ^ h >> 32, .do_bit = do_bit, .cd = cd };
}

static uint8_t tag_of(uint64_t hash)
{
    uint8_t tag = (uint8_t)(hash >> 8);
    return tag ? tag : 1;
}

/* Bit 7 of each byte that may be the tag: never misses one, rarely names a wrong one. */
static uint64_t match(uint64_t tags, uint8_t tag)
{
    uint64_t x = tags ^ BYTES(tag);
    return (x - BYTES(1)) & ~x & WAYS_MASK;
}

static int first_way(uint64_t m)
{
    return __builtin_ctzll(m) >> 3;
}

void cache_prefetch_entry(const struct cache *c, uint64_t hash)
{
    const struct cache_bucket *b = cache_bucket_of(c, hash);
    uint64_t m = match(atomic_load_explicit(&b->tags, memory_order_relaxed), tag_of(hash));
    if (!m)
        return;
    const char *e = (const char *)rcu_load(&b->way[first_way(m)]);
    for (int line = 0; line < 3; line++)
        __builtin_prefetch(e + 64 * line);
}

uint32_t cache_ttl_left(const struct cache_entry *e, int64_t now)
{
    int64_t age = now > e->stored_ns ? (now - e->stored_ns) / 1000000000 : 0;
    return age < e->ttl ? e->ttl - (uint32_t)age : 1;
}

static bool is_usable(const struct cache *c, const struct cache_entry *e, int64_t now)
{
    return e && now < e->end_ns + (e->failure ? 0 : c->limits.stale_ns);
}

static struct cache_entry *choose(const struct cache *c, struct cache_entry *const e[CACHE_KINDS],
                                  int64_t now)
{
    struct cache_entry *s = e[CACHE_SUCCESS], *d = e[CACHE_DENIAL];
    if (!is_usable(c, s, now))
        return is_usable(c, d, now) ? d : NULL;
    if (!is_usable(c, d, now) || d->failure || c->limits.prefer_positive)
        return s;
    return d->stored_ns >= s->stored_ns ? d : s;
}

struct cache_entry *cache_find(const struct cache *c, const struct cache_key *k, int64_t now)
{
    const struct cache_bucket *b = cache_bucket_of(c, k->hash);
    uint64_t m = match(atomic_load_explicit(&b->tags, memory_order_acquire), tag_of(k->hash));
    struct cache_entry *found[CACHE_KINDS] = { NULL, NULL };
    for (; m; m &= m - 1) {
        struct cache_entry *e = rcu_load(&b->way[first_way(m)]);
        if (e && cache_entry_is(e, k))
            found[e->kind] = e;
    }
    return choose(c, found, now);
}

/* ---- changing; the shard is locked ---- */

static void set_way(struct cache_bucket *b, int i, struct cache_entry *e)
{
    uint64_t tags = atomic_load_explicit(&b->tags, memory_order_relaxed);
    tags &= ~(0xffULL << (8 * i));
    rcu_publish(&b->way[i], e);
    if (e)
        tags |= (uint64_t)tag_of(e->hash) << (8 * i);
    atomic_store_explicit(&b->tags, tags, memory_order_release);
}

static void drop(struct cache_shard *s, struct cache_bucket *b, int i)
{
    struct cache_entry *e = rcu_load(&b->way[i]);
    s->n[e->kind]--;
    set_way(b, i, NULL);
    rcu_retire(e, free);
}

static bool is_in_use(const struct cache *c, const struct cache_entry *e, int64_t now)
{
    return atomic_load_explicit(&e->used, memory_order_relaxed) && is_usable(c, e, now);
}

/* The way of the first entry to end, of those not in use if there are any; kind CACHE_KINDS: of any
 * kind. -1: there is none. */
static int first_to_go(const struct cache *c, const struct cache_bucket *b, unsigned kind,
                       int64_t now)
{
    const struct cache_entry *best = NULL;
    int way = -1;
    for (int i = 0; i < CACHE_WAYS; i++) {
        const struct cache_entry *e = rcu_load(&b->way[i]);
        if (!e || (kind != CACHE_KINDS && e->kind != kind))
            continue;
        bool used = is_in_use(c, e, now), best_used = best && is_in_use(c, best, now);
        if (best && (used != best_used ? used : e->end_ns >= best->end_ns))
            continue;
        best = e;
        way = i;
    }
    return way;
}

static bool drop_unused(const struct cache *c, struct cache_shard *s, struct cache_bucket *b,
                        unsigned kind, int64_t now)
{
    int way = first_to_go(c, b, kind, now);
    if (way < 0 || is_in_use(c, rcu_load(&b->way[way]), now))
        return false;
    drop(s, b, way);
    return true;
}

/* What is in use there has to be used again to be spared the next time. */
static void age(struct cache_bucket *b, unsigned kind)
{
    for (int i = 0; i < CACHE_WAYS; i++) {
        struct cache_entry *e = rcu_load(&b->way[i]);
        if (e && e->kind == kind)
            atomic_store_explicit(&e->used, false, memory_order_relaxed);
    }
}

/* All that was looked at is in use: the next bucket that has one of that kind gives up what ends
 * first there. */
static void drop_used(struct cache *c, struct cache_shard *s, unsigned kind, int64_t now)
{
    for (uint32_t looked = 0; looked < c->n_buckets; looked++) {
        s->hand = s->hand + 1 < c->n_buckets ? s->hand + 1 : 0;
        struct cache_bucket *b = &s->buckets[s->hand];
        age(b, kind);
        int way = first_to_go(c, b, kind, now);
        if (way >= 0) {
            drop(s, b, way);
            return;
        }
    }
}

/* Makes room in a shard that holds as many of that kind as it may: from the bucket that the new one
 * goes to, else from one of the next. */
static void make_room(struct cache *c, struct cache_shard *s, struct cache_bucket *b, unsigned kind,
                      int64_t now)
{
    uint32_t at = s->hand;
    if (drop_unused(c, s, b, kind, now))
        return;
    for (unsigned looked = 0; looked < CACHE_SPARE_MAX; looked++) {
        at = at + 1 < c->n_buckets ? at + 1 : 0;
        if (drop_unused(c, s, &s->buckets[at], kind, now)) {
            s->hand = at;
            return;
        }
    }
    drop_used(c, s, kind, now);
}

static int free_way(const struct cache_bucket *b)
{
    for (int i = 0; i < CACHE_WAYS; i++)
        if (!rcu_load(&b->way[i]))
            return i;
    return -1;
}

static bool is_same_key(const struct cache_entry *a, const struct cache_entry *b)
{
    return a->hash == b->hash && a->name_len == b->name_len && a->type == b->type &&
           a->class == b->class && a->do_bit == b->do_bit && a->cd == b->cd &&
           memcmp(a->lower, b->lower, a->name_len) == 0;
}

/* The ways of the entries of the same key, by kind; -1: none. */
static void find_ways(const struct cache_bucket *b, const struct cache_entry *e,
                      int ret[CACHE_KINDS])
{
    ret[CACHE_SUCCESS] = ret[CACHE_DENIAL] = -1;
    for (int i = 0; i < CACHE_WAYS; i++) {
        const struct cache_entry *old = rcu_load(&b->way[i]);
        if (old && is_same_key(old, e))
            ret[old->kind] = i;
    }
}

static bool would_hide_data(const struct cache *c, const struct cache_bucket *b,
                            const int ways[CACHE_KINDS], int64_t now)
{
    for (int kind = 0; kind < CACHE_KINDS; kind++) {
        const struct cache_entry *e = ways[kind] < 0 ? NULL : rcu_load(&b->way[ways[kind]]);
        if (e && !e->failure && is_usable(c, e, now))
            return true;
    }
    return false;
}

static void insert(struct cache *c, struct cache_shard *s, struct cache_bucket *b,
                   struct cache_entry *e, int64_t now, uint32_t ret_evicted[CACHE_KINDS])
{
    if (s->n[e->kind] >= c->shard_max[e->kind]) {
        make_room(c, s, b, e->kind, now);
        ret_evicted[e->kind]++;
    }
    int way = free_way(b);
    if (way < 0) {
        way = first_to_go(c, b, CACHE_KINDS, now);
        const struct cache_entry *old = rcu_load(&b->way[way]);
        ret_evicted[old->kind]++;
        drop(s, b, way);
    }
    s->n[e->kind]++;
    set_way(b, way, e);
}

void cache_put(struct cache *c, struct cache_entry *e, int64_t now,
               uint32_t ret_evicted[CACHE_KINDS])
{
    struct cache_shard *s = cache_shard_of(c, e->hash);
    struct cache_bucket *b = cache_bucket_of(c, e->hash);
    int ways[CACHE_KINDS];
    find_ways(b, e, ways);
    if (e->failure && would_hide_data(c, b, ways, now)) {
        free(e);
        return;
    }
    unsigned other = e->kind == CACHE_SUCCESS ? CACHE_DENIAL : CACHE_SUCCESS;
    if (ways[other] >= 0 && !(e->kind == CACHE_DENIAL && c->limits.prefer_positive))
        drop(s, b, ways[other]);
    if (ways[e->kind] < 0) {
        insert(c, s, b, e, now, ret_evicted);
        return;
    }
    struct cache_entry *old = rcu_load(&b->way[ways[e->kind]]);
    atomic_store_explicit(&e->hits, atomic_load_explicit(&old->hits, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&e->last_hit_ns,
                          atomic_load_explicit(&old->last_hit_ns, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&e->used, atomic_load_explicit(&old->used, memory_order_relaxed),
                          memory_order_relaxed);
    rcu_publish(&b->way[ways[e->kind]], e);
    rcu_retire(old, free);
}
