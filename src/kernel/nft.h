/* Nftables transactions, behind one small interface: through the `nft` program what is text, by
 * netlink what is elements only.
 *
 * A transaction of text is in nft's own language; the kernel takes all of it or nothing. The
 * program is started without a shell, gets the text on a descriptor and speaks the C locale.
 * Elements alone go to the kernel as they are: a tenth of the time and memory. Callers keep their
 * own picture of what they have written; what is read back, by netlink, is what they cannot know:
 * what an earlier process left, elements that the packet path adds, and whether somebody else has
 * been there.
 *
 * Fillings: nft_program() and struct nft_dry (memory only, for tests and dry runs). */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NFT_TIMEOUT_MS                                                                             \
    300000 /* a transaction that takes longer is killed and counts as refused                      \
            */

#define NFT_KEY_MAX 64 /* bytes of a key or value, as the kernel has it */

#define NFT_CHAIN_MAX 32 /* bytes of a chain's name in a verdict, with the NUL */

enum nft_item_verdict { NFT_ITEM_NO_VERDICT, NFT_ITEM_DROP, NFT_ITEM_JUMP, NFT_ITEM_GOTO };

/* One element of a map or set as the kernel has it: columns padded to four bytes. A map's value is
 * data or a verdict. */
struct nft_item {
    uint8_t key[NFT_KEY_MAX], data[NFT_KEY_MAX];
    uint8_t key_end[NFT_KEY_MAX]; /* the last key of a range of several columns */
    uint32_t key_len, data_len, key_end_len;
    bool interval_end; /* of one column: here a range has ended */
    uint8_t verdict;   /* enum nft_item_verdict */
    char chain[NFT_CHAIN_MAX];
    uint64_t timeout_ms, expires_ms; /* 0: none */
};

struct nft_key {
    uint8_t bytes[NFT_KEY_MAX];
    uint32_t len;
};

/* What the packet path is to remember: nft 1.0.6 cannot write a rule that updates a map with an
 * IPv6 address in the key and more behind it ("Assertion `dreg < ctx->reg_low' failed"). */
struct nft_keep_rule {
    const char *table, *chain; /* of family ip6 */
    const char *set;           /* priority . daddr . dport must be in it; then */
    const char *map;           /* saddr . priority : daddr . dport is updated */
    uint32_t seconds;          /* time-out of the element */
};

struct nft_elements; /* kernel/nft_elements.h */

struct nft_backend {
    const char *name;
    /* Applies the text; check: lets the kernel judge it and changes nothing. Blocks; any thread,
     * one at a time. Returns 0; -EMSGSIZE when the transaction is too large for the netlink socket
     * (an unprivileged namespace), -EPERM without the right to change rules, -ENOENT when there is
     * no nft program, ERR_REFUSED otherwise; e then has a sentence with what nft said. */
    int (*apply)(void *ctx, const char *text, size_t len, bool check, struct err *e);
    /* The rest may be NULL (nothing is known then), and is quick. family: 4 or 6. Returns 0 or a
     * negated errno; -ENOENT: no such table or map. */
    int (*read_map)(void *ctx, uint8_t family, const char *table, const char *map,
                    void (*fn)(void *fn_ctx, const struct nft_item *i), void *fn_ctx);
    /* Deletes those that are there; returns how many. */
    size_t (*delete_keys)(void *ctx, uint8_t family, const char *table, const char *map,
                          const struct nft_key *keys, size_t n);
    int (*add_keep_rule)(void *ctx, const struct nft_keep_rule *r);
    int (*count_rules)(void *ctx, uint8_t family, const char *table, size_t *ret_rules);
    /* Adds and deletes elements in one transaction; check and outcome as those of apply. */
    int (*write)(void *ctx, struct nft_elements *t, bool check, struct err *e);
    /* Tells the names of the table's chains and a number that is the same for the same chains,
     * hooks and rules in the same order, in any process. -ENOENT: no such table. */
    int (*survey)(void *ctx, uint8_t family, const char *table,
                  void (*chain)(void *fn_ctx, const char *name), void *fn_ctx, uint64_t *ret_hash);
    void *ctx;
};

/* The program `nft`, from PATH or the usual system folders. */
const struct nft_backend *nft_program(void);

/* A filling that only remembers. */
struct nft_dry {
    struct nft_backend backend; /* set by nft_dry_init() */
    struct strbuf last;         /* the last text that was applied */
    const char *poison;         /* texts that contain it are refused; NULL: none */
    size_t max;                 /* longer texts give -EMSGSIZE; 0: no limit */
    bool lost;                  /* refuses everything that does not make the table anew */
    unsigned n_applied, n_checked;
};

void nft_dry_init(struct nft_dry *d);
void nft_dry_done(struct nft_dry *d);
