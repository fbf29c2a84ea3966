/* The kernel's own report of which nftables rules a packet meets (`meta nftrace set 1`).
 *
 * Whoever wants reports adds such a rule for the packets in question; each chain, rule and verdict
 * that a marked packet meets then comes as one event, in order. Packet headers come with the first
 * event of each base chain, so a rewritten address shows from the next base chain on. */
#pragma once

#include "base/ip.h"
#include "kernel/nl.h"

#include <stdbool.h>

enum nft_trace_type { NFT_TRACE_POLICY = 1, NFT_TRACE_RETURN, NFT_TRACE_RULE };

struct nft_trace {
    uint32_t id;    /* the same for all events of one packet */
    uint8_t family; /* NFPROTO_*: of the table */
    enum nft_trace_type type;
    char table[64], chain[128];
    uint64_t handle;   /* of the rule; 0 when none */
    int verdict;       /* NF_ACCEPT, NF_DROP, NFT_JUMP, NFT_CONTINUE, ... */
    char jump_to[128]; /* chain of a jump or goto, else "" */
    bool has_packet;   /* the four below are set */
    struct ip from, to;
    uint16_t from_port, to_port;
    uint32_t in, out; /* link indexes; 0: none */
};

struct nft_tracer {
    struct nl nl;
};

/* Return 0 or a negated errno; need CAP_NET_ADMIN. */
int nft_tracer_open(struct nft_tracer *t) __attribute__((warn_unused_result));
void nft_tracer_done(struct nft_tracer *t);
int nft_tracer_fd(const struct nft_tracer *t);
/* Events that are there now, without waiting; -ENOBUFS: some were lost. */
int nft_tracer_events(struct nft_tracer *t, void (*fn)(void *ctx, const struct nft_trace *e),
                      void *ctx);

bool nft_trace_parse(const struct nlmsghdr *h, struct nft_trace *ret_event);
const char *nft_verdict_text(int verdict);   /* "accept", "goto", ... */
const char *nft_family_text(uint8_t family); /* "ip", "inet", ... */
