/* Links, addresses and routes of one network namespace, by rtnetlink.
 *
 * A `struct link_table` speaks for the namespace in which it was opened, wherever the thread is
 * later. Functions return 0 or the kernel's negated errno. Names have at most 15 characters. */
#pragma once

#include "base/ip.h"
#include "kernel/nl.h"

#include <stdbool.h>

struct link_table {
    struct nl nl;
};

int link_table_open(struct link_table *t) __attribute__((warn_unused_result));
void link_table_done(struct link_table *t);

/* The link's index (> 0), or a negated errno. */
int link_index(struct link_table *t, const char *name);
/* "eth0", or "if7" when there is none (any more). Writes at most 16 bytes; returns out. */
char *link_name(struct link_table *t, int index, char out[16]);

/* Its hardware address stays what it is. Left to the kernel it would be the lowest of its members',
 * and change with them, while others still send to the one that they know. */
int link_add_bridge(struct link_table *t, const char *name);
/* A veth pair: `name` here, `peer` in the namespace of peer_netns (an open descriptor). */
int link_add_veth(struct link_table *t, const char *name, const char *peer, int peer_netns);
/* A link that drops what is sent to it, to carry addresses; -EOPNOTSUPP where the kernel has none.
 */
int link_add_dummy(struct link_table *t, const char *name);
int link_set_up(struct link_table *t, const char *name);
int link_set_master(struct link_table *t, const char *name, const char *bridge);
/* A bridge's port gets back, too, what it sent: a pod that asks for a Service may be its endpoint.
 */
int link_set_hairpin(struct link_table *t, const char *name);
int link_delete(struct link_table *t, const char *name);

/* IPv6 addresses skip duplicate detection: they are ours, and must work at once. */
int link_add_address(struct link_table *t, const char *name, const struct ip *ip, unsigned bits);

int link_delete_address(struct link_table *t, const char *name, const struct ip *ip, unsigned bits);

/* gateway NULL: the destination is on the link itself. The gateway need not be in a subnet of the
 * link (RTNH_F_ONLINK). */
int route_add(struct link_table *t, const struct ip_prefix *to, const struct ip *gateway,
              const char *name);

/* What the kernel would do with a packet from `from` that came in by link `in` (0: sent by this
 * host itself, from may be NULL). */
struct link_route {
    struct ip gateway; /* family 0: the destination is on the link */
    struct ip source;  /* what the host itself would send from; family 0: not told */
    int out;           /* index of the outgoing link */
    uint8_t type;      /* RTN_UNICAST, RTN_LOCAL, RTN_BLACKHOLE, ... */
};

int route_get(struct link_table *t, const struct ip *to, const struct ip *from, int in,
              struct link_route *ret_route);
/* Would a packet to that address be taken in by the host itself? */
bool route_is_local(struct link_table *t, const struct ip *to);
