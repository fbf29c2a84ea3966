/* Rules as nft writes them: expressions, comparisons, statements. */
#include "explain/nft_reader.h"

#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 16 /* of a rule */

/* ---- expressions */

static int read_meta(struct nft_reader *r, struct term *t)
{
    static const struct {
        const char *word;
        enum field field;
    } known[] = { { "l4proto", FIELD_PROTOCOL },
                  { "mark", FIELD_MARK },
                  { "priority", FIELD_PRIORITY },
                  { "iifname", FIELD_IN } };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (nft_take(r, known[i].word)) {
            t->field = known[i].field;
            return 0;
        }
    }
    return nft_unknown(r, "a field of meta");
}

static int read_pair(struct nft_reader *r, const char *one, enum field first, const char *other,
                     enum field second, struct term *t)
{
    t->field = nft_is_at(r, one) ? first : second;
    return nft_take(r, one) || nft_take(r, other) ? 0 : nft_unknown(r, one);
}

static int read_random(struct nft_reader *r, struct term *t)
{
    int rc = nft_expect(r, "random");
    if (rc == 0)
        rc = nft_expect(r, "mod");
    if (rc == 0 && (!nft_number(r->word, &t->operand) || t->operand == 0))
        rc = nft_unknown(r, "a modulus");
    t->field = FIELD_RANDOM;
    if (rc == 0)
        nft_next(r);
    return rc;
}

static int read_fib(struct nft_reader *r, struct term *t)
{
    int rc = read_pair(r, "saddr", FIELD_SOURCE_TYPE, "daddr", FIELD_TARGET_TYPE, t);
    return rc == 0 ? nft_expect(r, "type") : rc;
}

int nft_read_field(struct nft_reader *r, struct term *t)
{
    if (nft_take(r, "ip") || nft_take(r, "ip6"))
        return read_pair(r, "saddr", FIELD_SOURCE, "daddr", FIELD_DESTINATION, t);
    if (nft_take(r, "th") || nft_take(r, "tcp") || nft_take(r, "udp") || nft_take(r, "sctp"))
        return read_pair(r, "sport", FIELD_SOURCE_PORT, "dport", FIELD_PORT, t);
    if (nft_take(r, "ct"))
        return read_pair(r, "state", FIELD_STATE, "status", FIELD_TRANSLATED, t);
    if (nft_take(r, "meta") || nft_is_at(r, "iifname"))
        return read_meta(r, t);
    if (nft_take(r, "numgen"))
        return read_random(r, t);
    if (nft_take(r, "fib"))
        return read_fib(r, t);
    return nft_unknown(r, "something to look at");
}

static int read_operation(struct nft_reader *r, struct term *t)
{
    t->operation = nft_is_at(r, "and")   ? OPERATION_AND
                   : nft_is_at(r, "or")  ? OPERATION_OR
                   : nft_is_at(r, "xor") ? OPERATION_XOR
                                         : OPERATION_NONE;
    if (t->operation == OPERATION_NONE)
        return 0;
    nft_next(r);
    if (!nft_number(r->word, &t->operand))
        return nft_unknown(r, "a number");
    nft_next(r);
    return 0;
}

static int read_map_name(struct nft_reader *r, const struct firewall_map **ret)
{
    if (r->kind != TOKEN_WORD || r->word[0] != '@')
        return nft_unknown(r, "@map");
    *ret = firewall_map(r->f, r->family, r->word + 1);
    nft_next(r);
    return 0;
}

static int read_expression(struct nft_reader *r, struct expression *x)
{
    int rc;
    *x = (struct expression){ .n = 0 };
    do {
        struct term *t = &x->terms[x->n++];
        rc = nft_read_field(r, t);
        if (rc == 0)
            rc = read_operation(r, t);
    } while (rc == 0 && x->n < FIREWALL_COLUMNS_MAX && nft_take(r, "."));
    if (rc == 0 && nft_take(r, "map"))
        rc = read_map_name(r, &x->map);
    return rc;
}

