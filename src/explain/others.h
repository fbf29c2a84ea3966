/* The rules on a Node that are not the service proxy's, as `nft -j list ruleset` prints them: what
 * one of them does to a packet. A rule may look at more than is known of the packet; of those only
 * the ones are told that are known to break look-ups. Chains whose policy is to drop are left
 * aside. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "explain/firewall.h"

#define OTHERS_VISITS_MAX                                                                          \
    10000000 /* rules looked at for one packet; what lies behind is not told */

struct tree;

struct others {
    const struct tree *list; /* in the arena */
};

/* ERR_INVALID: it is not such a text. */
int others_read(const char *text, struct arena *a, struct others *ret, struct err *e);

struct others_packet {
    uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
    struct ip from, to;
    uint16_t to_port; /* the source's port is not known */
};

enum others_which {
    OTHERS_ALL,    /* every such packet */
    OTHERS_AAAA,   /* of queries: those for AAAA */
    OTHERS_SECOND, /* those whose port a set has: the second one by a port, and the like */
};

struct others_finding {
    enum others_which which;
    const char *where; /* "chain c of table inet filter (rule 4)"; in the arena */
};

/* The first that drops or rejects it at that hook. */
bool others_drop(const struct others *o, enum hook hook, const struct others_packet *p,
                 struct arena *a, struct others_finding *ret);
/* One that takes it out of connection tracking. */
bool others_untrack(const struct others *o, const struct others_packet *p, struct arena *a,
                    struct others_finding *ret);
/* One that settles, before the proxy's, that its source stays what it is. */
bool others_keep_source(const struct others *o, const struct others_packet *p, struct arena *a,
                        struct others_finding *ret);
