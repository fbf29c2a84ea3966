#include "base/ht.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static size_t place_of(const struct ht *t, const void *key, size_t len, uint32_t hash)
{
    size_t i = hash & (t->capacity - 1);
    for (; t->entries[i].key; i = (i + 1) & (t->capacity - 1)) {
        const struct ht_entry *e = &t->entries[i];
        if (e->hash == hash && e->key_len == len && memcmp(e->key, key, len) == 0)
            break;
    }
    return i;
}

void ht_done(struct ht *t)
{
    ht_each (e, t)
        free(e->key);
    free(t->entries);
    *t = (struct ht){ 0 };
}

void *ht_get(const struct ht *t, const void *key, size_t len)
{
    if (!t->n)
        return NULL;
    return t->entries[place_of(t, key, len, (uint32_t)hash_bytes(key, len))].value;
}

void *ht_get_str(const struct ht *t, const char *key)
{
    return ht_get(t, key, strlen(key));
}

static void ht_grow(struct ht *t)
{
    struct ht old = *t;
    t->capacity = old.capacity ? 2 * old.capacity : 16;
    t->entries = xcalloc(t->capacity, sizeof *t->entries);
    ht_each (e, &old)
        t->entries[place_of(t, e->key, e->key_len, e->hash)] = *e;
    free(old.entries);
}

void *ht_put(struct ht *t, const void *key, size_t len, void *value)
{
    if (4 * (t->n + 1) > 3 * t->capacity)
        ht_grow(t);
    uint32_t hash = (uint32_t)hash_bytes(key, len);
    struct ht_entry *e = &t->entries[place_of(t, key, len, hash)];
    void *old = e->value;
    if (!e->key) {
        char *copy = xmalloc(len + 1);
        memcpy(copy, key, len);
        copy[len] = 0;
        *e = (struct ht_entry){ .key = copy, .key_len = (uint32_t)len, .hash = hash };
        t->n++;
    }
    e->value = value;
    return old;
}

void *ht_put_str(struct ht *t, const char *key, void *value)
{
    return ht_put(t, key, strlen(key), value);
}

/* Closes the gap at i: entries behind it that may not be found any more move back. */
static void close_gap(struct ht *t, size_t i)
{
    size_t mask = t->capacity - 1;
    for (size_t j = (i + 1) & mask; t->entries[j].key; j = (j + 1) & mask) {
        size_t home = t->entries[j].hash & mask;
        if (((j - home) & mask) < ((j - i) & mask))
            continue;
        t->entries[i] = t->entries[j];
        i = j;
    }
    t->entries[i] = (struct ht_entry){ 0 };
}

void *ht_del(struct ht *t, const void *key, size_t len)
{
    if (!t->n)
        return NULL;
    size_t i = place_of(t, key, len, (uint32_t)hash_bytes(key, len));
    if (!t->entries[i].key)
        return NULL;
    void *value = t->entries[i].value;
    free(t->entries[i].key);
    close_gap(t, i);
    t->n--;
    return value;
}

void *ht_del_str(struct ht *t, const char *key)
{
    return ht_del(t, key, strlen(key));
}