/* ---- rules */

static int read_target(struct nft_reader *r, struct firewall_verdict *v)
{
    char name[NFT_WORD_MAX];
    int rc = nft_take_name(r, name);
    if (rc == 0)
        v->chain = firewall_chain(r->f, r->family, name);
    return rc;
}

int nft_read_verdict(struct nft_reader *r, struct firewall_verdict *v)
{
    static const struct {
        const char *word;
        enum verdict_kind kind;
    } known[] = { { "accept", FIREWALL_ACCEPT }, { "drop", FIREWALL_DROP },
                  { "reject", FIREWALL_REJECT }, { "return", FIREWALL_RETURN },
                  { "jump", FIREWALL_JUMP },     { "goto", FIREWALL_GOTO } };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (!nft_take(r, known[i].word))
            continue;
        *v = (struct firewall_verdict){ .kind = known[i].kind };
        int rc = v->kind == FIREWALL_JUMP || v->kind == FIREWALL_GOTO ? read_target(r, v) : 0;
        return rc == 0 ? 1 : rc;
    }
    return 0;
}

static int add_word(struct nft_reader *r, struct part *p)
{
    if (p->n_words == FIREWALL_WORDS_MAX ||
        !nft_word(p->expression.terms[0].field, r->word, &p->words[p->n_words]))
        return nft_unknown(r, "a value");
    p->n_words++;
    nft_next(r);
    return 0;
}

static int read_words(struct nft_reader *r, struct part *p)
{
    int rc = add_word(r, p);
    while (rc == 0 && nft_take(r, ","))
        rc = add_word(r, p);
    return rc;
}

/* "new,established": bits; "{ tcp, udp }": values. */
static int read_values(struct nft_reader *r, struct part *p)
{
    p->kind = PART_EQUAL;
    if (nft_take(r, "{")) {
        int rc = read_words(r, p);
        return rc == 0 ? nft_expect(r, "}") : rc;
    }
    int rc = read_words(r, p);
    p->any_bit = p->expression.terms[0].field == FIELD_STATE;
    for (unsigned i = 1; i < p->n_words && p->any_bit; i++)
        p->words[0] |= p->words[i];
    return rc;
}

static int read_address(struct nft_reader *r, struct part *p)
{
    p->kind = PART_PREFIX;
    if (strchr(r->word, '/') ? ip_prefix_parse(r->word, &p->prefix) < 0
                             : ip_parse(r->word, &p->prefix.ip) < 0)
        return nft_unknown(r, "an address");
    if (!strchr(r->word, '/'))
        p->prefix.bits = p->prefix.ip.family == 4 ? 32 : 128;
    nft_next(r);
    return 0;
}

static int read_interface(struct nft_reader *r, struct part *p)
{
    size_t len = strlen(r->word);
    if (r->kind != TOKEN_STRING)
        return nft_unknown(r, "a name in quotes");
    p->kind = PART_NAME;
    p->name_begins = len > 0 && r->word[len - 1] == '*';
    p->name = arena_strndup(&r->f->arena, r->word, len - p->name_begins);
    nft_next(r);
    return 0;
}

/* What stands behind an expression that is compared or looked up. */
static int read_comparison(struct nft_reader *r, struct part *p)
{
    enum field field = p->expression.terms[0].field;
    if (nft_take(r, "vmap")) {
        p->kind = PART_LOOK_UP;
        return read_map_name(r, &p->set);
    }
    p->negated = nft_take(r, "!=");
    if (!p->negated)
        (void)nft_take(r, "==");
    if (r->kind == TOKEN_WORD && r->word[0] == '@') {
        p->kind = PART_IN_SET;
        return read_map_name(r, &p->set);
    }
    if (p->expression.n != 1)
        return nft_unknown(r, "a set");
    if (field == FIELD_SOURCE || field == FIELD_DESTINATION)
        return read_address(r, p);
    return field == FIELD_IN ? read_interface(r, p) : read_values(r, p);
}

