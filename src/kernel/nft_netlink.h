/* Questions about nftables that are asked by netlink, in the network namespace of the caller; what
 * struct nft_backend says of its functions holds. */
#pragma once

#include "kernel/nft.h"

#include <libmnl/libmnl.h>

int nft_read_map(void *ctx, uint8_t family, const char *table, const char *map,
                 void (*fn)(void *fn_ctx, const struct nft_item *i), void *fn_ctx);
size_t nft_delete_keys(void *ctx, uint8_t family, const char *table, const char *map,
                       const struct nft_key *keys, size_t n);
int nft_add_keep_rule(void *ctx, const struct nft_keep_rule *r);
/* One element of a list of them, as it came. */
void nft_read_item(const struct nlattr *nest, struct nft_item *ret);
int nft_count_rules(void *ctx, uint8_t family, const char *table, size_t *ret_rules);
