/* Replies for the tests of dns/cache.h, and what becomes of them in a cache. After <cmocka.h>. */
#pragma once

#include "base/arena.h"
#include "base/hash.h"
#include "dns/cache.h"

#define SECOND 1000000000LL
#define T0     (500 * SECOND) /* any moment */

static const struct cache_limits defaults = {
    .capacity = { 10000, 10000 },
    .min_ttl = { 5, 5 },
    .max_ttl = { 3600, 1800 },
    .servfail_ns = 5 * SECOND,
};

struct world {
    struct arena a;
    struct question q;
    struct reply r;
    struct cache_key k;
};

static inline void ask(struct world *w, const char *name, uint16_t type)
{
    arena_init(&w->a, 4096);
    assert_int_equal(name_from_text(name, &w->q.name), 0);
    name_lower(w->q.lower, w->q.name.wire, w->q.name.len);
    w->q.type = type;
    w->q.class = CLASS_IN;
    w->r = (struct reply){ .q = &w->q };
    cache_key_init(&w->k, &w->q, false, false);
}

static inline void add(struct world *w, enum section s, uint16_t type, uint32_t ttl)
{
    static const uint8_t bytes[] = { 192, 0, 2, 1, 192, 0, 2, 2 };
    rrset_list_add(
        &w->r.section[s], &w->a,
        (struct rrset){
            .type = type, .class = CLASS_IN, .ttl = ttl, .count = 2, .rdlen = 4, .rdata = bytes });
}

static inline struct cache_verdict judge(struct world *w, const struct cache_limits *l)
{
    struct cache_verdict v;
    cache_judge(l, &w->r, w->k.do_bit, 1700000000, &v);
    return v;
}

/* Stores the reply; returns how many entries had to go. */
static inline uint32_t store(struct cache *c, struct world *w, int64_t now)
{
    uint32_t evicted[CACHE_KINDS] = { 0 };
    struct cache_verdict v = judge(w, &c->limits);
    assert_true(v.store);
    struct cache_entry *e = cache_entry_new(&w->k, &w->r, &v, now);
    assert_non_null(e);
    struct cache_shard *s = cache_shard_of(c, e->hash);
    pthread_mutex_lock(&s->lock);
    cache_put(c, e, now, evicted);
    pthread_mutex_unlock(&s->lock);
    return evicted[CACHE_SUCCESS] + evicted[CACHE_DENIAL];
}

static inline void answer_with(struct world *w, const char *name, uint32_t ttl)
{
    ask(w, name, RR_A);
    add(w, SECTION_ANSWER, RR_A, ttl);
}

static inline void deny_with(struct world *w, const char *name, uint32_t ttl)
{
    ask(w, name, RR_A);
    w->r.rcode = RCODE_NXDOMAIN;
    add(w, SECTION_AUTHORITY, RR_SOA, ttl);
}

static inline void fail_with(struct world *w, const char *name)
{
    ask(w, name, RR_A);
    w->r.rcode = RCODE_SERVFAIL;
}

static inline void done(struct cache *c)
{
    rcu_barrier_all();
    cache_free(c);
}
