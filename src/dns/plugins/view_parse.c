/* From the text of a view expression to its tree. */
#include "dns/plugins/view.h"

#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

enum token_kind { TOKEN_END, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_WORD, TOKEN_SIGN };

struct parser {
    const struct view_compiler *c;
    const char *text, *at; /* behind the current token */
    enum token_kind kind;
    const char *word; /* the token as it stands in the text; a text literal: its value */
    size_t len;
    unsigned depth;
    struct err *e;
    int code; /* the first error */
};

static const struct view_node *parse_or(struct parser *p);

/* ---- errors ---- */

/* Only the first one counts. */
static printf_like(2, 3) void fail(struct parser *p, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    if (p->code)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    p->code = err_set(p->e, ERR_PARSE, "expression '%s': %s", p->text, why);
}

static void fail_here(struct parser *p, const char *wanted)
{
    if (p->kind == TOKEN_END)
        fail(p, "%s is missing at its end", wanted);
    else
        fail(p, "'%.*s' stands where %s is expected", (int)MIN(p->len, 60u), p->word, wanted);
}

/* ---- tokens ---- */

static void read_quoted(struct parser *p, char quote)
{
    char *out = arena_alloc(p->c->arena, strlen(p->at) + 1);
    size_t n = 0;
    const char *s = p->at;
    for (; *s && *s != quote; s++) {
        if (*s != '\\' || quote == '`') {
            out[n++] = *s;
            continue;
        }
        s++;
        if (!*s || !strchr("\\'\"nrt", *s)) {
            fail(p, "unknown escape in a text");
            return;
        }
        out[n++] = *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s == 't' ? '\t' : *s;
    }
    if (!*s) {
        fail(p, "a text is not closed");
        return;
    }
    out[n] = 0;
    p->at = s + 1;
    p->kind = TOKEN_TEXT;
    p->word = out;
    p->len = n;
}

static void read_sign(struct parser *p)
{
    static const char *const two[] = { "==", "!=", "<=", ">=", "&&", "||" };
    p->kind = TOKEN_SIGN;
    p->word = p->at;
    p->len = 1;
    for (size_t i = 0; i < ARRAY_SIZE(two); i++)
        if (strncmp(p->at, two[i], 2) == 0)
            p->len = 2;
    p->at += p->len;
}

static void next(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
    const char *s = p->at;
    p->word = s;
    p->len = 0;
    if (p->code || !*s) {
        p->kind = TOKEN_END;
        return;
    }
    if (*s == '\'' || *s == '"' || *s == '`') {
        p->at++;
        read_quoted(p, *s);
        return;
    }
    if (!isalnum((unsigned char)*s) && *s != '_') {
        read_sign(p);
        return;
    }
    p->kind = isdigit((unsigned char)*s) ? TOKEN_NUMBER : TOKEN_WORD;
    while (isalnum((unsigned char)*p->at) || *p->at == '_')
        p->at++;
    p->len = (size_t)(p->at - s);
}

static bool is(const struct parser *p, const char *text)
{
    return (p->kind == TOKEN_WORD || p->kind == TOKEN_SIGN) && strlen(text) == p->len &&
           memcmp(text, p->word, p->len) == 0;
}

static bool take(struct parser *p, const char *text)
{
    if (!is(p, text))
        return false;
    next(p);
    return true;
}

static void expect(struct parser *p, const char *text)
{
    char wanted[8];
    (void)snprintf(wanted, sizeof wanted, "'%s'", text);
    if (!take(p, text))
        fail_here(p, wanted);
}

/* ---- nodes ---- */

static struct view_node *node(struct parser *p, enum view_op op, enum view_type type,
                              const struct view_node *a, const struct view_node *b)
{
    struct view_node *n = arena_zalloc(p->c->arena, sizeof *n);
    n->op = op;
    n->type = type;
    n->a = a;
    n->b = b;
    return n;
}

