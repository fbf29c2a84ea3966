#include "dns/sig_cache.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* 64 bytes: a processor's cache line. */
struct bucket {
    _Alignas(64) _Atomic(struct sig_entry *) way[SIG_CACHE_WAYS];
};

struct sig_cache {
    size_t n_buckets;
    _Atomic size_t count;
    struct bucket *buckets;
};

struct sig_cache *sig_cache_new(size_t capacity)
{
    struct sig_cache *c = xcalloc(1, sizeof *c);
    void *memory;
    if (capacity > SIG_CACHE_CAPACITY_MAX)
        capacity = SIG_CACHE_CAPACITY_MAX;
    c->n_buckets = capacity / SIG_CACHE_WAYS + (capacity % SIG_CACHE_WAYS || !capacity);
    if (posix_memalign(&memory, 64, c->n_buckets * sizeof *c->buckets) != 0)
        abort();
    memset(memory, 0, c->n_buckets * sizeof *c->buckets);
    c->buckets = memory;
    return c;
}

void sig_cache_free(struct sig_cache *c)
{
    for (size_t i = 0; c && i < c->n_buckets; i++)
        for (int w = 0; w < SIG_CACHE_WAYS; w++)
            free(atomic_load(&c->buckets[i].way[w]));
    if (c)
        free(c->buckets);
    free(c);
}

struct sig_key sig_key_of(const uint8_t *bytes, size_t len)
{
    return (struct sig_key){ hash_bytes(bytes, len), hash_stable(bytes, len) };
}

static struct bucket *bucket_of(const struct sig_cache *c, uint64_t hash)
{
    return &c->buckets[(size_t)(((hash >> 32) * c->n_buckets) >> 32)];
}

static bool is_key(const struct sig_entry *e, const struct sig_key *k)
{
    return e && e->key.hash == k->hash && e->key.check == k->check;
}

const struct sig_entry *sig_cache_find(const struct sig_cache *c, const struct sig_key *k,
                                       int64_t now)
{
    const struct bucket *b = bucket_of(c, k->hash);
    for (int w = 0; w < SIG_CACHE_WAYS; w++) {
        const struct sig_entry *e = rcu_load(&b->way[w]);
        if (is_key(e, k) && now >= e->from && now < e->until)
            return e;
    }
    return NULL;
}

/* The place of the same key, else a free one, else that of the oldest. */
static int choose(const struct bucket *b, const struct sig_key *k)
{
    int best = 0;
    int64_t oldest = INT64_MAX;
    for (int w = 0; w < SIG_CACHE_WAYS; w++) {
        const struct sig_entry *e = rcu_load(&b->way[w]);
        if (is_key(e, k))
            return w;
        int64_t age = e ? e->until : INT64_MIN;
        if (age < oldest) {
            oldest = age;
            best = w;
        }
    }
    return best;
}

void sig_cache_put(struct sig_cache *c, const struct sig_entry *e)
{
    size_t size = sizeof *e + e->len;
    struct sig_entry *copy = size <= SIG_CACHE_ENTRY_MAX ? malloc(size) : NULL;
    if (!copy)
        return;
    memcpy(copy, e, size);
    struct bucket *b = bucket_of(c, e->key.hash);
    struct sig_entry *old = atomic_exchange(&b->way[choose(b, &e->key)], copy);
    if (old)
        rcu_retire(old, free);
    else
        atomic_fetch_add_explicit(&c->count, 1, memory_order_relaxed);
}

size_t sig_cache_count(const struct sig_cache *c)
{
    return atomic_load_explicit(&c->count, memory_order_relaxed);
}
