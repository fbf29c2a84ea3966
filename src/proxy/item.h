/* Elements as the kernel has them, and back. */
#pragma once

#include "kernel/nft.h"
#include "proxy/element.h"

#define ELEMENT_ITEMS_MAX 2

/* Returns how many items the element takes: two for a range of one column, which has a mark where
 * it ends, else one. */
unsigned element_items(const struct element *e, uint8_t family,
                       struct nft_item ret[ELEMENT_ITEMS_MAX]);
/* False: no element of ours looks like that. In SET_SERVICE_RANGES, whose ranges are two items,
 * bits is unknown and slot says whether a range ends here. */
bool element_of_item(enum map_id map, uint8_t family, const struct nft_item *i,
                     struct element *ret);
/* Gives a range that begins at e->ip its length; next: where the next one ends or begins, NULL:
 * nowhere. False: that is no prefix. */
bool element_close_range(struct element *e, uint8_t family, const uint8_t next[16]);
