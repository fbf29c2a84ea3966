/* What the connection table of a network namespace makes of the flows of some addresses: asked for
 * one by one, and remembered from when they were new, as an entry is gone at once when its first
 * packet is refused. The kernel passes on the beginnings of these addresses' flows only. */
#pragma once

#include "kernel/conntrack.h"

#include <stddef.h>

#define NAT_WATCH_FLOWS 1024 /* beginnings that are remembered, the latest ones */
#define NAT_WATCH_IPS   16

struct nat_watch {
    struct conntrack asks, tells;
    struct flow *flows; /* a ring */
    size_t n;           /* ever told */
    unsigned lost;      /* times that beginnings could not be read in time */
};

/* In the thread's namespace; ips: at most NAT_WATCH_IPS, the rest is left out. Returns 0 or a
 * negated errno; needs CAP_NET_ADMIN. */
int nat_watch_open(struct nat_watch *w, const struct ip *ips, size_t n)
    __attribute__((warn_unused_result));
void nat_watch_done(struct nat_watch *w); /* also of one that is all zero */
/* The latest state of the flow that began with that tuple; false: there was none. *ret_began, if
 * not NULL: it began since the watch was opened, as far as that is remembered. */
bool nat_watch_find(struct nat_watch *w, const struct tuple *original, struct flow *ret,
                    bool *ret_began);
