/* A hash table of things that know their own two-part key (namespace and name, namespace and
 * Service): keys are not copied, so an entry costs 16 bytes and no allocation. Items belong to the
 * caller and must not change their key while they are in. Iteration order is arbitrary. Not
 * thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct index_key {
    const char *ns, *name;
};

struct index_entry {
    void *item; /* NULL: free place */
    uint32_t hash;
};

struct index {
    struct index_key (*key)(const void *item);
    struct index_entry *entries;
    size_t n, capacity; /* capacity is a power of two, or 0 */
};

void index_done(struct index *x); /* frees the table, not the items */
void *index_find(const struct index *x, const char *ns, const char *name);
/* Inserts, or replaces the item with the same key, which is returned. */
void *index_put(struct index *x, void *item);
void *index_remove(struct index *x, const char *ns, const char *name); /* the item, or NULL */

/* for (struct index_entry *e = ...): every used entry; no changes meanwhile. */
#define index_each(e, x)                                                                           \
    for (struct index_entry *e = (x)->entries; e && e < (x)->entries + (x)->capacity; e++)         \
        if (e->item)
