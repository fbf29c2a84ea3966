/* The constant ruleset: from portals to nft text.
 *
 * One table a family, `ip signpost` and `ip6 signpost`. Its chains and rules do not grow with the
 * number of Services; only elements do (proxy/element.h lists the maps and sets). What a new
 * connection meets:
 *
 *     services     address . protocol . port : handle      node-ports    protocol . port : handle
 *     lists        handle : goto draw<N>-<protocol>        or sticky
 *     draw<N>-tcp  draws a slot below N and reads it from
 *     endpoints-tcp  slot . handle : endpoint address . port       (-udp, -sctp)
 *
 * The handle travels from rule to rule in the packet's priority, which is zero again before the
 * packet leaves the hook; its role (proxy/element.h) may send it to one of two chains before it
 * gets to a list: `external` marks for masquerading; `by-source` sends pods and this node
 * to the Cluster list and everybody else to the Local list; `sticky` sends clients that are kept to
 * the endpoint in the timed map `affinity` (client . handle : endpoint . port), which the packet
 * path itself fills.
 *
 * A draw chain is made when the first list of that size comes, a remember chain when the first
 * portal with that time-out comes; they stay until the table is made anew (kernels before 6.2
 * cannot delete one together with its last reference). draw_modulus() and the API's limits bound
 * their number. The text holds numbers and addresses only, never a name from an object.
 *
 * A struct ruleset is our picture of what the kernel holds. ruleset_stage() writes the commands
 * from that picture to the next one; the picture moves with ruleset_commit(), and stays with
 * ruleset_discard(). Pure memory: nothing here talks to the kernel. */
#pragma once

#include "proxy/element.h"

#define RULESET_TABLE        "signpost"
#define RULESET_AFFINITY_MAP "affinity"
#define RULESET_LAYOUT_SET   "layout" /* proxy/found.h */
/* Clients kept at a time in one family; beyond that new ones are spread as if without affinity. */
#define AFFINITY_CLIENTS_MAX 262144

struct ruleset;
struct found;
struct nft_elements;

/* How packets of pods are told from others. */
enum local_mode {
    LOCAL_UNKNOWN, /* they are not: nobody counts as outside, no pod is short-circuited */
    LOCAL_CIDR,
    LOCAL_BRIDGE, /* come in by this interface */
    LOCAL_PREFIX, /* by one whose name begins so */
};

struct ruleset_options {
    uint8_t family; /* 4 or 6 */
    uint8_t local_mode;
    bool masquerade_all;
    uint32_t mark; /* the bit that says: masquerade */
    struct ip_prefix local_cidr;
    char local_interface[16];
};

/* What is around the Services; both arrays are read only during the call. */
struct surroundings {
    const struct ip *node_ips; /* where node ports are open, both families */
    size_t n_node_ips;
    const struct ip_prefix *ranges; /* of cluster IPs, both families */
    size_t n_ranges;
};

struct ruleset_counts {
    size_t chains, rules, elements;
};

struct ruleset *ruleset_new(const struct ruleset_options *o);
void ruleset_free(struct ruleset *r);

/* Text that makes the table anew, with nothing but the fixed part. */
void ruleset_skeleton(const struct ruleset *r, struct strbuf *out);
/* The kernel has this already: the next staging, of all that there is to be, from nothing, writes
 * the difference. The caller's, until commit or discard. */
void ruleset_take_over(struct ruleset *r, const struct found *found);
/* Appends the commands for these changes (of this family, each id at most once; others are passed
 * over) and, unless NULL, for new surroundings. Returns how many elements they add and delete.
 * Commit or discard before the next call. out NULL: the commands are asked for apart. */
size_t ruleset_stage(struct ruleset *r, const struct portal_change *changes, size_t n,
                     const struct surroundings *around, struct strbuf *out);
/* What was staged: the commands that make new chains, and all elements. */
bool ruleset_needs_chains(const struct ruleset *r);
void ruleset_print_chains(const struct ruleset *r, struct strbuf *out);
void ruleset_put(const struct ruleset *r, struct nft_elements *out);
/* The staged chains are in the kernel, whatever becomes of the elements. */
void ruleset_commit_chains(struct ruleset *r);
void ruleset_commit(struct ruleset *r);
void ruleset_discard(struct ruleset *r);

/* Of the committed picture. */
struct ruleset_counts ruleset_counts(const struct ruleset *r);
/* All of its elements, in arbitrary order. */
void ruleset_each(const struct ruleset *r, void (*fn)(void *ctx, const struct element *e),
                  void *ctx);
/* May clients of this handle be kept at this endpoint? Asks the staged additions, so: of a picture
 * that is being made from nothing. */
bool ruleset_keeps(const struct ruleset *r, uint32_t handle, const uint8_t ip[16], uint16_t port);
/* The time-outs whose chains come with the staged changes: in IPv6 the caller adds the rule of each
 * (struct nft_keep_rule) once the text is in the kernel. */
void ruleset_new_keeps(const struct ruleset *r, void (*fn)(void *ctx, uint32_t seconds), void *ctx);
/* Is there any portal with affinity? */
bool ruleset_has_affinity(const struct ruleset *r);
/* Did the last staged changes take an endpoint away from clients that are kept? Until commit. */
bool ruleset_drops_affinity(const struct ruleset *r);

/* Text that removes the table of a family, whether it is there or not. */
void ruleset_remove(uint8_t family, struct strbuf *out);