/* update @map { key timeout 10s : value } */
static int read_remember(struct nft_reader *r, struct part *p)
{
    struct expression value;
    p->kind = PART_REMEMBER;
    int rc = read_map_name(r, &p->set);
    if (rc == 0)
        rc = nft_expect(r, "{");
    if (rc == 0)
        rc = read_expression(r, &p->expression);
    if (rc == 0)
        rc = nft_expect(r, "timeout");
    if (rc == 0) {
        p->seconds = (uint32_t)strtoul(r->word, NULL, 10);
        nft_next(r);
        rc = nft_expect(r, ":");
    }
    if (rc == 0)
        rc = read_expression(r, &value);
    return rc == 0 ? nft_expect(r, "}") : rc;
}

static int read_translation(struct nft_reader *r, struct part *p)
{
    p->kind = PART_TRANSLATE;
    int rc = nft_expect(r, "to");
    return rc == 0 ? read_expression(r, &p->expression) : rc;
}

/* "meta mark set ...": 1; 0: it is a comparison. */
static int read_setting(struct nft_reader *r, struct part *p)
{
    const struct nft_reader before = *r;
    if (!nft_take(r, "meta"))
        return 0;
    p->kind = nft_is_at(r, "mark") ? PART_SET_MARK : PART_SET_PRIORITY;
    if ((nft_take(r, "mark") || nft_take(r, "priority")) && nft_take(r, "set")) {
        int rc = read_expression(r, &p->expression);
        if (rc == 0 && p->expression.n == 0)
            rc = nft_unknown(r, "a value");
        return rc == 0 ? 1 : rc;
    }
    *r = before;
    return 0;
}

/* "meta priority set 0:0" */
static bool read_constant(struct nft_reader *r, struct part *p)
{
    const struct nft_reader before = *r;
    bool mark = false;
    if (nft_take(r, "meta") && ((mark = nft_take(r, "mark")) || nft_take(r, "priority")) &&
        nft_take(r, "set") && r->kind == TOKEN_WORD && nft_number(r->word, &p->words[0])) {
        p->kind = mark ? PART_SET_MARK : PART_SET_PRIORITY;
        p->n_words = 1;
        nft_next(r);
        return true;
    }
    *r = before;
    return false;
}

static int read_part(struct nft_reader *r, struct part *p)
{
    int rc = nft_read_verdict(r, &p->verdict);
    p->kind = PART_VERDICT;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (nft_take(r, "dnat"))
        return read_translation(r, p);
    if (nft_take(r, "masquerade")) {
        p->kind = PART_MASQUERADE;
        (void)nft_take(r, "fully-random");
        return 0;
    }
    if (nft_take(r, "update"))
        return read_remember(r, p);
    if (read_constant(r, p))
        return 0;
    rc = read_setting(r, p);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = read_expression(r, &p->expression);
    return rc == 0 ? read_comparison(r, p) : rc;
}

/* The line from here on, without the blanks at its end. */
static const char *line_text(struct nft_reader *r)
{
    size_t len = strcspn(r->start, "\n");
    while (len > 0 && r->start[len - 1] == ' ')
        len--;
    return arena_strndup(&r->f->arena, r->start, len);
}

int nft_read_rule(struct nft_reader *r, struct firewall_chain *c)
{
    struct part parts[PARTS_MAX] = { { .kind = PART_VERDICT } };
    struct rule rule = { .text = line_text(r) };
    while (!nft_at_line_end(r)) {
        if (nft_take(r, "comment")) {
            rule.comment = arena_strdup(&r->f->arena, r->word);
            nft_next(r);
            continue;
        }
        if (rule.n_parts == PARTS_MAX)
            return nft_unknown(r, "a shorter rule");
        int rc = read_part(r, &parts[rule.n_parts++]);
        if (rc < 0)
            return rc;
    }
    rule.parts = arena_memdup(&r->f->arena, parts, rule.n_parts * sizeof *parts);
    vec_push(&c->rules, rule);
    return 0;
}
