#include "base/mem.h"
#include "dns/cache.h"

#include <stdlib.h>

#define NS_A_MS 1000000

/* Half of the hash that did not choose the bucket, and milliseconds that wrap after 49 days. */
static uint64_t word_of(uint64_t hash, int64_t now)
{
    return hash << 32 | (uint32_t)(now / NS_A_MS);
}

static uint32_t age_of(uint64_t word, int64_t now)
{
    return (uint32_t)(now / NS_A_MS) - (uint32_t)word;
}

void cache_notes_init(struct cache_notes *n, uint32_t capacity)
{
    n->n_buckets = (2 * capacity + CACHE_NOTES - 1) / CACHE_NOTES;
    n->memory = xcalloc(n->n_buckets + 1u, sizeof *n->buckets);
    n->buckets = (void *)(((uintptr_t)n->memory + 63) & ~(uintptr_t)63);
}

void cache_notes_done(struct cache_notes *n)
{
    free(n->memory);
}

static struct cache_note_bucket *bucket_of(const struct cache_notes *n, uint64_t hash)
{
    return &n->buckets[((hash >> 32) * n->n_buckets) >> 32];
}

void cache_note_prefetch(const struct cache *c, uint64_t hash)
{
    __builtin_prefetch(bucket_of(&c->notes, hash));
}

int64_t cache_note_age(const struct cache *c, uint64_t hash, int64_t now)
{
    struct cache_note_bucket *b = bucket_of(&c->notes, hash);
    for (int i = 0; i < CACHE_NOTES; i++) {
        uint64_t word = atomic_load_explicit(&b->note[i], memory_order_relaxed);
        if (word && word >> 32 == (uint32_t)hash)
            return (int64_t)age_of(word, now) * NS_A_MS;
    }
    return -1;
}

/* The key's own place, else a free one, else the oldest note's. */
void cache_note(struct cache *c, uint64_t hash, int64_t now)
{
    struct cache_note_bucket *b = bucket_of(&c->notes, hash);
    uint64_t age = 0;
    int place = 0;
    for (int i = 0; i < CACHE_NOTES; i++) {
        uint64_t word = atomic_load_explicit(&b->note[i], memory_order_relaxed);
        if (word && word >> 32 == (uint32_t)hash) {
            place = i;
            break;
        }
        uint64_t this = word ? age_of(word, now) : UINT64_MAX;
        if (this > age) {
            age = this;
            place = i;
        }
    }
    atomic_store_explicit(&b->note[place], word_of(hash, now), memory_order_relaxed);
}
