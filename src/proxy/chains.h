/* One portal in iptables mode: its rules as iptables-restore reads them, in the shape that
 * kube-proxy gives them. Pure.
 *
 * A portal has chains of its own in table nat (proxy/chain_name.h), and rules in chains that all
 * portals share. Source: Kubernetes, "Virtual IPs and Service Proxies", iptables proxy mode. */
#pragma once

#include "base/vec.h"
#include "proxy/chain_name.h"
#include "proxy/ruleset.h"

/* Beyond so many endpoints of a family, the rules that lead to endpoints have no comments. */
#define CHAINS_COMMENTED_ENDPOINTS 1000

#define CHAIN_MARK_MASQ "KUBE-MARK-MASQ"

enum rule_table { TABLE_FILTER, TABLE_NAT, RULE_TABLES };
extern const char *const rule_table_names[RULE_TABLES];

enum shared_chain {
    SHARED_EXTERNAL_REFUSED, /* filter KUBE-EXTERNAL-SERVICES */
    SHARED_HEALTH,           /* filter KUBE-NODEPORTS */
    SHARED_FIREWALL,         /* filter KUBE-PROXY-FIREWALL */
    SHARED_REFUSED,          /* filter KUBE-SERVICES */
    SHARED_NODE_PORTS,       /* nat KUBE-NODEPORTS */
    SHARED_SERVICES,         /* nat KUBE-SERVICES */
    SHARED_CHAINS,
};

const char *shared_chain_name(enum shared_chain c);
enum rule_table shared_chain_table(enum shared_chain c);

/* Of one family. */
struct chain_options {
    struct ruleset_options rules;
    bool node_ports_everywhere;          /* at every address of this node, not at those around us */
    bool localhost_node_ports;           /* also at 127.0.0.0/8; IPv4 only */
    bool drop_invalid;                   /* what connection tracking cannot place */
    bool count_invalid, count_localhost; /* the kernel has the counters below */
};

#define NFACCT_INVALID   "ct_state_invalid_dropped_pkts"
#define NFACCT_LOCALHOST "localhost_nps_accepted_pkts"

struct own_chain {
    char name[CHAIN_NAME_SIZE];
    size_t at, len; /* of its rules in `text`, whole lines */
};

struct chains {
    struct strbuf shared[SHARED_CHAINS]; /* whole lines */
    struct strbuf text;
    VEC(struct own_chain) own;
};

/* *ret must be zero. comments: see CHAINS_COMMENTED_ENDPOINTS. */
void chains_render(const struct portal *p, const struct chain_options *o, bool comments,
                   struct chains *ret);
void chains_done(struct chains *c);

size_t lines_count(const char *text);
