/* Changes of nf_tables by netlink: messages between two marks, of which the kernel takes all or
 * none (linux/netfilter/nfnetlink.h). Private to kernel/. */
#pragma once

#include "kernel/nl.h"

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>

#define NFT_BATCH_MARKS 2 /* messages that a batch has besides those that are added */

struct nft_batch {
    struct nl *nl;
    uint8_t family; /* NFPROTO_IPV4, NFPROTO_IPV6 */
    struct nlmsghdr *first, *last;
    uint32_t refused; /* the number of the message that the kernel refused */
};

/* A request for nf_tables; message: enum nf_tables_msg_types. */
struct nlmsghdr *nft_request(struct nl *nl, void *buf, uint16_t message, uint16_t flags,
                             uint8_t family);

/* Of a message of nf_tables: its attribute of that type, and the string in it; NULL without one. */
const struct nlattr *nft_find(const struct nlmsghdr *h, uint16_t type);
const char *nft_find_name(const struct nlmsghdr *h, uint16_t type);

/* buf: the caller's, with room for all messages and NFT_BATCH_MARKS; stays until it is sent. */
void nft_batch_begin(struct nft_batch *b, struct nl *nl, uint8_t family, void *buf);
/* The message that is returned may be added to until the next one is begun. */
struct nlmsghdr *nft_batch_add(struct nft_batch *b, uint16_t message, uint16_t flags);
/* Sends the messages, one at least, and waits for the outcome: 0 or the kernel's negated errno for
 * the first that it refused. What the socket still holds of earlier batches is passed over. */
int nft_batch_send(struct nft_batch *b);
/* The same; with check the kernel judges the messages and takes none. */
int nft_batch_try(struct nft_batch *b, bool check);

/* Expressions of a rule, within NFTA_RULE_EXPRESSIONS. Registers: enum nft_registers. */
struct nft_expression {
    struct nlattr *element, *data;
};

struct nft_expression nft_expression_begin(struct nlmsghdr *h, const char *name);
void nft_expression_end(struct nlmsghdr *h, const struct nft_expression *x);
void nft_put_u32(struct nlmsghdr *h, uint16_t type, uint32_t value);
void nft_put_data(struct nlmsghdr *h, uint16_t type, const void *bytes, size_t len);
void nft_put_meta(struct nlmsghdr *h, uint32_t to, enum nft_meta_keys key);
void nft_put_payload(struct nlmsghdr *h, uint32_t to, enum nft_payload_bases base, uint32_t offset,
                     uint32_t len);
