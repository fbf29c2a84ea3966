/* What `dnstap` has for the plugins behind it: to tell of questions to other servers. */
#pragma once

#include "dns/plugin.h"

struct taps; /* all lines of a server block */

/* NULL: the block has no `dnstap`. */
static inline struct taps *taps_find(struct setup *s)
{
    return offers_find(setup_offers(s), "dnstap");
}

/* One question to an upstream, once it has ended. */
struct tap_exchange {
    const struct sockaddr *local, *upstream; /* local: NULL when it is not known */
    bool tcp;
    int64_t start_ns, end_ns; /* monotonic */
    const uint8_t *query;
    size_t query_len;
    const uint8_t *reply; /* NULL: there was none */
    size_t reply_len;
};

/* t: NULL is fine. */
void taps_tell(struct taps *t, struct query *q, const struct tap_exchange *x);
