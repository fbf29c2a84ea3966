/* `cache`: what its files share. cache.c: the step; cache_fetch.c: questions under way, those who
 * wait for them, and refreshing; cache_setup.c: options. The table is dns/cache.h. */
#pragma once

#include "dns/cache.h"
#include "dns/plugin.h"

/* Counters of one listener's queries. */
struct cache_metrics {
    metric requests, misses, prefetches, drops, served_stale, coalesced;
    metric hits[CACHE_KINDS], evictions[CACHE_KINDS];
};

struct cache_plugin;

struct cache_gauge {
    struct cache_plugin *p;
    enum cache_kind kind;
};

struct cache_plugin {
    struct cache
        *cache; /* shared with the plugin of the configuration before, or after, this one */
    const struct cache_plugin *before; /* whose table is taken over at the start; or NULL */
    struct cache_limits limits;
    const char *zones_text; /* label value */
    struct zone_set *zones;
    struct zone_set *disabled[CACHE_KINDS]; /* NULL: nowhere */
    bool keepttl;
    unsigned prefetch; /* uses that make an entry worth it; 0: off */
    int64_t prefetch_gap_ns;
    uint32_t prefetch_percent;
    bool verify, has_policy;
    int64_t verify_ns; /* 0: as long as it takes */
    uint32_t stale_ttl;
    int64_t recheck_ns;
    struct dns_config *config;
    const struct block *block;
    struct cache_metrics **metrics; /* by route; NULL for those of other blocks */
    unsigned n_routes;
    struct cache_gauge gauges[CACHE_KINDS];
    bool *ended; /* by worker: nobody may begin to wait there */
};

/* ---- cache.c ---- */

enum step cache_in(struct query *q, void *conf);
extern const struct plugin_why cache_why;
void cache_out(struct query *q, void *conf);
void cache_ahead(struct query *q, const void *conf, struct query_ahead *ahead, bool second);
int64_t cache_now(const struct query *q);
/* Answers with a fresh entry. */
enum step cache_hit(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                    struct cache_entry *e);
/* AD is only told to clients that show that they know it. */
bool cache_wants_ad(const struct query *q);

static inline struct cache_metrics *cache_metrics_of(const struct cache_plugin *p,
                                                     const struct query *q)
{
    return p->metrics[q->route->id];
}

/* ---- cache_fetch.c ---- */

/* Nothing is there: waits for whoever fetches it already, or lets the query pass to fetch it. */
enum step cache_fetch_miss(struct cache_plugin *p, struct query *q, const struct cache_key *k);
/* The reply holds a stale answer: asks first, and falls back on it. */
enum step cache_fetch_verify(struct cache_plugin *p, struct query *q, const struct cache_key *k);
/* Renews an entry behind the client's back. */
void cache_fetch_refresh(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                         struct cache_entry *e);
/* A fetch has ended with q: keeps the reply and tells those who wait. */
void cache_fetch_end(struct cache_plugin *p, struct query *q);
void cache_fetch_worker_stop(struct worker *w, void *conf);
