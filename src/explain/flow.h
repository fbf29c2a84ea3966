/* Walks the first packet of a connection through a packet filter as a kernel would, and tells every
 * way that it may take: where a rule decides by chance, all its outcomes with their shares. Pure:
 * no kernel is asked, and nothing is changed.
 *
 * Hooks are passed as on Linux: what comes from outside of the node (its pods included) through
 * prerouting and then, by its destination at that time, input, or forward and postrouting; what a
 * process of the node sends through output and postrouting, and when it is for the node itself
 * then prerouting and input. Chains of type nat see only packets of new connections, and once a
 * connection has a new destination no further chain gives it another. */
#pragma once

#include "explain/firewall.h"

#define FLOW_OUTCOMES_MAX 100000 /* different ends of one walk */
#define FLOW_DEPTH_MAX    16     /* chains inside of chains, as the kernel's limit */
#define FLOW_RULES_MAX    100000 /* looked at on one way: more than any ruleset without loops */

enum packet_state { PACKET_NEW, PACKET_ESTABLISHED, PACKET_RELATED, PACKET_INVALID };

#define PACKET_TRANSLATED_BIT 0x100u /* beside the states: its connection has a new destination */

struct packet {
    uint8_t protocol; /* IPPROTO_* */
    struct ip from, to;
    uint16_t from_port, to_port;
    const char *in; /* the interface by which it comes, or NULL: not known, matches no name */
    bool from_here; /* sent by a process of the node */
    enum packet_state state;
    /* Where the rules remember to have sent this client; family 0: nowhere. */
    struct ip kept;
    uint16_t kept_port;
};

/* One rule that did something, or let the packet pass on to another chain. */
struct flow_step {
    const struct flow_step *before;
    const struct firewall_chain *chain;
    const struct rule *rule;
    const struct firewall_map *map; /* in which something was found, or NULL */
    const char *element;            /* what was found there */
};

enum flow_end {
    FLOW_SENT,     /* leaves the node, or goes to one of its pods */
    FLOW_HERE,     /* to a process of the node */
    FLOW_REJECTED, /* the sender is told */
    FLOW_DROPPED,  /* the sender waits in vain */
    FLOW_UNKNOWN,  /* the limits above were reached */
};

struct flow_outcome {
    enum flow_end end;
    bool translated, masqueraded;
    uint32_t remembered; /* seconds that the client is kept at this endpoint; 0: it is not */
    struct ip to;        /* in the end */
    uint16_t to_port;
    double share;                 /* of all connections; the sum of all is 1 */
    const struct flow_step *last; /* of this way; NULL: no rule had anything to say */
};

struct flow {
    VEC(struct flow_outcome) outcomes; /* the likelier first, then by address */
};

/* here: the addresses of the node. Steps lie in the arena and speak of the firewall's rules. */
void flow_walk(const struct firewall *f, const struct ip *here, size_t n_here,
               const struct packet *p, struct arena *a, struct flow *ret);
void flow_done(struct flow *f);

/* The steps of an outcome in order; returns how many. *ret is in the arena. */
size_t flow_steps(const struct flow_outcome *o, struct arena *a,
                  const struct flow_step *const **ret);
const char *flow_end_text(enum flow_end end); /* "rejected" */
const char *hook_text(enum hook hook);        /* "prerouting" */
