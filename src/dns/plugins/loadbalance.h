/* The weights of `loadbalance weighted`: which address of a name is to be the first how often. A
 * table is never changed: a new file makes a new one. Private to the plugin. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stddef.h>
#include <stdint.h>

#define WEIGHTS_FILE_MAX (4 << 20) /* bytes of a file; a larger one is refused */
#define WEIGHT_DEFAULT   1         /* of an address that is not listed */
#define WEIGHT_MAX       255

struct weights;
/* The addresses of one name. */
struct weight_list;

/* Lines: a name; below it "ADDRESS WEIGHT" for its addresses; empty ones and those that start with
 * '#' are passed over. path: for errors. */
int weights_parse(const char *text, size_t len, const char *path, struct weights **ret,
                  struct err *e);
void weights_free(void *weights); /* NULL is fine */

/* owner: lower-case wire. NULL: no weights for that name. */
const struct weight_list *weights_find(const struct weights *w, const uint8_t *owner, size_t len);
/* 1 to WEIGHT_MAX. list may be NULL. */
uint32_t weight_of(const struct weight_list *list, const struct ip *ip);
