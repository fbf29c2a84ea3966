#include "proxy/found.h"

#include "base/hash.h"
#include "kernel/nft_elements.h"
#include "proxy/item.h"
#include "proxy/skeleton.h"

#include <errno.h>

#define READ_TRIES 3 /* while somebody else writes, the kernel's answer is of two minds */
#define SEAL_BYTES 16

/* ---- the seal */

/* Of all texts that make chains and rules, by an example of each. */
static uint64_t hash_of_layout(const struct ruleset_options *o)
{
    struct strbuf text = { 0 };
    skeleton_print(o, &text);
    draw_chain_print(o->family, PROTO_TCP, 1, &text);
    draw_chain_print(o->family, PROTO_TCP, PORTAL_BACKENDS_MAX, &text);
    remember_chain_print(o->family, 1, &text);
    strbuf_printf(&text, "%d", FOUND_LAYOUT);
    uint64_t hash = hash_stable(text.p, text.len);
    strbuf_done(&text);
    return hash;
}

static struct nft_item make_seal(const struct ruleset_options *o, uint64_t rules)
{
    struct nft_item i = { .key_len = SEAL_BYTES };
    uint64_t layout = hash_of_layout(o);
    memcpy(i.key, &layout, sizeof layout);
    memcpy(i.key + sizeof layout, &rules, sizeof rules);
    return i;
}

int found_seal(const struct nft_backend *b, const struct ruleset_options *o)
{
    uint64_t rules;
    struct nft_elements t;
    if (!b->survey || !b->write)
        return -EOPNOTSUPP;
    int ret = b->survey(b->ctx, o->family, RULESET_TABLE, NULL, NULL, &rules);
    if (ret < 0)
        return ret;
    struct nft_item seal = make_seal(o, rules);
    nft_elements_init(&t, o->family, RULESET_TABLE);
    nft_elements_clear(&t, RULESET_LAYOUT_SET);
    nft_elements_put(&t, RULESET_LAYOUT_SET, true, &seal);
    ret = b->write(b->ctx, &t, false, NULL);
    nft_elements_done(&t);
    return ret;
}

struct seal_check {
    struct nft_item want;
    unsigned n, right;
};

static void check_seal(void *ctx, const struct nft_item *i)
{
    struct seal_check *s = ctx;
    s->n++;
    s->right += i->key_len == SEAL_BYTES && memcmp(i->key, s->want.key, SEAL_BYTES) == 0;
}

static void note_chain(void *ctx, const char *name)
{
    struct found *f = ctx;
    vec_push(&f->chains, xstrdup(name));
}

static int read_rules(const struct nft_backend *b, const struct ruleset_options *o, struct found *f,
                      struct err *e)
{
    uint64_t rules;
    int ret = b->survey(b->ctx, o->family, RULESET_TABLE, note_chain, f, &rules);
    if (ret < 0)
        return ret;
    struct seal_check s = { .want = make_seal(o, rules) };
    ret = b->read_map(b->ctx, o->family, RULESET_TABLE, RULESET_LAYOUT_SET, check_seal, &s);
    if (ret == 0 && s.n == 1 && s.right == 1)
        return 0;
    return err_set(e, ERR_INVALID, "its chains and rules are not those of this layout");
}

/* ---- elements */

struct reading {
    struct found *found;
    enum map_id map;
    bool strange;
};

static void note_element(void *ctx, const struct nft_item *i)
{
    struct reading *r = ctx;
    struct element e;
    if (element_of_item(r->map, r->found->family, i, &e))
        vec_push(&r->found->of[r->map], e);
    else
        r->strange = true;
}

static int read_elements(const struct nft_backend *b, struct reading *r)
{
    unsigned tries = READ_TRIES;
    int ret;
    do {
        vec_clear(&r->found->of[r->map]);
        r->strange = false;
        ret =
            b->read_map(b->ctx, r->found->family, RULESET_TABLE, map_name(r->map), note_element, r);
    } while (ret == -EINTR && --tries > 0);
    return ret;
}

static int by_address(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    int ret = memcmp(x->ip, y->ip, sizeof x->ip);
    return ret != 0 ? ret : (int)y->slot - (int)x->slot; /* where one ends another may begin */
}

