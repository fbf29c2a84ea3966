/* A hash table from byte strings to pointers, for control paths (stores, registries, indexes).
 *
 * Keys are copied; values belong to the caller. Open addressing with linear probing; deletion moves
 * later entries back, so there are no tombstones. Iteration order is arbitrary; the table must not
 * be changed while iterating, except by ht_del() of nothing but the current key being collected
 * first. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ht_entry {
    char *key; /* NUL-terminated copy; NULL: free place */
    uint32_t key_len, hash;
    void *value;
};

struct ht {
    struct ht_entry *entries;
    size_t n, capacity; /* capacity is a power of two, or 0 */
};

void ht_done(struct ht *t); /* frees the keys, not the values */
void *ht_get(const struct ht *t, const void *key, size_t len);
void *ht_get_str(const struct ht *t, const char *key);
/* Inserts or replaces; returns the value that was there before, or NULL. */
void *ht_put(struct ht *t, const void *key, size_t len, void *value);
void *ht_put_str(struct ht *t, const char *key, void *value);
/* Returns the removed value, or NULL. */
void *ht_del(struct ht *t, const void *key, size_t len);
void *ht_del_str(struct ht *t, const char *key);

/* for (struct ht_entry *e = ...): every used entry. */
#define ht_each(e, t)                                                                              \
    for (struct ht_entry *e = (t)->entries; e && e < (t)->entries + (t)->capacity; e++)            \
        if (e->key)
