/* Replies kept for their time to live: a table that is read without a lock, and what a reply
 * becomes in it.
 *
 * One table for all workers, so that a name is fetched once a process, counters of use see every
 * hit and the capacity is what was asked for; a table for each worker would fetch and hold
 * everything as many times as there are workers. A look-up reads one cache line (a bucket: seven
 * one-byte tags and seven pointers) and the entry. Entries are immutable but for their counters;
 * writers lock one of CACHE_SHARDS shards and retire what they replace through RCU, so an entry
 * stays valid until the worker's batch has been sent.
 *
 * Bounds: each shard takes capacity / CACHE_SHARDS entries of each kind, and an entry is at most
 * one message (MSG_MAX) and its RRset heads. A shard that is full gives up an entry that nobody has
 * asked for since it came or was spared last, of those the one that ends first among a bucket's: a
 * flood of names that are asked once does not push out those in use. Buckets are two places for
 * each entry, 64 bytes a bucket: about 18 bytes for each entry of capacity, whether used or not
 * (the kernel backs what was touched).
 *
 * Times are monotonic nanoseconds given by the caller; TTLs are seconds. */
#pragma once

#include "base/rcu.h"
#include "wire/msg.h"

#include <pthread.h>
#include <stdint.h>

#define CACHE_SHARDS       64
#define CACHE_WAYS         7    /* entries of a bucket */
#define CACHE_CAPACITY_MIN 1024 /* smaller capacities count as this, as in the reference */
#define CACHE_CAPACITY_MAX 100000000
#define CACHE_SPARE_MAX    32 /* buckets looked at for an entry that is not in use */
#define CACHE_TTL_DEFAULT  5  /* of replies without a record that would say */

/* NOERROR with data and referrals; "no such name", "no such data" and failures. */
enum cache_kind { CACHE_SUCCESS, CACHE_DENIAL, CACHE_KINDS };

struct cache_limits {
    uint32_t capacity[CACHE_KINDS];
    uint32_t min_ttl[CACHE_KINDS], max_ttl[CACHE_KINDS];
    int64_t servfail_ns;  /* lifetime of SERVFAIL and NOTIMP; 0: not kept */
    int64_t stale_ns;     /* how long after its end an entry may still be served; 0: never */
    bool prefer_positive; /* a stale success goes before any denial */
};

struct cache_key {
    const struct question *q;
    uint64_t hash;
    bool do_bit, cd;
};

struct cache_entry {
    uint64_t hash;
    int64_t stored_ns, end_ns;
    uint32_t ttl;
    uint16_t type, class;
    uint16_t flags; /* AA, RA, AD as they came */
    uint16_t rcode;
    uint16_t n[SECTION_COUNT];
    uint8_t name_len;
    uint8_t kind;
    bool do_bit, cd, failure;
    _Atomic bool used; /* it was answered with; cleared when it is spared for that */
    /* For refreshing ahead of the end, or after it. */
    _Atomic bool refreshing;
    _Atomic uint32_t hits; /* since the last pause */
    _Atomic int64_t last_hit_ns;
    _Atomic int64_t recheck_ns; /* no refresh before that */
    const uint8_t *name,
        *lower; /* as the query that filled it spelled it; the same bytes if it is lower case */
    struct rrset rr[]; /* of all sections; owner NULL: `name` */
};

/* 64 bytes: a processor's cache line. */
struct cache_bucket {
    _Atomic uint64_t tags; /* a byte a way, 0: free; the last is not used */
    _Atomic(struct cache_entry *) way[CACHE_WAYS];
};

struct cache_fetch;

struct cache_shard {
    _Alignas(64) pthread_mutex_t lock;
    uint32_t n[CACHE_KINDS];
    uint32_t hand;               /* bucket where the search for an entry to give up begins */
    struct cache_fetch *fetches; /* questions under way; dns/plugins/cache_fetch.c */
    struct cache_bucket *buckets;
};

/* When replies were given that are not kept, because they come as quickly without
 * (setup_at_once()): so that their TTLs count down as those of kept ones. A note is half a hash and
 * a time, changed without a lock. Two keys that fall together, two workers that write at once or a
 * note that gave way to others make a TTL start anew, or too low: never too high. */
#define CACHE_NOTES 8 /* of a bucket */

struct cache_note_bucket {
    _Atomic uint64_t note[CACHE_NOTES]; /* 0: free */
};