/* From the beginnings and ends of ranges to the ranges. */
static bool join_ranges(uint8_t family, elements *v)
{
    size_t n = 0;
    if (v->n > 1)
        qsort(v->items, v->n, sizeof *v->items, by_address);
    for (size_t i = 0; i < v->n; i++) {
        struct element e = v->items[i];
        if (e.slot)
            continue;
        if (!element_close_range(&e, family, i + 1 < v->n ? v->items[i + 1].ip : NULL))
            return false;
        v->items[n++] = e;
    }
    v->n = n;
    return true;
}

static int read_map(const struct nft_backend *b, struct found *f, enum map_id map, struct err *e)
{
    struct reading r = { .found = f, .map = map };
    int ret = read_elements(b, &r);
    if (ret < 0)
        return err_set(e, ret == -ENOENT ? ERR_INVALID : ret, "map %s: %s", map_name(map),
                       err_str(ret));
    if (map == SET_SERVICE_RANGES)
        r.strange |= !join_ranges(f->family, &f->of[map]);
    if (r.strange)
        return err_set(e, ERR_INVALID, "map %s has elements that are not ours", map_name(map));
    elements_sort(&f->of[map]);
    elements_drop_doubles(&f->of[map]); /* a walk over a table that grows may tell of one twice */
    f->n += f->of[map].n;
    return 0;
}

int found_read(const struct nft_backend *b, const struct ruleset_options *o, struct found *ret,
               struct err *e)
{
    *ret = (struct found){ .family = o->family };
    if (!b->survey || !b->read_map || !b->write)
        return -EOPNOTSUPP;
    int code = read_rules(b, o, ret, e);
    for (enum map_id map = 0; map < MAPS && code == 0; map++)
        code = read_map(b, ret, map, e);
    if (code < 0)
        found_done(ret);
    return code;
}

void found_done(struct found *f)
{
    for (enum map_id map = 0; map < MAPS; map++)
        vec_done(&f->of[map]);
    vec_each (name, &f->chains)
        free(*name);
    vec_done(&f->chains);
    f->n = 0;
}

/* ---- making use of it */

/* The first element that is not before `key`. */
static size_t lower_bound(const elements *v, const struct element *key)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (element_compare(&v->items[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t found_slots(const struct found *f, uint8_t protocol, uint32_t handle,
                     struct backend **ret_slots)
{
    enum map_id map = (enum map_id)(MAP_ENDPOINTS_TCP + protocol);
    const elements *v = &f->of[map];
    struct element key = { .map = (uint8_t)map, .handle = handle };
    size_t first = lower_bound(v, &key), end = first;
    uint32_t n = 0;
    for (; end < v->n && v->items[end].handle == handle; end++)
        if (v->items[end].slot < PORTAL_BACKENDS_MAX)
            n = MAX(n, v->items[end].slot + 1);
    struct backend *slots = xcalloc(n + 1, sizeof *slots);
    for (size_t i = first; i < end; i++) {
        const struct element *e = &v->items[i];
        if (e->slot >= PORTAL_BACKENDS_MAX)
            continue;
        memcpy(slots[e->slot].ip, e->to, sizeof e->to);
        slots[e->slot].port = e->to_port;
    }
    *ret_slots = slots;
    return n;
}

/* Both sorted. */
static void subtract(const elements *have, elements *want, elements *del)
{
    size_t i = 0, k = 0, left = 0;
    while (i < have->n || k < want->n) {
        const struct element *a = i < have->n ? &have->items[i] : NULL;
        const struct element *b = k < want->n ? &want->items[k] : NULL;
        int order = !a ? 1 : !b ? -1 : element_compare(a, b);
        bool same = order == 0 && memcmp(a, b, sizeof *a) == 0;
        if (order <= 0 && !same)
            vec_push(del, *a);
        if (order >= 0 && !same)
            want->items[left++] = *b;
        i += order <= 0;
        k += order >= 0;
    }
    want->n = left;
}

void found_subtract(const struct found *f, elements add[MAPS], elements del[MAPS])
{
    for (enum map_id map = 0; map < MAPS; map++) {
        elements_sort(&add[map]);
        subtract(&f->of[map], &add[map], &del[map]);
    }
}
