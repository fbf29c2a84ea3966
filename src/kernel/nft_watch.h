/* Who else changes nftables? The kernel tells of every transaction, and numbers them (the
 * generation); one that took something out of our table and was not ours is drift.
 *
 * Bulk additions are filtered out in the kernel, so that our own large transactions do not flood
 * the socket. */
#pragma once

#include "kernel/nl.h"

#include <stdbool.h>

struct nft_watch {
    struct nl nl;
    bool pending[2]; /* IPv4, IPv6: a deletion whose transaction is not complete yet */
};

/* Both return 0 or a negated errno, and need CAP_NET_ADMIN. */
int nft_watch_open(struct nft_watch *w) __attribute__((warn_unused_result));
void nft_watch_done(struct nft_watch *w);
int nft_watch_fd(const struct nft_watch *w);

/* Reads what is there, without waiting. ret_lost[IPv4, IPv6] becomes true when a transaction behind
 * the generation `own` has deleted something in the table. Returns 0, or a negated errno (-ENOBUFS:
 * some were not told). */
int nft_watch_read(struct nft_watch *w, const char *table, uint32_t own, bool ret_lost[2]);

/* The generation now; 0 when it cannot be asked. */
uint32_t nft_generation(void);
