/* What a kernel would hold after the nft commands of the renderer, for tests: sets of element texts
 * by map name. Adding what is there or deleting what is not fails the test, as the kernel would
 * refuse. */
#pragma once

#include "base/ht.h"

struct kernel_picture {
    struct ht elements; /* "map key" -> value text, malloc'ed; "" for sets */
    struct ht chains;   /* mod chains by name */
    size_t n_rules;     /* in them */
};

void kernel_picture_done(struct kernel_picture *k);
/* Reads "add|delete element", "add chain", "add rule"; other lines are passed over. */
void kernel_picture_apply(struct kernel_picture *k, const char *text);
/* The value of an element, or NULL. */
const char *kernel_picture_get(const struct kernel_picture *k, const char *map, const char *key);
