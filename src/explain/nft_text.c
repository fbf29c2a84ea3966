#include "explain/nft_text.h"

#include "explain/nft_reader.h"

#include <stdlib.h>
#include <string.h>

/* ---- tables */

static int read_base(struct nft_reader *r, struct firewall_chain *c)
{
    static const char *const hooks[HOOKS] = { "prerouting", "input", "forward", "output",
                                              "postrouting" };
    unsigned hook = 0;
    c->is_nat = nft_is_at(r, "nat");
    nft_next(r);
    int rc = nft_expect(r, "hook");
    while (rc == 0 && hook < HOOKS && !nft_is_at(r, hooks[hook]))
        hook++;
    if (rc == 0 && hook == HOOKS)
        rc = nft_unknown(r, "a hook");
    if (rc < 0)
        return rc;
    nft_next(r);
    rc = nft_expect(r, "priority");
    c->hook = (enum hook)hook;
    c->priority = (int)strtol(r->word, NULL, 10);
    nft_next(r);
    firewall_add_base(r->f, c);
    nft_skip_lines(r);
    if (rc == 0 && nft_take(r, "policy"))
        rc = nft_expect(r, "accept");
    return rc;
}

static int read_chain(struct nft_reader *r)
{
    char name[NFT_WORD_MAX];
    int rc = nft_take_name(r, name);
    if (rc == 0)
        rc = nft_expect(r, "{");
    struct firewall_chain *c = firewall_chain(r->f, r->family, name);
    for (nft_skip_lines(r); rc == 0 && !nft_take(r, "}"); nft_skip_lines(r))
        rc = nft_take(r, "type") ? read_base(r, c) : nft_read_rule(r, c);
    return rc;
}

static int read_type(struct nft_reader *r, enum column *ret)
{
    static const struct {
        const char *word;
        enum column column;
    } known[] = { { "ipv4_addr", COLUMN_IPV4 },      { "ipv6_addr", COLUMN_IPV6 },
                  { "inet_proto", COLUMN_PROTOCOL }, { "inet_service", COLUMN_PORT },
                  { "classid", COLUMN_NUMBER },      { "mark", COLUMN_NUMBER } };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (nft_take(r, known[i].word)) {
            *ret = known[i].column;
            return 0;
        }
    }
    return nft_unknown(r, "a type");
}

static int read_example(struct nft_reader *r, enum column *ret)
{
    struct term t = { .operation = OPERATION_NONE };
    int rc = nft_read_field(r, &t);
    *ret = field_column(t.field, r->family);
    return rc;
}

/* "ipv4_addr . inet_service : verdict", or examples of the same. */
static int read_columns(struct nft_reader *r, struct firewall_map *m,
                        int (*read)(struct nft_reader *r, enum column *ret))
{
    int rc = 0;
    m->is_set = true;
    do
        rc = read(r, &m->key[m->n_key++]);
    while (rc == 0 && m->n_key < FIREWALL_COLUMNS_MAX && nft_take(r, "."));
    if (rc < 0 || !nft_take(r, ":"))
        return rc;
    m->is_set = false;
    m->has_verdicts = nft_take(r, "verdict");
    if (m->has_verdicts)
        return 0;
    do
        rc = read(r, &m->value[m->n_value++]);
    while (rc == 0 && m->n_value < FIREWALL_COLUMNS_MAX && nft_take(r, "."));
    return rc;
}

static void read_flags(struct nft_reader *r, struct firewall_map *m)
{
    for (; !nft_at_line_end(r); nft_next(r)) {
        m->is_interval |= nft_is_at(r, "interval");
        m->is_dynamic |= nft_is_at(r, "dynamic");
    }
}

static int read_map_line(struct nft_reader *r, struct firewall_map *m)
{
    if (nft_take(r, "type"))
        return read_columns(r, m, read_type);
    if (nft_take(r, "typeof"))
        return read_columns(r, m, read_example);
    if (nft_take(r, "flags")) {
        read_flags(r, m);
        return 0;
    }
    if (!nft_is_at(r, "size") && !nft_is_at(r, "comment"))
        return nft_unknown(r, "a line of a map");
    while (!nft_at_line_end(r))
        nft_next(r);
    return 0;
}

static int read_map(struct nft_reader *r)
{
    char name[NFT_WORD_MAX];
    int rc = nft_take_name(r, name);
    if (rc == 0)
        rc = nft_expect(r, "{");
    struct firewall_map *m = firewall_map(r->f, r->family, name);
    m->n_key = m->n_value = 0;
    for (nft_skip_lines(r); rc == 0 && !nft_take(r, "}"); nft_skip_lines(r))
        rc = read_map_line(r, m);
    return rc;
}

static int read_table(struct nft_reader *r)
{
    int rc = nft_expect(r, "{");
    for (nft_skip_lines(r); rc == 0 && !nft_take(r, "}"); nft_skip_lines(r)) {
        if (nft_take(r, "set") || nft_take(r, "map"))
            rc = read_map(r);
        else if (nft_take(r, "chain"))
            rc = read_chain(r);
        else
            rc = nft_unknown(r, "set, map or chain");
    }
    return rc;
}

