#include "kube/slice_builder.h"

#include "base/hash.h"

#include <string.h>

#define TABLE_START 64 /* a power of two */

void slice_builder_reset(struct slice_builder *b)
{
    vec_clear(&b->endpoints);
    vec_clear(&b->more);
    vec_clear(&b->hints);
    vec_clear(&b->targets);
    vec_clear(&b->pool);
    b->n_strings = 0;
    if (b->table)
        memset(b->table, 0, b->table_size * sizeof *b->table);
}

void slice_builder_done(struct slice_builder *b)
{
    vec_done(&b->endpoints);
    vec_done(&b->more);
    vec_done(&b->hints);
    vec_done(&b->targets);
    vec_done(&b->pool);
    free(b->table);
    *b = (struct slice_builder){ 0 };
}

static uint32_t *place_of(const struct slice_builder *b, const char *s)
{
    uint32_t i = (uint32_t)hash_str(s) & (b->table_size - 1);
    while (b->table[i] && strcmp(b->pool.items + b->table[i], s) != 0)
        i = (i + 1) & (b->table_size - 1);
    return &b->table[i];
}

static void grow_table(struct slice_builder *b)
{
    uint32_t *old = b->table, n = b->table_size;
    b->table_size = n ? 2 * n : TABLE_START;
    b->table = xcalloc(b->table_size, sizeof *b->table);
    for (uint32_t i = 0; i < n; i++)
        if (old[i])
            *place_of(b, b->pool.items + old[i]) = old[i];
    free(old);
}

static void pool_append(struct slice_builder *b, const char *s, size_t n)
{
    vec_reserve(&b->pool, b->pool.n + n);
    memcpy(b->pool.items + b->pool.n, s, n);
    b->pool.n += n;
}

uint32_t slice_builder_text(struct slice_builder *b, const char *s)
{
    if (!s || !*s)
        return 0;
    if (2 * (b->n_strings + 1) > b->table_size)
        grow_table(b);
    uint32_t *place = place_of(b, s);
    if (*place)
        return *place;
    if (!b->pool.n)
        pool_append(b, "", 1);
    *place = (uint32_t)b->pool.n;
    b->n_strings++;
    pool_append(b, s, strlen(s) + 1);
    return *place;
}

struct endpoint_target slice_builder_target(struct slice_builder *b, const struct target_ref *ref)
{
    return (struct endpoint_target){
        .kind = slice_builder_text(b, ref->kind),
        .namespace = slice_builder_text(b, ref->namespace),
        .name = slice_builder_text(b, ref->name),
        .uid = slice_builder_text(b, ref->uid),
        .api_version = slice_builder_text(b, ref->api_version),
        .field_path = slice_builder_text(b, ref->field_path),
        .version = slice_builder_text(b, ref->version),
    };
}

void slice_builder_finish(const struct slice_builder *b, struct slice *s)
{
    s->endpoints = b->endpoints.items;
    s->n_endpoints = (uint32_t)b->endpoints.n;
    s->more = b->more.items;
    s->n_more = (uint32_t)b->more.n;
    s->hints = b->hints.items;
    s->n_hints = (uint32_t)b->hints.n;
    s->targets = b->targets.items;
    s->n_targets = (uint32_t)b->targets.n;
    s->pool = b->pool.n ? b->pool.items : "";
    s->pool_len = b->pool.n ? (uint32_t)b->pool.n : 1;
}
