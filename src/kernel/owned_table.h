/* An nftables table that lives no longer than this process: it is made with the flag `owner` on a
 * netlink socket that stays open, and the kernel removes it when that socket is closed, however the
 * process ends. Nobody else can change it; `nft flush ruleset` passes over it. Linux 5.12.
 *
 * The table belongs to the network namespace in which it was made. Control thread. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "kernel/conntrack.h"

#include <stdbool.h>
#include <stddef.h>

#define OWNED_RULES_MAX 256
#define OWNED_NAME_MAX  32

/* Packets to (or from) that address and port are not tracked; `comment` is shown by nft. */
struct notrack_rule {
    struct ip ip;
    uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
    uint16_t port;
    bool from;   /* source address and port instead of destination */
    bool output; /* what this host sends; else what comes in by a link */
};

struct owned_table {
    struct nl nl;
    char name[OWNED_NAME_MAX];
    uint8_t family; /* NFPROTO_IPV4, NFPROTO_IPV6; 0: the table is not there */
};

/* Opens the socket; the table comes later. Returns 0 or a negated errno. */
int owned_table_open(struct owned_table *t) must_check;
/* Makes the table with all rules, or nothing. All rules are of one family; at most OWNED_RULES_MAX.
 * Fails with -EPERM without CAP_NET_ADMIN or where another process has a table of that name, with
 * -EOPNOTSUPP where the kernel knows no owner. */
int owned_table_make(struct owned_table *t, const char *name, const struct notrack_rule *rules,
                     size_t n, const char *comment, struct err *e);
/* The same for one flow, whose rules are to be reported (kernel/nftrace.h): of TCP the connection
 * attempts, of UDP all packets. What is not given (family 0, port 0) may be anything; one of the
 * addresses is given. Before everything else that looks at it (-301: before raw, conntrack, NAT); a
 * table that is there is replaced. */
int owned_table_trace(struct owned_table *t, const char *name, const struct tuple *f,
                      struct err *e) must_check;
bool owned_table_is_there(const struct owned_table *t);
/* Removes the table, if it is there; the socket stays for another. */
void owned_table_remove(struct owned_table *t);
/* The table goes with the socket. */
void owned_table_done(struct owned_table *t);
