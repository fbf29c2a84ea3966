/* The constant ruleset: from virtual addresses to nft text.
 *
 * One table a family, `ip signpost` and `ip6 signpost`. Its chains and rules do not grow with the
 * number of Services; only elements do:
 *
 *     set cluster-ips    address                                every cluster IP
 *     set hairpin        endpoint . endpoint                    who can meet itself on this node
 *     map services       address . protocol . port : goto mod<N>-<protocol>
 *     map endpoints-tcp  slot . address . port : endpoint address . port   (-udp, -sctp)
 *     map no-endpoints   address . protocol . port : goto reject-chain
 *     chain mod<N>-tcp   draws a slot below N and reads it from `endpoints-tcp`
 *
 * A mod chain is made when the first Service with N endpoints comes, and stays until the table is
 * made anew (kernels before 6.2 cannot delete one together with its last reference). The text holds
 * numbers and addresses only, never a name from an object.
 *
 * Two tables and not one `inet` table: an inet table would need every map and rule twice anyway, a
 * host without one family would lose both, and each family's transaction stays small.
 *
 * A struct ruleset is our picture of what the kernel holds. ruleset_stage() writes the commands
 * from that picture to the next one; the picture moves with ruleset_commit(), and stays with
 * ruleset_discard(). Pure memory: nothing here talks to the kernel. */
#pragma once

#include "base/str.h"
#include "proxy/vip.h"

#define RULESET_TABLE "signpost"

struct ruleset;

struct ruleset_options {
    uint8_t family;                /* 4 or 6 */
    struct ip_prefix cluster_cidr; /* ip.family 0: unknown, then nobody counts as from outside */
    bool masquerade_all;
};

struct ruleset_counts {
    size_t chains, rules, elements;
};

struct ruleset *ruleset_new(const struct ruleset_options *o);
void ruleset_free(struct ruleset *r);

/* Text that makes the table anew, with nothing but the fixed part. */
void ruleset_skeleton(const struct ruleset *r, struct strbuf *out);
/* Appends the commands for these changes (keys of this family, each at most once; others are passed
 * over). Returns how many elements they add and delete. Commit or discard before the next call. */
size_t ruleset_stage(struct ruleset *r, const struct vip_change *changes, size_t n,
                     struct strbuf *out);
void ruleset_commit(struct ruleset *r);
void ruleset_discard(struct ruleset *r);

/* Of the committed picture. */
struct ruleset_counts ruleset_counts(const struct ruleset *r);

/* Text that fails when the table is gone and changes nothing when it is there. */
void ruleset_probe(const struct ruleset *r, struct strbuf *out);
/* Text that removes the table of a family, whether it is there or not. */
void ruleset_remove(uint8_t family, struct strbuf *out);
