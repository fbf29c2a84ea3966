/* Brings one family's changes into the kernel: renders, applies, finds who is to blame for a
 * refusal.
 *
 * The first run, and every run after the table was lost or doubted, reads what the kernel has. When
 * that is a table of ours (proxy/found.h), the difference is written; else it is replaced by a
 * complete one in a single transaction, so that there is no moment without rules; clients that are
 * kept at an endpoint are carried over. Later runs add and delete elements. When the kernel refuses
 * a transaction, halves of it are put to the test (nft --check) until the culprits are known; all
 * others are applied. Transactions too large for the netlink socket (in a user namespace its limit
 * is about 200 kB of text) are halved as well; only then is a replacement not one step.
 *
 * Blocks for as long as nft takes; any thread, one at a time. Reads the model, which must not be
 * refreshed meanwhile. */
#pragma once

#include "kernel/nft.h"
#include "proxy/applied.h"
#include "proxy/ruleset.h"

#define APPLIER_PART_ELEMENTS 40000 /* of one transaction of a table that is not there yet */
#define APPLIER_PIECE_BYTES   65536 /* of one portal's text when it is too large in one */

struct applier {
    const struct nft_backend *backend;
    struct ruleset_options options;
    const struct model *model;
    const struct surroundings *around; /* not changed while it runs */
    struct ruleset *rules;             /* NULL before the first success */
    bool full_needed;
};

void applier_init(struct applier *a, const struct nft_backend *backend, const struct model *model,
                  const struct surroundings *around, const struct ruleset_options *o);
void applier_done(struct applier *a);

/* changes: of any family; only ours are taken. */
void applier_run(struct applier *a, const struct portal_change *changes, size_t n,
                 struct applied *ret);
/* Is our table still as we made it? If not, the next run makes it anew. */
bool applier_probe(struct applier *a);
