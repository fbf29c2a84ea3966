#include "kube/index.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_of(const char *ns, const char *name)
{
    return (uint32_t)(hash_str(ns) * 31 + hash_str(name));
}

/* Where the key is, or the free place where it belongs. */
static size_t place_of(const struct index *x, const char *ns, const char *name, uint32_t hash)
{
    size_t i = hash & (x->capacity - 1);
    for (; x->entries[i].item; i = (i + 1) & (x->capacity - 1)) {
        if (x->entries[i].hash != hash)
            continue;
        struct index_key k = x->key(x->entries[i].item);
        if (strcmp(k.ns, ns) == 0 && strcmp(k.name, name) == 0)
            break;
    }
    return i;
}

void index_done(struct index *x)
{
    free(x->entries);
    *x = (struct index){ .key = x->key };
}

void *index_find(const struct index *x, const char *ns, const char *name)
{
    if (!x->n)
        return NULL;
    return x->entries[place_of(x, ns, name, hash_of(ns, name))].item;
}

static void grow(struct index *x)
{
    struct index old = *x;
    x->capacity = old.capacity ? 2 * old.capacity : 16;
    x->entries = xcalloc(x->capacity, sizeof *x->entries);
    index_each(e, &old)
    {
        size_t i = e->hash & (x->capacity - 1);
        while (x->entries[i].item)
            i = (i + 1) & (x->capacity - 1);
        x->entries[i] = *e;
    }
    free(old.entries);
}

void *index_put(struct index *x, void *item)
{
    if (4 * (x->n + 1) > 3 * x->capacity)
        grow(x);
    struct index_key k = x->key(item);
    uint32_t hash = hash_of(k.ns, k.name);
    struct index_entry *e = &x->entries[place_of(x, k.ns, k.name, hash)];
    void *old = e->item;
    x->n += !old;
    *e = (struct index_entry){ .item = item, .hash = hash };
    return old;
}

/* Entries behind the gap that could not be found any more move back into it. */
static void close_gap(struct index *x, size_t i)
{
    size_t mask = x->capacity - 1;
    for (size_t j = (i + 1) & mask; x->entries[j].item; j = (j + 1) & mask) {
        size_t home = x->entries[j].hash & mask;
        if (((j - home) & mask) < ((j - i) & mask))
            continue;
        x->entries[i] = x->entries[j];
        i = j;
    }
    x->entries[i] = (struct index_entry){ 0 };
}

void *index_remove(struct index *x, const char *ns, const char *name)
{
    if (!x->n)
        return NULL;
    size_t i = place_of(x, ns, name, hash_of(ns, name));
    void *item = x->entries[i].item;
    if (!item)
        return NULL;
    close_gap(x, i);
    x->n--;
    return item;
}
