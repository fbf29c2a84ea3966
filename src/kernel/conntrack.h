/* The kernel's connection table of one network namespace: what it holds, and what happens to it.
 *
 * An entry has two tuples: how the first packet looked when it came (original), and how an answer
 * will look when it comes (reply). Destination NAT happened when original.to is not reply.from,
 * source NAT when original.from is not reply.to. Events exist only while somebody listens, so open
 * before the traffic. */
#pragma once

#include "base/ip.h"
#include "kernel/capture.h"
#include "kernel/nl.h"

#include <stdbool.h>

struct tuple {
    struct ip from, to;
    uint16_t from_port, to_port; /* TCP, UDP, SCTP; otherwise 0 */
    uint8_t protocol;            /* IPPROTO_* */
};

static inline struct tuple packet_tuple(const struct packet *p)
{
    return (struct tuple){ p->from, p->to, p->from_port, p->to_port, p->protocol };
}

enum flow_event { FLOW_NEW, FLOW_UPDATE, FLOW_DESTROY };

struct flow {
    enum flow_event event; /* of a dump: FLOW_UPDATE */
    struct tuple original, reply;
    uint32_t status; /* IPS_* of linux/netfilter/nf_conntrack_common.h */
    uint32_t id, mark, timeout_seconds;
    uint8_t tcp_state; /* TCP_CONNTRACK_*; 0 for other protocols */
};

struct conntrack {
    struct nl nl; /* mnl_socket_get_fd(nl.sock) for poll() */
};

/* Both return 0 or a negated errno, and need CAP_NET_ADMIN. */
int conntrack_open(struct conntrack *c) __attribute__((warn_unused_result));
int conntrack_listen(struct conntrack *c) __attribute__((warn_unused_result)); /* beginnings only */
void conntrack_done(struct conntrack *c);
int conntrack_fd(const struct conntrack *c);

/* Events that are there now, without waiting; returns 0 or a negated errno (-ENOBUFS: some were
 * lost). Only after conntrack_listen(). */
int conntrack_events(struct conntrack *c, void (*fn)(void *ctx, const struct flow *f), void *ctx);
/* The entry in which that is the original tuple, without searching the table; -ENOENT: none. Only
 * before conntrack_listen(). */
int conntrack_find(struct conntrack *c, const struct tuple *original, struct flow *ret_flow);

/* Of one family (4 or 6) what UDP is; the kernel passes over the rest (before Linux 5.8 it may tell
 * of more). Only before conntrack_listen(). */
int conntrack_dump_udp(struct conntrack *c, uint8_t family,
                       void (*fn)(void *ctx, const struct flow *f), void *ctx);

/* Removes an entry that conntrack_dump_udp() told of, not from within it; -ENOENT: gone already. */
int conntrack_delete(struct conntrack *c, const struct flow *f);

/* One message of the subsystem; false when it is none of ours or broken. */
bool flow_parse(const struct nlmsghdr *h, struct flow *ret_flow);
const char *flow_tcp_state(uint8_t state); /* "ESTABLISHED", ... or "" */