static bool literal(struct parser *p, struct view_value *ret)
{
    long number;
    char digits[24];
    *ret = (struct view_value){ .type = VIEW_TEXT, .text = p->word, .len = p->len };
    if (p->kind == TOKEN_TEXT) {
        next(p);
        return true;
    }
    if (p->kind != TOKEN_NUMBER) {
        if (!is(p, "true") && !is(p, "false"))
            return false;
        *ret = (struct view_value){ .type = VIEW_BOOL, .number = is(p, "true") };
        next(p);
        return true;
    }
    (void)snprintf(digits, sizeof digits, "%.*s", (int)p->len, p->word);
    if (p->len >= sizeof digits || str_to_long(digits, 0, INT64_MAX, &number) < 0)
        fail(p, "'%.*s' is not a number", (int)MIN(p->len, 60u), p->word);
    else
        *ret = (struct view_value){ .type = VIEW_NUMBER, .number = number };
    next(p);
    return true;
}

static const struct view_node *parse_literal(struct parser *p)
{
    struct view_value value;
    if (!literal(p, &value))
        return NULL;
    struct view_node *n = node(p, VIEW_LITERAL, value.type, NULL, NULL);
    n->literal = value;
    return n;
}

/* ---- calls ---- */

static void check_arguments(struct parser *p, struct view_node *n, const struct view_function *f,
                            unsigned given)
{
    if (given != f->n_args)
        fail(p, "%s() takes %u arguments", f->name, f->n_args);
    else if ((n->a && n->a->type != VIEW_TEXT) || (n->b && n->b->type != VIEW_TEXT))
        fail(p, "%s() takes texts", f->name);
    if (p->code || !n->b || n->b->op != VIEW_LITERAL)
        return;
    struct ip_prefix *prefix = arena_alloc(p->c->arena, sizeof *prefix);
    if (ip_prefix_parse(n->b->literal.text, prefix) < 0)
        fail(p, "'%s' is not a network", n->b->literal.text);
    n->prefix = prefix;
}

static const struct view_node *parse_call(struct parser *p)
{
    const struct view_function *f = view_function_find(p->word, p->len);
    if (!f) {
        fail(p, "unknown name '%.*s'", (int)MIN(p->len, 60u), p->word);
        return NULL;
    }
    struct view_node *n = node(p, VIEW_CALL, f->type, NULL, NULL);
    unsigned given = 0;
    n->call = f->call;
    n->metadata = p->c->metadata;
    next(p);
    expect(p, "(");
    while (!p->code && !is(p, ")")) {
        if (given)
            expect(p, ",");
        const struct view_node *argument = parse_or(p);
        if (given++ == 0)
            n->a = argument;
        else
            n->b = argument;
    }
    expect(p, ")");
    if (!p->code)
        check_arguments(p, n, f, given);
    return n;
}

/* ---- the grammar ---- */

static const struct view_node *parse_primary(struct parser *p)
{
    const struct view_node *n = parse_literal(p);
    if (n || p->code)
        return n;
    if (take(p, "(")) {
        n = parse_or(p);
        expect(p, ")");
        return n;
    }
    if (p->kind == TOKEN_WORD)
        return parse_call(p);
    fail_here(p, "a value");
    return NULL;
}

static const struct view_node *parse_unary(struct parser *p)
{
    const struct view_node *n;
    if (++p->depth > VIEW_DEPTH_MAX)
        fail(p, "it nests deeper than %d", VIEW_DEPTH_MAX);
    if (p->code)
        return NULL;
    if (take(p, "!") || take(p, "not")) {
        n = parse_unary(p);
        if (n && n->type != VIEW_BOOL)
            fail(p, "only what is true or false can be negated");
        n = node(p, VIEW_NOT, VIEW_BOOL, n, NULL);
    } else {
        n = parse_primary(p);
    }
    p->depth--;
    return n;
}

static const struct view_node *parse_in(struct parser *p, const struct view_node *a)
{
    struct view_node *n = node(p, VIEW_IN, VIEW_BOOL, a, NULL);
    struct view_value *list = arena_alloc(p->c->arena, VIEW_LIST_MAX * sizeof *list);
    expect(p, "[");
    while (!p->code && !is(p, "]")) {
        if (n->n_list)
            expect(p, ",");
        if (n->n_list == VIEW_LIST_MAX)
            fail(p, "a list has more than %d elements", VIEW_LIST_MAX);
        else if (!literal(p, &list[n->n_list]))
            fail_here(p, "a literal");
        else if (list[n->n_list++].type != a->type)
            fail(p, "the list of 'in' holds something of another type");
    }
    expect(p, "]");
    n->list = list;
    return n;
}

