/* Brings one family's changes into the kernel in iptables mode: renders, runs iptables-restore,
 * finds who is to blame for a refusal.
 *
 * The first run, a run after a failure or after somebody flushed the tables, and one every hour
 * make everything anew: the frame, all chains, and away with what is left of others. It reads what
 * there is before (iptables-save), so that jumps that are there stay where they are. Other runs
 * write the chains that changed.
 *
 * Many chains are written in parts, to which nothing leads before the last restore, that of the
 * shared chains; a portal's chains are always in one.
 *
 * When a restore is refused, halves of it are tried until the culprits are known. Since
 * iptables-restore cannot ask the kernel without doing it, what is tried before a whole run are the
 * portals' own chains, to which nothing leads yet. A text that is too long for the netlink socket
 * (only in an unprivileged user namespace) goes in pieces.
 *
 * Blocks; any thread, one at a time. Reads the model, which must not be refreshed meanwhile. */
#pragma once

#include "kernel/iptables.h"
#include "proxy/applied.h"
#include "proxy/chainset.h"

#define RESTORER_PIECE_BYTES 49152
/* Of one restore: iptables takes a time that grows with the square of their number. */
#define RESTORER_PART_CHAINS 1000
#define RESTORER_LOSS        "somebody else has taken %s rules of ours out of iptables; they are made anew"
#define RESTORER_FULL_NS     3600000000000LL /* at the latest, everything is made anew */

struct restorer {
    const struct iptables_backend *backend;
    struct chain_options options;
    const struct model *model;
    const struct surroundings *around; /* not changed while it runs */
    struct chainset *chains;           /* NULL before the first success */
    bool full_needed;
    int64_t last_full; /* clock_ns() */
    /* Counted since the start. */
    unsigned full_failures, partial_failures;
};

void restorer_init(struct restorer *r, const struct iptables_backend *backend,
                   const struct model *model, const struct surroundings *around,
                   const struct chain_options *o);
void restorer_done(struct restorer *r);

/* changes: of any family; only ours are taken. ret->elements are rules. */
void restorer_run(struct restorer *r, const struct portal_change *changes, size_t n,
                  struct applied *ret);
/* Are canaries and jumps as we made them, and is the last full run recent? If not, the next run
 * makes everything anew. */
bool restorer_probe(struct restorer *r);
/* The same, and has each table as many rules of ours as we made? Reads all rules. */
bool restorer_recount(struct restorer *r);

/* Takes all chains and jumps of this proxy, or the original, out of both families. A kubelet's
 * KUBE-FIREWALL stays where there is a kubelet. Returns 0, also when there was nothing, or the
 * first failure. */
int restorer_remove(const struct iptables_backend *backend, struct err *e);
/* Is there anything of it? */
bool restorer_finds(const struct iptables_backend *backend);
