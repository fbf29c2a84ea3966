/* A kernel with one table of one family, in memory, behind struct nft_backend: what is written as
 * elements is kept as the kernel would keep it, and what a kernel refuses is refused. Of text only
 * chains and rules are understood; a text with elements sets `opaque`, and kernel_memory_fill()
 * says what they were.
 *
 * It can die: the process that talks to it is killed after so many calls. */
#pragma once

#include "base/ht.h"
#include "base/vec.h"
#include "kernel/nft.h"
#include "proxy/ruleset.h"

struct kernel_memory {
    struct nft_backend backend; /* set by kernel_memory_init() */
    uint8_t family;
    bool there, opaque;
    struct ht items;     /* "map", NUL, key -> struct nft_item, malloc'ed */
    VEC(char *) rules;   /* lines that made chains and rules, in their order */
    int calls_left;      /* until it dies; negative: it lives on */
    const char *refused; /* elements of that map are refused; NULL: none */
    unsigned n_texts, n_writes, n_checks;
};

void kernel_memory_init(struct kernel_memory *k, uint8_t family);
void kernel_memory_done(struct kernel_memory *k);
/* After a text with elements: the table has these. */
void kernel_memory_fill(struct kernel_memory *k, const struct ruleset *r);
/* Somebody else's hand. */
void kernel_memory_put(struct kernel_memory *k, const char *map, const struct nft_item *i);
bool kernel_memory_remove(struct kernel_memory *k, const char *map, const struct nft_item *i);