static const struct view_node *parse_matches(struct parser *p, const struct view_node *a)
{
    struct view_node *n = node(p, VIEW_MATCHES, VIEW_BOOL, a, NULL);
    struct regex *re;
    struct err why;
    if (a->type != VIEW_TEXT || p->kind != TOKEN_TEXT) {
        fail(p, "'matches' takes a text and a regular expression in quotes");
    } else if (regex_compile(p->word, &re, &why) < 0) {
        fail(p, "%s", why.text);
    } else {
        p->c->keep(p->c->ctx, re);
        n->regex = re;
        next(p);
    }
    return n;
}

static const struct {
    const char *text;
    enum view_op op;
} operators[] = {
    { "==", VIEW_EQUAL },          { "!=", VIEW_DIFFERENT },  { "<", VIEW_LESS },
    { "<=", VIEW_AT_MOST },        { ">", VIEW_MORE },        { ">=", VIEW_AT_LEAST },
    { "startsWith", VIEW_STARTS }, { "endsWith", VIEW_ENDS }, { "contains", VIEW_CONTAINS },
};

static const struct view_node *parse_operator(struct parser *p, const struct view_node *a,
                                              unsigned i)
{
    enum view_op op = operators[i].op;
    const struct view_node *b = parse_unary(p);
    if (p->code)
        return NULL;
    if (a->type != b->type || (op >= VIEW_STARTS && a->type != VIEW_TEXT) ||
        (op >= VIEW_LESS && a->type == VIEW_BOOL))
        fail(p,
             "the two sides of '%s' do not fit (numbers stand without quotes, texts in quotes; "
             "ports "
             "and addresses are texts)",
             operators[i].text);
    return node(p, op, VIEW_BOOL, a, b);
}

static const struct view_node *parse_compare(struct parser *p)
{
    const struct view_node *a = parse_unary(p);
    if (p->code)
        return NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(operators); i++)
        if (take(p, operators[i].text))
            return parse_operator(p, a, i);
    if (take(p, "matches"))
        return parse_matches(p, a);
    if (take(p, "in"))
        return parse_in(p, a);
    if (!take(p, "not"))
        return a;
    expect(p, "in");
    return node(p, VIEW_NOT, VIEW_BOOL, parse_in(p, a), NULL);
}

static const struct view_node *parse_chain(struct parser *p, enum view_op op)
{
    const char *sign = op == VIEW_OR ? "||" : "&&", *word = op == VIEW_OR ? "or" : "and";
    const struct view_node *a = op == VIEW_OR ? parse_chain(p, VIEW_AND) : parse_compare(p);
    while (!p->code && (take(p, sign) || take(p, word))) {
        const struct view_node *b = op == VIEW_OR ? parse_chain(p, VIEW_AND) : parse_compare(p);
        if (!p->code && (a->type != VIEW_BOOL || b->type != VIEW_BOOL))
            fail(p, "'%s' takes what is true or false on both sides", sign);
        a = node(p, op, VIEW_BOOL, a, b);
    }
    return a;
}

static const struct view_node *parse_or(struct parser *p)
{
    return parse_chain(p, VIEW_OR);
}

int view_compile(const struct view_compiler *c, const char *text, const struct view_node **ret,
                 struct err *e)
{
    struct parser p = { .c = c, .text = text, .at = text, .e = e };
    if (strlen(text) > VIEW_TEXT_MAX)
        return err_set(e, ERR_LIMIT, "an expression is longer than %d bytes", VIEW_TEXT_MAX);
    next(&p);
    const struct view_node *n = parse_or(&p);
    if (!p.code && p.kind != TOKEN_END)
        fail_here(&p, "an operator");
    if (!p.code && n->type != VIEW_BOOL)
        fail(&p, "it gives neither true nor false");
    *ret = n;
    return p.code;
}
