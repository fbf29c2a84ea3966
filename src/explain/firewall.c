#include "explain/firewall.h"

#include <stdio.h>
#include <string.h>

#define ARENA_CHUNK (64 << 10)
#define NAME_KEY    160 /* bytes of a family and a name; longer names are refused by readers */

void firewall_init(struct firewall *f)
{
    *f = (struct firewall){ .base = { 0 } };
    arena_init(&f->arena, ARENA_CHUNK);
}

static void chain_done(struct firewall_chain *c)
{
    vec_done(&c->rules);
}

void firewall_done(struct firewall *f)
{
    ht_each (e, &f->chains)
        chain_done(e->value);
    ht_each (e, &f->maps)
        ht_done(&((struct firewall_map *)e->value)->elements);
    ht_done(&f->chains);
    ht_done(&f->maps);
    vec_done(&f->base);
    arena_done(&f->arena);
}

static size_t name_key(uint8_t family, const char *name, char out[NAME_KEY])
{
    int n = snprintf(out, NAME_KEY, "%u %s", family, name);
    return n < NAME_KEY ? (size_t)n : NAME_KEY - 1;
}

struct firewall_chain *firewall_chain(struct firewall *f, uint8_t family, const char *name)
{
    char key[NAME_KEY];
    size_t len = name_key(family, name, key);
    struct firewall_chain *c = ht_get(&f->chains, key, len);
    if (c)
        return c;
    c = arena_zalloc(&f->arena, sizeof *c);
    c->name = arena_strdup(&f->arena, name);
    c->family = family;
    ht_put(&f->chains, key, len, c);
    return c;
}

struct firewall_map *firewall_map(struct firewall *f, uint8_t family, const char *name)
{
    char key[NAME_KEY];
    size_t len = name_key(family, name, key);
    struct firewall_map *m = ht_get(&f->maps, key, len);
    if (m)
        return m;
    m = arena_zalloc(&f->arena, sizeof *m);
    m->name = arena_strdup(&f->arena, name);
    ht_put(&f->maps, key, len, m);
    return m;
}

/* Equal priorities: in the order in which they were told. */
void firewall_add_base(struct firewall *f, struct firewall_chain *c)
{
    size_t at = f->base.n;
    c->is_base = true;
    vec_push(&f->base, c);
    for (; at > 0 && f->base.items[at - 1]->priority > c->priority; at--)
        f->base.items[at] = f->base.items[at - 1];
    f->base.items[at] = c;
}

void firewall_clear(struct firewall *f, uint8_t family)
{
    size_t kept = 0;
    char prefix = (char)('0' + family);
    for (size_t i = 0; i < f->base.n; i++)
        if (f->base.items[i]->family != family)
            f->base.items[kept++] = f->base.items[i];
    f->base.n = kept;
    ht_each (e, &f->chains) {
        struct firewall_chain *c = e->value;
        if (c->family == family) {
            vec_clear(&c->rules);
            c->is_base = false;
        }
    }
    ht_each (e, &f->maps)
        if (e->key[0] == prefix)
            ht_done(&((struct firewall_map *)e->value)->elements);
}

size_t column_len(enum column c)
{
    static const size_t lens[] = { [COLUMN_IPV4] = 4,
                                   [COLUMN_IPV6] = 16,
                                   [COLUMN_PROTOCOL] = 1,
                                   [COLUMN_PORT] = 2,
                                   [COLUMN_NUMBER] = 4 };
    return lens[c];
}

void column_put(enum column c, uint32_t n, uint8_t *out)
{
    size_t len = column_len(c);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(n >> 8 * (len - 1 - i));
}

enum column field_column(enum field field, uint8_t family)
{
    switch (field) {
    case FIELD_SOURCE:
    case FIELD_DESTINATION:
        return family == 4 ? COLUMN_IPV4 : COLUMN_IPV6;
    case FIELD_PROTOCOL:
        return COLUMN_PROTOCOL;
    case FIELD_SOURCE_PORT:
    case FIELD_PORT:
        return COLUMN_PORT;
    default:
        return COLUMN_NUMBER;
    }
}

/* A key with the prefix length behind it, so that 10.0.0.0/8 and 10.0.0.0/16 are two. */
static size_t key_with_bits(const uint8_t *key, size_t len, unsigned bits,
                            uint8_t out[FIREWALL_KEY_MAX + 1])
{
    memcpy(out, key, len);
    out[len] = (uint8_t)bits;
    return len + 1;
}

void firewall_put(struct firewall *f, struct firewall_map *m, const uint8_t *key, size_t len,
                  unsigned bits, const struct firewall_element *e)
{
    uint8_t full[FIREWALL_KEY_MAX + 1];
    m->has_bits[bits] = true;
    len = key_with_bits(key, len, bits, full);
    ht_put(&m->elements, full, len, arena_memdup(&f->arena, e, sizeof *e));
}

void firewall_del(struct firewall *f, struct firewall_map *m, const uint8_t *key, size_t len,
                  unsigned bits)
{
    uint8_t full[FIREWALL_KEY_MAX + 1];
    (void)f;
    len = key_with_bits(key, len, bits, full);
    ht_del(&m->elements, full, len);
}

static void mask(uint8_t *address, size_t len, unsigned bits)
{
    for (size_t i = 0; i < len; i++, bits -= bits < 8 ? bits : 8)
        if (bits < 8)
            address[i] &= (uint8_t)(0xff00u >> bits);
}

const struct firewall_element *firewall_find(const struct firewall_map *m, const uint8_t *key,
                                             size_t len)
{
    uint8_t full[FIREWALL_KEY_MAX + 1];
    size_t last = m->n_key > 0 ? column_len(m->key[m->n_key - 1]) : 0;
    if (!m->is_interval) {
        len = key_with_bits(key, len, 0, full);
        return ht_get(&m->elements, full, len);
    }
    for (unsigned bits = 8 * (unsigned)last + 1; bits-- > 0;) {
        if (!m->has_bits[bits])
            continue;
        (void)key_with_bits(key, len, bits, full);
        mask(full + len - last, last, bits);
        const struct firewall_element *e = ht_get(&m->elements, full, len + 1);
        if (e)
            return e;
    }
    return NULL;
}
