#include "kernel_memory.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "kernel/nft_elements.h"
#include "proxy/item.h"

#include <errno.h>
#include <string.h>

static bool is_dead(struct kernel_memory *k)
{
    if (k->calls_left > 0)
        k->calls_left--;
    return k->calls_left == 0;
}

/* ---- elements */

struct key {
    char bytes[32 + 2 * NFT_KEY_MAX + 1];
    size_t len;
};

static struct key key_of(const char *map, const struct nft_item *i)
{
    struct key k = { .len = strlen(map) + 1 };
    memcpy(k.bytes, map, k.len);
    memcpy(k.bytes + k.len, i->key, i->key_len);
    k.len += i->key_len;
    memcpy(k.bytes + k.len, i->key_end, i->key_end_len);
    k.len += i->key_end_len;
    k.bytes[k.len++] = (char)i->interval_end;
    return k;
}

void kernel_memory_put(struct kernel_memory *k, const char *map, const struct nft_item *i)
{
    struct key key = key_of(map, i);
    struct nft_item *copy = xmalloc(sizeof *copy);
    *copy = *i;
    free(ht_put(&k->items, key.bytes, key.len, copy));
}

bool kernel_memory_remove(struct kernel_memory *k, const char *map, const struct nft_item *i)
{
    struct key key = key_of(map, i);
    void *old = ht_del(&k->items, key.bytes, key.len);
    free(old);
    return old;
}

static void clear(struct kernel_memory *k, const char *map)
{
    VEC(struct nft_item) all = { 0 };
    ht_each (e, &k->items)
        if (strcmp(e->key, map) == 0)
            vec_push(&all, *(struct nft_item *)e->value);
    vec_each (i, &all)
        (void)kernel_memory_remove(k, map, i);
    vec_done(&all);
}

static bool same_value(const struct nft_item *a, const struct nft_item *b)
{
    return a->data_len == b->data_len && memcmp(a->data, b->data, a->data_len) == 0 &&
           a->verdict == b->verdict && strcmp(a->chain, b->chain) == 0;
}

static bool has_chain(const struct kernel_memory *k, const char *name)
{
    struct strbuf want = { 0 };
    bool found = false;
    strbuf_printf(&want, "chain %s %s %s", family_word(k->family), RULESET_TABLE, name);
    vec_each (line, &k->rules) {
        const char *at = strstr(*line, want.p);
        found |= at && at[want.len] == '\0';
    }
    strbuf_done(&want);
    return found || strcmp(name, "sticky") == 0 || strcmp(name, "reject-chain") == 0;
}

struct writing {
    struct kernel_memory *k;
    struct ht copy; /* of its elements, to be put back */
    int ret;
};

static void write_one(void *ctx, const char *map, bool add, const struct nft_item *i)
{
    struct writing *w = ctx;
    struct kernel_memory *k = w->k;
    if (w->ret != 0)
        return;
    if (!i) {
        clear(k, map);
        return;
    }
    struct key key = key_of(map, i);
    const struct nft_item *there = ht_get(&k->items, key.bytes, key.len);
    if (k->refused && strcmp(map, k->refused) == 0)
        w->ret = -EINVAL;
    else if (add ? there && !same_value(there, i) : !there)
        w->ret = add ? -EEXIST : -ENOENT;
    else if (add && i->chain[0] && !has_chain(k, i->chain))
        w->ret = -ENOENT;
    else if (add)
        kernel_memory_put(k, map, i);
    else
        (void)kernel_memory_remove(k, map, i);
}

static struct ht copy_items(const struct ht *from)
{
    struct ht to = { 0 };
    ht_each (e, from) {
        struct nft_item *i = xmalloc(sizeof *i);
        memcpy(i, e->value, sizeof *i);
        ht_put(&to, e->key, e->key_len, i);
    }
    return to;
}

static void free_items(struct ht *t)
{
    ht_each (e, t)
        free(e->value);
    ht_done(t);
}

static int memory_write(void *ctx, struct nft_elements *t, bool check, struct err *e)
{
    struct kernel_memory *k = ctx;
    *(check ? &k->n_checks : &k->n_writes) += 1;
    if (is_dead(k))
        return err_set(e, -EPERM, "dead");
    if (!k->there)
        return err_set(e, ERR_REFUSED, "No such file or directory");
    struct writing w = { .k = k, .copy = copy_items(&k->items) };
    nft_elements_each(t, write_one, &w);
    if (w.ret != 0 || check) { /* all or nothing */
        free_items(&k->items);
        k->items = w.copy;
    } else {
        free_items(&w.copy);
    }
    return w.ret == 0 ? 0 : err_set(e, ERR_REFUSED, "%s", err_str(w.ret));
}

