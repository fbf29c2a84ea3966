/* What iptables mode has around the Services, as kube-proxy makes it: chains with fixed rules, the
 * jumps from the built-in chains, and a canary, an empty chain in each table that goes when
 * somebody flushes the tables. Pure text; `saved` is what iptables-save says of a table. */
#pragma once

#include "kernel/nft_watch.h"
#include "proxy/chains.h"

#define FRAME_CANARY    "KUBE-PROXY-CANARY"
#define FRAME_MARK      CHAIN_MARK_MASQ
#define FRAME_POST      "KUBE-POSTROUTING"
#define FRAME_TABLES    3 /* with mangle, which has a canary only */
#define FRAME_NAMES_MAX 8 /* fixed chains of a table */

extern const char *const frame_tables[FRAME_TABLES]; /* those of enum rule_table first */

struct chain_names {
    VEC(const char *) names;
};

/* The fixed chains of a table that are to be made empty first, shared ones not among them. */
void frame_chains(enum rule_table t, const char *saved, struct chain_names *out);
/* Their rules, and the jumps that `saved` has not. Returns how many rules, without jumps. */
size_t frame_rules(enum rule_table t, const struct chain_options *o, const char *saved,
                   struct strbuf *out);
/* The rule of FRAME_MARK, to which the portals' chains lead. */
void frame_mark(const struct chain_options *o, struct strbuf *out);
/* The last rules of nat KUBE-SERVICES: to the node ports. */
void frame_node_ports(const struct chain_options *o, const struct surroundings *around,
                      struct strbuf *out);

/* Calls fn with each chain of a portal in the table nat, whoever made it. */
void frame_each_own(const char *saved, void (*fn)(void *ctx, const char *name, size_t len),
                    void *ctx);

/* Built-in chains that have jumps of ours: frame_hook(0) and on, until NULL. */
struct frame_hook {
    enum rule_table table;
    const char *chain;
};
const struct frame_hook *frame_hook(unsigned i);
/* What becomes of it when somebody deletes from that chain of nftables, as iptables has them there;
 * chain NULL: the table, or something else in it. */
enum nft_harm frame_judge(const char *table, const char *chain);
/* Does the list of that chain's rules have all of our jumps? */
bool frame_hook_is_whole(const struct frame_hook *h, const char *listed);

/* The rules in our chains but KUBE-FIREWALL, some of whose may be a kubelet's. */
size_t frame_count_rules(const char *saved);

/* Commands that take all of it out of a table, Services too. with_firewall: KUBE-FIREWALL as well,
 * which a kubelet may need. Nothing when there is nothing. */
void frame_remove(const char *table, const char *saved, bool with_firewall, struct strbuf *out);
