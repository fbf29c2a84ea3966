/* When rules are written: the first change at once, later ones collected for the minimum period;
 * what the kernel refused again after a growing pause; at once when somebody else has deleted from
 * our tables; every sync period a look whether they are still there; and every hour all anew.
 * Nothing is written before sync_start(), which waits for the store's first full list. After the
 * rules, UDP flows that they made stale are removed.
 *
 * The work itself runs on libuv's thread pool, so that the loop stays free; model and store are
 * only touched on the loop's thread, and the model is not refreshed while work is under way. */
#pragma once

#include "proxy/health.h"
#include "proxy/model.h"
#include "proxy/writer.h"

#include <uv.h>

#define SYNC_RETRY_FIRST_MS 1000
#define SYNC_RETRY_MAX_MS   60000

struct sync;

struct sync_options {
    const struct nft_backend *backend;
    struct ruleset_options ruleset[FAMILIES];
    const struct iptables_backend *iptables; /* not NULL: iptables mode, with these options */
    struct chain_options chains[FAMILIES];
    bool without[FAMILIES]; /* of these no rules are written */
    int64_t min_period_ns;  /* least time between the starts of two syncs */
    int64_t period_ns;      /* between two looks after the tables */
    int64_t full_period_ns; /* between two replacements of the tables by fresh ones; 0: never */
    struct health *health;
    struct proxy_metrics *metrics;
    bool live; /* the kernel is real: watch who else changes it, and remove stale flows */
    void (*synced)(void *ctx); /* after each sync, whatever came of it; may be NULL */
    void *ctx;
};

/* loop NULL: only sync_now() works. */
struct sync *sync_new(uv_loop_t *loop, struct model *m, const struct sync_options *o);
/* Waits for work under way; rules stay as they are. With a loop, the memory goes when the loop has
 * closed the timers, so run it once more. */
void sync_free(struct sync *s);

void sync_start(struct sync *s); /* from now on changes are written; the first sync runs at once */
void sync_poke(struct sync *s);  /* the model has become dirty */
/* From the next sync on; copied. */
void sync_set_around(struct sync *s, const struct surroundings *a);

/* One sync here and now; returns 0 or the first family's failure, e has the sentence. */
int sync_now(struct sync *s, struct err *e);