static int memory_read_map(void *ctx, uint8_t family, const char *table, const char *map,
                           void (*fn)(void *fn_ctx, const struct nft_item *i), void *fn_ctx)
{
    struct kernel_memory *k = ctx;
    (void)family;
    (void)table;
    if (is_dead(k) || !k->there)
        return -ENOENT;
    ht_each (e, &k->items)
        if (strcmp(e->key, map) == 0)
            fn(fn_ctx, e->value);
    return 0;
}

static size_t memory_delete_keys(void *ctx, uint8_t family, const char *table, const char *map,
                                 const struct nft_key *keys, size_t n)
{
    (void)ctx;
    (void)family;
    (void)table;
    (void)map;
    (void)keys;
    return n;
}

/* ---- chains and rules */

static void drop_table(struct kernel_memory *k)
{
    free_items(&k->items);
    vec_each (line, &k->rules)
        free(*line);
    vec_done(&k->rules);
    k->opaque = false;
}

static int memory_apply(void *ctx, const char *text, size_t len, bool check, struct err *e)
{
    struct kernel_memory *k = ctx;
    char *copy = xstrndup(text, len), *save;
    bool anew = str_starts(text, "add table") && strstr(text, "\ndelete table");
    k->n_texts++;
    bool dead = is_dead(k);
    if (!dead && !check && anew)
        drop_table(k);
    for (char *line = dead || check ? NULL : strtok_r(copy, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        if (str_starts(line, "add element"))
            k->opaque = true;
        else if (!str_starts(line, "delete element"))
            vec_push(&k->rules, xstrdup(line));
    }
    k->there |= !dead && !check && anew;
    free(copy);
    return dead ? err_set(e, -EPERM, "dead") : 0;
}

static int memory_add_keep_rule(void *ctx, const struct nft_keep_rule *r)
{
    struct kernel_memory *k = ctx;
    struct strbuf line = { 0 };
    if (is_dead(k))
        return -EPERM;
    strbuf_printf(&line, "rule %s %u", r->chain, r->seconds);
    vec_push(&k->rules, line.p);
    return 0;
}

static int memory_count_rules(void *ctx, uint8_t family, const char *table, size_t *ret_rules)
{
    struct kernel_memory *k = ctx;
    (void)family;
    (void)table;
    *ret_rules = 0;
    return is_dead(k) ? -EPERM : k->there ? -EOPNOTSUPP : -ENOENT;
}

static int memory_survey(void *ctx, uint8_t family, const char *table,
                         void (*chain)(void *fn_ctx, const char *name), void *fn_ctx,
                         uint64_t *ret_hash)
{
    struct kernel_memory *k = ctx;
    struct strbuf all = { 0 };
    (void)family;
    (void)table;
    if (is_dead(k) || !k->there)
        return -ENOENT;
    vec_each (line, &k->rules) {
        strbuf_puts(&all, *line);
        if (chain && str_starts(*line, "add chain"))
            chain(fn_ctx, strrchr(*line, ' ') + 1);
    }
    *ret_hash = hash_stable(all.p, all.len);
    strbuf_done(&all);
    return 0;
}

void kernel_memory_init(struct kernel_memory *k, uint8_t family)
{
    *k = (struct kernel_memory){ .family = family, .calls_left = -1 };
    k->backend = (struct nft_backend){ .name = "memory",
                                       .apply = memory_apply,
                                       .read_map = memory_read_map,
                                       .delete_keys = memory_delete_keys,
                                       .add_keep_rule = memory_add_keep_rule,
                                       .count_rules = memory_count_rules,
                                       .write = memory_write,
                                       .survey = memory_survey,
                                       .ctx = k };
}

void kernel_memory_done(struct kernel_memory *k)
{
    drop_table(k);
}

static void fill_one(void *ctx, const struct element *e)
{
    struct kernel_memory *k = ctx;
    struct nft_item items[ELEMENT_ITEMS_MAX] = { 0 };
    unsigned n = element_items(e, k->family, items);
    for (unsigned i = 0; i < n; i++)
        kernel_memory_put(k, map_name((enum map_id)e->map), &items[i]);
}

void kernel_memory_fill(struct kernel_memory *k, const struct ruleset *r)
{
    ruleset_each(r, fill_one, k);
    k->opaque = false;
}
