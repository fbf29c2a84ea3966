/* The rules that let pods' queries reach the node cache: packets to and from its addresses are not
 * tracked, so that the service proxy's DNAT never sees them.
 *
 * RULES_NFT (the default): an nftables table that ends with this process, however it ends; the next
 * query of a pod then takes the normal way through the proxy to the cluster DNS. RULES_IPTABLES:
 * the original's twelve rules for each address, which outlive a process that is killed, but also
 * accept the packets where a firewall's policy would drop them. Control thread. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "kernel/owned_table.h"

#define NODE_IPS_MAX 16

enum rules_kind { RULES_NFT, RULES_IPTABLES };

struct node_rules {
    enum rules_kind kind;
    const struct ip *ips; /* of one family */
    size_t n_ips;
    uint16_t port, health_port;
    struct owned_table table;
};

/* Sockets; before the process gives up the right to open them. Returns 0 or an error. */
int rules_open(struct node_rules *r, struct err *e);
/* Makes what is missing. Returns how many rules it made, or an error. */
int rules_ensure(struct node_rules *r, struct err *e);
/* Removes all of them, as often as each is there. */
void rules_remove(struct node_rules *r);
void rules_done(struct node_rules *r);
