/* What an answer holds already, as a set of hashes in a query's arena: for plugins that make many
 * records and must say nothing twice. Hashes are those of base/hash.h, so nobody can choose two
 * that are alike. */
#pragma once

#include "base/arena.h"

#include <stdbool.h>

struct seen {
    uint64_t *slots; /* 0: free */
    size_t mask;
};

/* For at most n members. */
static inline struct seen seen_new(struct arena *a, size_t n)
{
    size_t capacity = 8;
    while (capacity < 2 * n)
        capacity *= 2;
    return (struct seen){ arena_zalloc(a, capacity * sizeof(uint64_t)), capacity - 1 };
}

/* False: it was there. */
static inline bool seen_add(struct seen *s, uint64_t hash)
{
    hash |= 1;
    size_t i = (hash >> 1) & s->mask;
    for (; s->slots[i]; i = (i + 1) & s->mask)
        if (s->slots[i] == hash)
            return false;
    s->slots[i] = hash;
    return true;
}
