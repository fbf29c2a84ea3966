/* From a name to the values that stand for it. */
#include "dns/plugins/etcd.h"

#include <string.h>

#define KEY_ROOM (ETCD_PATH_MAX + ETCD_KEY_MAX)

/* ---- keys ---- */

/* As the reference writes labels; keys are made by people and tools after its text. */
static bool is_special(uint8_t b)
{
    return b && strchr(". '@;()\"\\", b);
}

/* A '/' in a label begins a new part of the key; empty parts vanish. */
static size_t put_label(char *out, size_t at, const uint8_t *label)
{
    if (!at || out[at - 1] != '/')
        out[at++] = '/';
    for (unsigned i = 1; i <= *label; i++) {
        uint8_t b = label[i] >= 'A' && label[i] <= 'Z' ? (uint8_t)(label[i] | 0x20) : label[i];
        if (b == '/' && out[at - 1] == '/')
            continue;
        if (is_special(b))
            out[at++] = '\\';
        if (b < ' ' || b > '~')
            at += (size_t)sprintf(out + at, "\\%03u", b);
        else
            out[at++] = (char)b;
    }
    return at;
}

size_t etcd_key(const struct etcd *x, const uint8_t *wire, char out[KEY_ROOM])
{
    struct name name;
    size_t at = x->path_len;
    name_from_wire(wire, &name);
    memcpy(out, x->path, at);
    for (unsigned i = name.n_labels; i-- > 0;)
        at = put_label(out, at, name.wire + name.off[i]);
    while (at && out[at - 1] == '/')
        at--;
    return at;
}

/* ---- wildcards: "*" and "any" stand for any one part ---- */

static size_t part_len(const char *p, const char *end)
{
    const char *slash = memchr(p, '/', (size_t)(end - p));
    return (size_t)((slash ? slash : end) - p);
}

static bool is_star(const char *p, size_t n)
{
    return (n == 1 && *p == '*') || (n == 3 && memcmp(p, "any", 3) == 0);
}

/* Where the part begins that is the first wildcard behind `from`; `len` when there is none. */
static size_t first_star(const char *key, size_t from, size_t len)
{
    const char *end = key + len;
    for (const char *p = key + from; p < end;) {
        p++; /* the slash */
        size_t n = part_len(p, end);
        if (is_star(p, n))
            return (size_t)(p - 1 - key);
        p += n;
    }
    return len;
}

/* Does the key have every part of the pattern, from the front? */
static bool fits(const char *pattern, size_t len, const struct etcd_value *v)
{
    const char *p = pattern, *p_end = pattern + len, *k = v->key, *k_end = v->key + v->key_len;
    while (p < p_end) {
        if (k >= k_end)
            return false;
        p++;
        k++;
        size_t np = part_len(p, p_end), nk = part_len(k, k_end);
        if (!is_star(p, np) && (np != nk || memcmp(p, k, np) != 0))
            return false;
        p += np;
        k += nk;
    }
    return true;
}

/* ---- the walk ---- */

struct walk {
    struct etcd_query *e;
    uint16_t type;
    const char *pattern; /* of a wildcard; or NULL */
    size_t pattern_len, looked_at, capacity;
    const struct etcd_value *bad;
    struct etcd_list *list;
};

static void keep(struct walk *w, const struct etcd_value *v)
{
    struct etcd_list *l = w->list;
    if (l->n == w->capacity)
        l->items = arena_grow(&w->e->q->arena, l->items, &w->capacity, 8, sizeof *l->items);
    l->items[l->n++] = v;
}

static bool look_at(void *ctx, const struct etcd_value *v)
{
    struct walk *w = ctx;
    if (w->looked_at == ETCD_WALK_MAX || w->e->looked_at == ETCD_LOOK_MAX) {
        w->list->cut = true;
        return false;
    }
    w->looked_at++;
    w->e->looked_at++;
    if (w->pattern && !fits(w->pattern, w->pattern_len, v))
        return true;
    if (v->kind == ETCD_HOST_BAD)
        w->bad = v;
    else if (v->host || v->ip.family || (w->type == RR_TXT && v->text))
        keep(w, v);
    return true;
}

/* The values with the group of the topmost of them, and those without one; all when the topmost
 * ones disagree. */
static void keep_group(struct etcd_list *l)
{
    const char *group = l->n ? l->items[0]->group : "";
    unsigned depth = l->n ? l->items[0]->slashes : 0;
    size_t counted = 0; /* the reference compares no further than where it stopped looking */
    for (; counted < l->n; counted++) {
        const struct etcd_value *v = l->items[counted];
        if (v->slashes >= depth)
            continue;
        if (!*v->group)
            break;
        depth = v->slashes;
        group = v->group;
    }
    if (!*group)
        return;
    for (size_t i = 0; i < l->n && i <= counted; i++)
        if (*l->items[i]->group && l->items[i]->slashes == depth &&
            strcmp(l->items[i]->group, group) != 0)
            return;
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!*l->items[i]->group || strcmp(l->items[i]->group, group) == 0)
            l->items[n++] = l->items[i];
    l->n = n;
}

enum etcd_found etcd_services(struct etcd_query *e, const uint8_t *name, uint16_t type, bool exact,
                              struct etcd_list *ret)
{
    char key[KEY_ROOM];
    size_t len = etcd_key(e->x, name, key), cut = first_star(key, e->x->path_len, len);
    struct walk w = { .e = e, .type = type, .list = ret };
    *ret = (struct etcd_list){ 0 };
    if (cut < len) {
        w.pattern = key;
        w.pattern_len = len;
    }
    if (!exact) {
        char next = key[cut];
        key[cut] = '/';
        /* fits() looks at the pattern: for one with a star the byte at `cut` is this slash. */
        etcd_each(e->root, key, cut + 1, look_at, &w);
        key[cut] = next;
    }
    if (!w.looked_at && !ret->cut) {
        const struct etcd_value *v = etcd_find(e->root, key, cut);
        if (!v)
            return ETCD_NO_SUCH_NAME;
        look_at(&w, v);
    }
    if (w.bad && !ret->n) {
        e->broken = w.bad;
        return ETCD_BROKEN;
    }
    keep_group(ret);
    return ETCD_FOUND;
}

uint32_t etcd_ttl(const struct etcd_query *e, const struct etcd_value *v)
{
    if (!v->lease)
        return v->ttl ? v->ttl : ETCD_TTL;
    int64_t left = etcd_lease_left(v->lease, e->now_ns);
    uint32_t ttl = left < 0 ? 0 : (uint32_t)MIN(left, UINT32_MAX);
    ttl = MIN(MAX(ttl, e->x->lease_min), e->x->lease_max);
    return v->ttl && v->ttl < ttl ? v->ttl : ttl;
}