struct cache_notes {
    uint32_t n_buckets;
    struct cache_note_bucket *buckets;
    void *memory;
};

struct cache {
    unsigned users; /* configurations; control thread */
    struct cache_limits limits;
    uint32_t shard_max[CACHE_KINDS];
    uint32_t n_buckets; /* of a shard */
    void *memory;
    struct cache_notes notes;
    struct cache_shard shards[CACHE_SHARDS];
};

struct cache *cache_new(const struct cache_limits *limits);
/* For one more user, who calls cache_free() as well. Control thread, as are new and free. */
struct cache *cache_share(struct cache *c);
void cache_free(struct cache *c); /* no readers of this user's any more; NULL is fine */
/* Entries of a kind; any thread, a moment's value. */
uint32_t cache_count(struct cache *c, enum cache_kind kind);

void cache_key_init(struct cache_key *k, const struct question *q, bool do_bit, bool cd);

static inline struct cache_shard *cache_shard_of(struct cache *c, uint64_t hash)
{
    return &c->shards[hash & (CACHE_SHARDS - 1)];
}

static inline struct cache_bucket *cache_bucket_of(const struct cache *c, uint64_t hash)
{
    const struct cache_shard *s = &c->shards[hash & (CACHE_SHARDS - 1)];
    return &s->buckets[((hash >> 32) * c->n_buckets) >> 32];
}

/* Look-ahead: first the bucket, later the entry that the tag points to. */
void cache_prefetch_entry(const struct cache *c, uint64_t hash);

/* The entry to answer with, fresh or still to be served as stale; NULL: none. Valid until the
 * caller's next quiescent state. */
struct cache_entry *cache_find(const struct cache *c, const struct cache_key *k, int64_t now);

static inline bool cache_is_fresh(const struct cache_entry *e, int64_t now)
{
    return now < e->end_ns;
}

/* Only the first use writes, so that workers do not take the line from one another. */
static inline void cache_mark_used(struct cache_entry *e)
{
    if (!atomic_load_explicit(&e->used, memory_order_relaxed))
        atomic_store_explicit(&e->used, true, memory_order_relaxed);
}

/* Seconds left, at least 1 for a fresh entry; the TTL of its records. */
uint32_t cache_ttl_left(const struct cache_entry *e, int64_t now);

/* Takes an entry over, with its shard locked: it replaces the one of its key and kind, and what it
 * makes obsolete. A failure does not displace data that could still be served: it is freed instead.
 * Adds to *ret_evicted by kind. */
void cache_put(struct cache *c, struct cache_entry *e, int64_t now,
               uint32_t ret_evicted[CACHE_KINDS]);

/* ---- cache_note.c ---- */

void cache_notes_init(struct cache_notes *n, uint32_t capacity);
void cache_notes_done(struct cache_notes *n);
void cache_note_prefetch(const struct cache *c, uint64_t hash);
/* How long ago the first reply to the key was noted, in nanoseconds; -1: nothing is noted. hash: of
 * a cache_key. */
int64_t cache_note_age(const struct cache *c, uint64_t hash, int64_t now);
/* Notes a first reply. */
void cache_note(struct cache *c, uint64_t hash, int64_t now);

/* ---- cache_entry.c ---- */

struct cache_verdict {
    bool store, failure;
    enum cache_kind kind;
    uint32_t ttl;    /* what every record of the reply is to say */
    int64_t life_ns; /* > 0 if it is stored */
};

/* What kind of reply that is and how long it holds. unix_now: for the validity of signatures. */
void cache_judge(const struct cache_limits *l, const struct reply *r, bool do_bit, int64_t unix_now,
                 struct cache_verdict *ret);
/* One block with all of the reply, its OPT left out; NULL: out of memory. Free with free(). */
struct cache_entry *cache_entry_new(const struct cache_key *k, const struct reply *r,
                                    const struct cache_verdict *v, int64_t now);
/* Is it the entry of that key? */
bool cache_entry_is(const struct cache_entry *e, const struct cache_key *k);
/* Puts rcode and records with that TTL into a reply whose header and question are set. The records'
 * bytes stay the entry's. */
void cache_entry_fill(const struct cache_entry *e, uint32_t ttl, struct arena *a, struct reply *r);
/* Sets the TTL of all records. */
void cache_set_ttl(struct reply *r, uint32_t ttl);
