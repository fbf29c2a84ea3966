/* Signatures that were made, by what they were made over: for signing on-line.
 *
 * One table for all workers, in buckets of SIG_CACHE_WAYS places. Readers and writers take no lock:
 * an entry never changes, is put into its place with one exchange, and what it replaces is retired
 * through RCU. Nobody waits for a signature that another worker is just making; it is made twice
 * then, and the later one stays.
 *
 * Bounds: capacity, rounded up to a whole number of buckets, and SIG_CACHE_ENTRY_MAX bytes an
 * entry. A full bucket gives up the entry that was signed first. */
#pragma once

#include "base/rcu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIG_CACHE_WAYS         8
#define SIG_CACHE_CAPACITY_MAX 10000000
#define SIG_CACHE_ENTRY_MAX    16384

/* Two independent hashes stand for the signed bytes; the first one is keyed. */
struct sig_key {
    uint64_t hash, check;
};

struct sig_entry {
    struct sig_key key;
    int64_t from, until; /* unix seconds between which it may be used */
    uint32_t len;
    uint16_t count;  /* signatures, one a key */
    uint8_t rdata[]; /* each with its length in front, as in an RRset */
};

struct sig_cache;
struct sig_cache *sig_cache_new(size_t capacity); /* less than a bucket counts as one */
void sig_cache_free(struct sig_cache *c);         /* NULL is fine; no readers any more */

struct sig_key sig_key_of(const uint8_t *bytes, size_t len);
/* Valid until the caller's next quiescent state. NULL: none that may be used now. */
const struct sig_entry *sig_cache_find(const struct sig_cache *c, const struct sig_key *k,
                                       int64_t now);
/* Keeps a copy; without memory for it, nothing happens. */
void sig_cache_put(struct sig_cache *c, const struct sig_entry *e);
size_t sig_cache_count(const struct sig_cache *c);