/* ---- elements */

static int read_column_values(struct nft_reader *r, const enum column *columns, unsigned n,
                              uint8_t out[FIREWALL_KEY_MAX], size_t *ret_len, unsigned *ret_bits)
{
    *ret_len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (i > 0 && !nft_take(r, "."))
            return nft_unknown(r, ".");
        if (r->kind != TOKEN_WORD || !nft_column(columns[i], r->word, out + *ret_len, ret_bits))
            return nft_unknown(r, "a value of that column");
        *ret_len += column_len(columns[i]);
        nft_next(r);
    }
    return 0;
}

static int read_element(struct nft_reader *r, struct firewall_map *m, bool add)
{
    uint8_t key[FIREWALL_KEY_MAX];
    struct firewall_element e = { .text = NULL };
    const char *start = r->start;
    size_t len, value_len;
    unsigned bits = m->is_interval ? 8 * (unsigned)column_len(m->key[m->n_key - 1]) : 0, none;
    int rc = read_column_values(r, m->key, m->n_key, key, &len, &bits);
    if (rc < 0)
        return rc;
    if (!add) {
        firewall_del(r->f, m, key, len, bits);
        return 0;
    }
    if (!m->is_set)
        rc = nft_expect(r, ":");
    if (rc == 0 && m->has_verdicts && (rc = nft_read_verdict(r, &e.verdict)) == 0)
        rc = nft_unknown(r, "a verdict");
    else if (rc == 0 && !m->is_set)
        rc = read_column_values(r, m->value, m->n_value, e.value, &value_len, &none);
    size_t text = (size_t)(r->start - start);
    while (text > 0 && start[text - 1] == ' ')
        text--;
    e.text = arena_strndup(&r->f->arena, start, text);
    if (rc >= 0)
        firewall_put(r->f, m, key, len, bits, &e);
    return rc < 0 ? rc : 0;
}

static int read_elements(struct nft_reader *r, bool add)
{
    char name[NFT_WORD_MAX];
    int rc = nft_take_name(r, name);
    if (rc == 0)
        rc = nft_expect(r, "{");
    if (rc < 0)
        return rc;
    struct firewall_map *m = firewall_map(r->f, r->family, name);
    if (m->n_key == 0)
        return err_set(r->e, ERR_PARSE, "rules, line %d: no map \"%s\" was declared", r->line,
                       name);
    do
        rc = read_element(r, m, add);
    while (rc == 0 && nft_take(r, ","));
    return rc == 0 ? nft_expect(r, "}") : rc;
}

/* ---- commands */

static int read_family(struct nft_reader *r)
{
    char table[NFT_WORD_MAX];
    if (!nft_is_at(r, "ip") && !nft_is_at(r, "ip6"))
        return nft_unknown(r, "ip or ip6");
    r->family = nft_is_at(r, "ip") ? 4 : 6;
    nft_next(r);
    return nft_take_name(r, table);
}

static int read_add(struct nft_reader *r)
{
    char word[NFT_WORD_MAX], name[NFT_WORD_MAX];
    int rc = nft_take_name(r, word);
    if (rc == 0)
        rc = read_family(r);
    if (rc < 0 || strcmp(word, "table") == 0)
        return rc;
    if (strcmp(word, "element") == 0)
        return read_elements(r, true);
    rc = nft_take_name(r, name);
    if (rc < 0)
        return rc;
    struct firewall_chain *c = firewall_chain(r->f, r->family, name);
    if (strcmp(word, "rule") == 0)
        return nft_read_rule(r, c);
    return strcmp(word, "chain") == 0 ? 0 : nft_unknown(r, "the end of what can be added");
}

static int read_delete(struct nft_reader *r)
{
    bool table = nft_is_at(r, "table");
    if (!table && !nft_is_at(r, "element"))
        return nft_unknown(r, "table or element");
    nft_next(r);
    int rc = read_family(r);
    if (rc == 0 && table)
        firewall_clear(r->f, r->family);
    return rc == 0 && !table ? read_elements(r, false) : rc;
}

static int read_command(struct nft_reader *r)
{
    if (nft_take(r, "add"))
        return read_add(r);
    if (nft_take(r, "delete"))
        return read_delete(r);
    if (!nft_take(r, "table"))
        return nft_unknown(r, "a command");
    int rc = read_family(r);
    return rc == 0 ? read_table(r) : rc;
}

int nft_text_read(struct firewall *f, const char *text, struct err *e)
{
    struct nft_reader r = { .f = f, .e = e, .p = text, .line = 1, .kind = TOKEN_WORD };
    nft_next(&r);
    for (nft_skip_lines(&r); r.kind != TOKEN_END; nft_skip_lines(&r)) {
        int rc = read_command(&r);
        if (rc < 0)
            return rc;
        if (!nft_at_line_end(&r))
            return nft_unknown(&r, "the end of the line");
    }
    return 0;
}
