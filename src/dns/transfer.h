/* Zone transfer out: what `transfer` and the plugins that hold zones have for each other.
 * `transfer` comes first in plugin order, so the others find it with transfers_find() in their
 * set-up. */
#pragma once

#include "dns/plugin.h"

#define TRANSFER_PROVIDERS_MAX 16 /* of one server block */

/* Takes the next RRset; its bytes are copied. False: nothing more is wanted. */
typedef bool transfer_emit(void *ctx, const struct rrset *rr);

/* Hands out the zone whose name q asks for: SOA first, without the closing one. Worker's thread,
 * inside its RCU section; owners must not be NULL. Returns 0, ERR_NOT_FOUND (not my zone) or
 * another code. */
typedef int transfer_fn(struct query *q, void *conf, transfer_emit *emit, void *ctx);

struct transfers {
    struct {
        transfer_fn *fn;
        void *conf;
    } providers[TRANSFER_PROVIDERS_MAX];
    unsigned n;
    void (*notify)(void *conf, const uint8_t *zone);
    void *conf;
};

/* Of the block; NULL: it has no `transfer`. */
static inline struct transfers *transfers_find(struct setup *s)
{
    return offers_find(setup_offers(s), "transfer");
}

/* t: NULL is fine. */
static inline void transfers_add(struct transfers *t, transfer_fn *fn, void *conf)
{
    if (!t || t->n == TRANSFER_PROVIDERS_MAX)
        return;
    t->providers[t->n].fn = fn;
    t->providers[t->n++].conf = conf;
}

/* The zone has changed: tells the secondaries. Control thread; t: NULL is fine. */
static inline void transfers_notify(const struct transfers *t, const uint8_t *zone)
{
    if (t)
        t->notify(t->conf, zone);
}
