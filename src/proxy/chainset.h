/* Iptables mode: our picture of what the kernel holds, and the text for iptables-restore that leads
 * from there to the next one. Only chains whose rules change are written; a chain that is written
 * is emptied and filled again, in one transaction with all others of its table.
 *
 * The picture moves with chainset_commit() and stays with chainset_discard(). Of a portal it keeps
 * the lines in shared chains and a hash of each chain of its own. Pure memory. */
#pragma once

#include "proxy/chain_frame.h"

struct chainset;

struct chainset *chainset_new(const struct chain_options *o);
void chainset_free(struct chainset *c);

enum stage_parts {
    /* The portals' own chains only: nothing leads to new ones, and old ones stay. */
    STAGE_OWN,
    STAGE_ALL,
};

/* What is in the kernel before everything is made anew: iptables-save of filter and nat. */
struct chainset_saved {
    const char *text[RULE_TABLES];
};

/* Appends the commands for these changes (of this family, each id at most once). saved: NULL, or
 * make the frame as well, and take away chains of portals that are not in the picture then. Returns
 * how many rules are written. Commit or discard before the next call. */
size_t chainset_stage(struct chainset *c, const struct portal_change *changes, size_t n,
                      enum stage_parts parts, const struct surroundings *around,
                      const struct chainset_saved *saved, struct strbuf *out);
void chainset_commit(struct chainset *c);
void chainset_discard(struct chainset *c);

/* The kernel may have taken table filter of what was then discarded: what is shared there is
 * written again with the next changes. And of these portals all chains are. */
void chainset_doubt(struct chainset *c, const struct portal_change *changes, size_t n);

/* Would these changes take us over the limit beyond which rules have no comments, or back? Then all
 * portals are to be staged, after chainset_turn_comments(). */
bool chainset_turns_comments(const struct chainset *c, const struct portal_change *changes,
                             size_t n);
void chainset_turn_comments(struct chainset *c);

/* Of the committed picture; without jumps from built-in chains. */
struct chainset_counts {
    size_t rules[RULE_TABLES], written[RULE_TABLES], chains;
};
struct chainset_counts chainset_counts(const struct chainset *c);
