#include "base/vec.h"
#include "dns/plugins/hosts.h"

#include <string.h>

#define BLANKS " \t\r\v\f"

/* While building: what a key has so far. */
struct growing {
    VEC(uint8_t) v4, v6; /* of a name */
    VEC(uint8_t) names;  /* of an address */
    unsigned n;
};

struct builder {
    struct hosts_table *table;
    const struct hosts_rules *rules;
    struct ht names, addrs; /* -> struct growing */
    const char *source;
    unsigned line, bad, first_bad, cut;
};

static struct growing *growing_of(struct ht *t, const void *key, size_t len)
{
    struct growing *g = ht_get(t, key, len);
    if (!g) {
        g = xcalloc(1, sizeof *g);
        ht_put(t, key, len, g);
    }
    return g;
}

#define append(v, bytes, len)                                                                      \
    do {                                                                                           \
        vec_reserve(v, (v)->n + (len));                                                            \
        memcpy((v)->items + (v)->n, bytes, len);                                                   \
        (v)->n += (len);                                                                           \
    } while (0)

static void add_forward(struct builder *b, const uint8_t *wire, size_t len, const struct ip *ip)
{
    struct growing *g = growing_of(&b->names, wire, len);
    size_t have = ip->family == 4 ? g->v4.n / 4 : g->v6.n / 16;
    if (have == HOSTS_PER_NAME) {
        b->cut++;
        return;
    }
    if (ip->family == 4)
        append(&g->v4, ip->bytes, 4);
    else
        append(&g->v6, ip->bytes, 16);
    b->table->entries++;
}

static void add_reverse(struct builder *b, const uint8_t *wire, size_t len, const struct ip *ip)
{
    struct growing *g = growing_of(&b->addrs, ip, sizeof *ip);
    uint8_t prefix[2];
    if (g->n == HOSTS_PER_NAME) {
        b->cut++;
        return;
    }
    put_u16(prefix, (uint16_t)len);
    append(&g->names, prefix, 2);
    append(&g->names, wire, len);
    g->n++;
    b->table->entries++;
}

static bool add_name(struct builder *b, const char *text, const struct ip *ip)
{
    struct name name;
    struct question q = { .type = RR_A };
    if (name_from_text(text, &name) < 0)
        return false;
    q.name = name;
    name_lower(q.lower, name.wire, name.len);
    if (!zone_set_covers(b->rules->zones, &q))
        return true;
    bool wildcard = q.lower[0] == 1 && q.lower[1] == '*';
    b->table->wildcards |= wildcard;
    add_forward(b, q.lower, name.len, ip);
    if (b->rules->reverse && !wildcard)
        add_reverse(b, q.lower, name.len, ip);
    return true;
}

/* "10.0.0.1", "fe80::1%eth0": the interface does not matter to whoever asks. */
static bool read_ip(char *text, struct ip *ret)
{
    char *percent = strchr(text, '%');
    if (percent)
        *percent = 0;
    memset(ret, 0, sizeof *ret); /* a key of a table, byte by byte */
    if (ip_parse(text, ret) < 0)
        return false;
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (ret->family == 6 && memcmp(ret->bytes, mapped, sizeof mapped) == 0) {
        struct ip v4 = { .family = 4 };
        memcpy(v4.bytes, ret->bytes + 12, 4);
        *ret = v4;
    }
    return true;
}

static bool add_line(struct builder *b, char *line)
{
    char *rest = NULL, *word;
    struct ip ip;
    bool good = true;
    line[strcspn(line, "#")] = 0;
    char *address = strtok_r(line, BLANKS, &rest);
    if (!address)
        return true;
    if (!read_ip(address, &ip))
        return false;
    word = strtok_r(NULL, BLANKS, &rest);
    if (!word)
        return false;
    for (; word; word = strtok_r(NULL, BLANKS, &rest))
        good &= add_name(b, word, &ip);
    return good;
}

static void add_source(struct builder *b, const struct hosts_source *s)
{
    char *line = xmalloc(HOSTS_LINE_MAX + 1);
    const char *p = s->text, *end = s->text + s->len;
    b->source = s->name;
    b->line = b->bad = b->first_bad = 0;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((stop ? stop : end) - p);
        b->line++;
        bool good = len <= HOSTS_LINE_MAX;
        if (good) {
            memcpy(line, p, len);
            line[len] = 0;
            good = add_line(b, line);
        }
        if (!good && !b->bad++)
            b->first_bad = b->line;
        p += len + 1;
    }
    free(line);
    if (b->bad)
        log_warning("plugin/hosts: %s: %u lines are not \"ADDRESS NAME...\", the first is line %u",
                    s->name, b->bad, b->first_bad);
}

/* ---- the finished table ---- */

static void freeze_names(struct builder *b)
{
    struct arena *a = &b->table->arena;
    ht_each (e, &b->names) {
        struct growing *g = e->value;
        struct hosts_name *n = arena_alloc(a, sizeof *n);
        n->v4 = arena_memdup(a, g->v4.items, g->v4.n);
        n->v6 = arena_memdup(a, g->v6.items, g->v6.n);
        n->n4 = (uint16_t)(g->v4.n / 4);
        n->n6 = (uint16_t)(g->v6.n / 16);
        ht_put(&b->table->names, e->key, e->key_len, n);
    }
}

static void freeze_addrs(struct builder *b)
{
    struct arena *a = &b->table->arena;
    ht_each (e, &b->addrs) {
        struct growing *g = e->value;
        struct hosts_addr *n = arena_alloc(a, sizeof *n);
        n->names = arena_memdup(a, g->names.items, g->names.n);
        n->n = (uint16_t)g->n;
        ht_put(&b->table->addrs, e->key, e->key_len, n);
    }
}

static void growing_done(struct ht *t)
{
    ht_each (e, t) {
        struct growing *g = e->value;
        vec_done(&g->v4);
        vec_done(&g->v6);
        vec_done(&g->names);
        free(g);
    }
    ht_done(t);
}

struct hosts_table *hosts_table_new(const struct hosts_source *sources, size_t n,
                                    const struct hosts_rules *rules)
{
    struct hosts_table *t = xcalloc(1, sizeof *t);
    struct builder b = { .table = t, .rules = rules };
    arena_init(&t->arena, 16384);
    for (size_t i = 0; i < n; i++)
        add_source(&b, &sources[i]);
    if (b.cut)
        log_warning(
            "plugin/hosts: %u entries are left out: more than %d addresses of a name, or names "
            "of an address",
            b.cut, HOSTS_PER_NAME);
    freeze_names(&b);
    freeze_addrs(&b);
    growing_done(&b.names);
    growing_done(&b.addrs);
    return t;
}

void hosts_table_free(void *table)
{
    struct hosts_table *t = table;
    if (!t)
        return;
    ht_done(&t->names);
    ht_done(&t->addrs);
    arena_done(&t->arena);
    free(t);
}
