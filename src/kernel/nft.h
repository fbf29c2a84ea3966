/* Nftables transactions through the `nft` program, behind one small interface.
 *
 * A transaction is text in nft's own language; the kernel takes all of it or nothing. The program
 * is started without a shell, gets the text on a descriptor and speaks the C locale. Nothing is
 * read back: callers keep their own picture of what they have written.
 *
 * Fillings: nft_program() and struct nft_dry (memory only, for tests and dry runs). */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

#define NFT_TIMEOUT_MS                                                                             \
    300000 /* a transaction that takes longer is killed and counts as refused                      \
            */

struct nft_backend {
    const char *name;
    /* Applies the text; check: lets the kernel judge it and changes nothing. Blocks; any thread,
     * one at a time. Returns 0; -EMSGSIZE when the transaction is too large for the netlink socket
     * (an unprivileged namespace), -EPERM without the right to change rules, -ENOENT when there is
     * no nft program, ERR_REFUSED otherwise; e then has a sentence with what nft said. */
    int (*apply)(void *ctx, const char *text, size_t len, bool check, struct err *e);
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
