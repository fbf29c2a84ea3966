/* Additions and deletions of elements in the maps and sets of one table, as the netlink messages
 * that the kernel wants: built anywhere, handed over by nft_backend.write, which takes all or none.
 *
 * The memory grows with what is put in: about 60 bytes an element of IPv4. */
#pragma once

#include "kernel/nft.h"

struct nlmsghdr;

struct nft_elements {
    uint8_t family; /* 4 or 6 */
    const char *table;
    uint8_t *buf; /* messages behind the mark at the beginning */
    size_t len, capacity;
    size_t message, list; /* where the open ones begin; 0: none is open */
    const char *map;      /* of the open message; and whether it adds */
    bool add;
    uint32_t messages;
    size_t n; /* elements */
};

/* table, and the names of maps: the caller's, for as long as it is used. */
void nft_elements_init(struct nft_elements *t, uint8_t family, const char *table);
void nft_elements_done(struct nft_elements *t);

void nft_elements_put(struct nft_elements *t, const char *map, bool add, const struct nft_item *i);
/* Deletes all that the map has. */
void nft_elements_clear(struct nft_elements *t, const char *map);

/* What was put in, in its order; i NULL: the map is cleared. For backends that only remember. */
void nft_elements_each(const struct nft_elements *t,
                       void (*fn)(void *ctx, const char *map, bool add, const struct nft_item *i),
                       void *ctx);

/* The kernel as nft_backend.write. */
int nft_write_elements(void *ctx, struct nft_elements *t, bool check, struct err *e);
