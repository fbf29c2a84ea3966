/* Counters and histograms that cost a query one relaxed store.
 *
 * Every time series has a slot number, fixed at set-up. Each thread that counts owns a shard (an
 * array of cells); readers add the shards up. Registering the same family and labels again gives
 * the same slot, so counts survive a reload. Gauges are read by a callback at scrape time.
 *
 * Registration and scrape may happen on any thread; they take a lock. metric_add() takes none. */
#pragma once

#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

#define METRIC_SLOTS_MAX  65536 /* cells; a histogram takes buckets + 2 */
#define METRIC_SHARDS_MAX 130
#define METRIC_PAGE       1024

typedef uint32_t metric;

/* Cells: one a bound, one for what lies above the last, then the sum. */
struct histogram {
    metric first;
    uint16_t n;
    const uint64_t *bounds;
};

struct metric_shard {
    _Atomic uint64_t *pages[METRIC_SLOTS_MAX / METRIC_PAGE];
};

/* The shard of this thread; threads that never called metric_thread_init() share shard 0, which is
 * then updated atomically. */
extern _Thread_local struct metric_shard *metric_my_shard;
extern struct metric_shard metric_shared_shard;

/* Gives this thread a shard of its own. Returns 0 or ERR_LIMIT. */
int metric_thread_init(void);

/* labels: text between the braces, values escaped, e.g. `server="dns://:53",zone="."`; "" for none.
 * Names and help texts are static strings. Slot 0 is a dump that is never shown: it is what a full
 * registry gives (and counts in signpost_metric_series_refused_total). */
metric metric_counter(const char *name, const char *help, const char *labels);
/* bounds: n upper limits in the unit observed, ascending, static; scale: value of one unit in what
 * is shown (1e-9 when nanoseconds are observed and seconds shown). */
struct histogram metric_histogram(const char *name, const char *help, const char *labels,
                                  const uint64_t *bounds, unsigned n, double scale);
/* read(ctx) is called at each scrape, on the scraping thread, until metric_gauge_drop(ctx). Of
 * several with the same name and labels one is shown, the latest if none was dropped before. */
void metric_gauge(const char *name, const char *help, const char *labels, double (*read)(void *ctx),
                  void *ctx);
void metric_gauge_drop(void *ctx);
/* A counter that somebody else counts, such as the kernel; read and dropped like a gauge. */
void metric_counter_read(const char *name, const char *help, const char *labels,
                         double (*read)(void *ctx), void *ctx);
/* Appends name="value" to labels, the value escaped, behind a comma if need be. */
void metric_label(struct strbuf *labels, const char *name, const char *value);

uint64_t metric_value(metric m); /* a cell's sum over the shards */

/* The whole registry in Prometheus text format 0.0.4. */
void metric_print(struct strbuf *out);

static inline void metric_add(metric m, uint64_t n)
{
    struct metric_shard *s = metric_my_shard;
    _Atomic uint64_t *cell;
    if (__builtin_expect(s != NULL, 1)) {
        cell = &s->pages[m / METRIC_PAGE][m % METRIC_PAGE];
        uint64_t v = atomic_load_explicit(cell, memory_order_relaxed);
        atomic_store_explicit(cell, v + n, memory_order_relaxed);
        return;
    }
    cell = &metric_shared_shard.pages[m / METRIC_PAGE][m % METRIC_PAGE];
    atomic_fetch_add_explicit(cell, n, memory_order_relaxed);
}

static inline void histogram_observe(const struct histogram *h, uint64_t value)
{
    unsigned i = 0;
    while (i < h->n && value > h->bounds[i])
        i++;
    metric_add(h->first + i, 1);
    metric_add(h->first + h->n + 1, value);
}
