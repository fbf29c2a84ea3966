/* The iptables programs, behind one small interface: restore a text, save a table, list a chain.
 *
 * There are two kinds of them, whose rules lie in different places of the kernel and do not see
 * each other: those on nftables, and the legacy ones. Whoever adds rules must use the kind that the
 * host uses; iptables_find() looks where its rules are. The programs are started without a shell
 * and speak the C locale. Version 1.8 or later.
 *
 * Fillings: iptables_programs() and struct iptables_dry (memory only, for tests and dry runs). */
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPTABLES_KINDS      3
#define IPTABLES_TIMEOUT_MS 300000 /* of one program; then it is killed and counts as refused */
#define IPTABLES_LOCK_S     "5"    /* to wait for others that hold the lock of the legacy kind */

enum iptables_kind {
    IPTABLES_NFT,
    IPTABLES_LEGACY,
    IPTABLES_PLAIN, /* whatever `iptables` is */
};

/* family: 4 or 6. All block; any thread, one at a time. They return 0 or a code with a sentence in
 * e: -ENOENT without the programs, -EPERM without the right to change rules, -EOPNOTSUPP where
 * the kernel has no such table, ERR_REFUSED. */
struct iptables_backend {
    const char *name; /* "nft", "legacy", "iptables" */
    bool is_told;     /* its rules may be nftables', of whose changes the kernel tells */
    /* `iptables-restore --noflush --counters`: each table of the text is one transaction.
     * -EMSGSIZE: too long for the netlink socket (an unprivileged namespace). */
    int (*restore)(void *ctx, uint8_t family, const char *text, size_t len, struct err *e);
    /* `iptables-save -t TABLE`, appended. */
    int (*save)(void *ctx, uint8_t family, const char *table, struct strbuf *out, struct err *e);
    /* `iptables -t TABLE -S CHAIN`, appended; ERR_NOT_FOUND: there is no such chain. */
    int (*list)(void *ctx, uint8_t family, const char *table, const char *chain, struct strbuf *out,
                struct err *e);
    void *ctx;
};

/* The kind whose rules this host has, with the reason in *ret_why (static): chains that a kubelet
 * leaves as a hint, else the larger number of rules, else nftables. */
enum iptables_kind iptables_find(const char **ret_why);
const struct iptables_backend *iptables_programs(enum iptables_kind kind);
/* Are there programs of that kind? */
bool iptables_has(enum iptables_kind kind);
/* Can rules of that family be written at all: 0, or a code with the reason when the program or the
 * kernel's table is missing. What may pass, such as a lock that others hold, is no reason. */
int iptables_knows(const struct iptables_backend *b, uint8_t family, struct err *e);
/* May there be rules of that kind? Without programs, or without any legacy table: no. */
bool iptables_may_have_rules(enum iptables_kind kind);

/* A filling that only remembers. */
struct iptables_dry {
    struct iptables_backend backend; /* set by iptables_dry_init() */
    struct strbuf last;              /* the last text that was taken */
    struct strbuf taken;             /* all of them since this was last emptied */
    struct strbuf saved[2][2];       /* what save gives: [IPv4, IPv6][filter, nat] */
    const char *poison;              /* texts that contain it are refused; NULL: none */
    size_t max;                      /* longer texts give -EMSGSIZE; 0: no limit */
    const char *listed;              /* what list gives */
    bool lost;                       /* no chain is there when asked for */
    bool without[2];                 /* [IPv4, IPv6]: there is no program */
    unsigned n_restored, n_refused;
};

void iptables_dry_init(struct iptables_dry *d);
void iptables_dry_done(struct iptables_dry *d);
