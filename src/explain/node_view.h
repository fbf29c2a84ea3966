/* One node as packets see it: the rules that the service proxy would write there, read from its own
 * text, and the node's addresses. Made from the objects of a store; no kernel is asked. */
#pragma once

#include "base/err.h"
#include "explain/flow.h"
#include "proxy/chains.h"
#include "proxy/model.h"
#include "proxy/ruleset.h"

struct node_view_options {
    const char *node; /* its name; "": none of those that the objects speak of */
    /* IPv4 and IPv6. LOCAL_CIDR without a range: the node's own pod CIDR, where it has one. */
    struct ruleset_options rules[2];
    /* [2], IPv4 and IPv6: the proxy is in iptables mode; their `rules` are those above. NULL: it is
     * in nftables mode. */
    const struct chain_options *chains;
    const struct ip_prefix *ranges; /* of cluster IPs */
    size_t n_ranges;
};

struct node_view {
    struct model *model;
    struct firewall firewall;
    VEC(struct ip) addresses;        /* of the node; node ports are open there */
    struct ruleset_options rules[2]; /* as they were used */
};

/* The store must be synced, and outlive the view. */
int node_view_open(struct node_view *v, struct store *store, const struct node_view_options *o,
                   struct err *e) must_check;
void node_view_done(struct node_view *v);

/* The portal whose front that is, or NULL: who decides what becomes of such packets. Node ports
 * count when the address is one of the node's. *ret_front may be NULL. */
const struct portal *node_view_portal(const struct node_view *v, const struct ip *to, uint16_t port,
                                      uint8_t protocol, const struct front **ret_front);
