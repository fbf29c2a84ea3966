/* Who else changes nftables? The kernel tells of every transaction, and numbers them (the
 * generation); one that took something of ours out and was not ours is drift. What is ours, the
 * caller knows: a table, or chains in tables that we share with others.
 *
 * Bulk additions are filtered out in the kernel, so that our own large transactions do not flood
 * the socket. */
#pragma once

#include "kernel/nl.h"

#include <stdint.h>

/* What a deletion does to us. */
enum nft_harm {
    NFT_UNHARMED,
    NFT_DOUBTFUL, /* it may have been ours: look */
    NFT_LOST,
};

struct nft_watch {
    struct nl nl;
    enum nft_harm pending[2]; /* IPv4, IPv6: by a transaction that is not complete yet */
};

/* Both return 0 or a negated errno, and need CAP_NET_ADMIN. */
int nft_watch_open(struct nft_watch *w) __attribute__((warn_unused_result));
void nft_watch_done(struct nft_watch *w);
int nft_watch_fd(const struct nft_watch *w);

/* Hears nothing until it is resumed: as long as anybody listens, the kernel writes a message for
 * each element of a transaction, which costs more than the element itself. */
void nft_watch_pause(struct nft_watch *w);
int nft_watch_resume(struct nft_watch *w) __attribute__((warn_unused_result));

/* Reads what is there, without waiting. ret[IPv4, IPv6] is raised to the worst that transactions
 * behind the generation `own` have done. judge: says it of each deletion; chain NULL: of the table
 * or of something other than a chain and its rules. Returns 0, or a negated errno (-ENOBUFS: some
 * were not told). */
int nft_watch_read(struct nft_watch *w,
                   enum nft_harm (*judge)(const char *table, const char *chain), uint32_t own,
                   enum nft_harm ret[2]);

/* The generation now; 0 when it cannot be asked. */
uint32_t nft_generation(void);
