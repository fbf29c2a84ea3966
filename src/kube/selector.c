#include "kube/selector.h"

#include "base/cursor.h"
#include "base/str.h"
#include "kube/check.h"

#include <string.h>

#define SELECTOR_LEN_MAX 65536

enum selector_op { OP_EXISTS, OP_ABSENT, OP_IN, OP_NOT_IN, OP_GREATER, OP_LESS };

struct value {
    const char *text;
    struct value *next;
};

struct requirement {
    const char *key;
    enum selector_op op;
    long number;          /* OP_GREATER, OP_LESS */
    struct value *values; /* OP_IN, OP_NOT_IN */
    struct requirement *next;
};

struct selector {
    struct requirement *first;
};

struct reader {
    const char *text;
    struct cursor c;
    struct arena *arena;
    struct err *e;
};

static char peek(struct reader *r)
{
    return r->c.pos < r->c.len ? (char)r->c.base[r->c.pos] : 0;
}

static char peek_word(struct reader *r)
{
    while (peek(r) && strchr(" \t\r\n", peek(r)))
        (void)cursor_u8(&r->c);
    return peek(r);
}

static bool take(struct reader *r, const char *what)
{
    size_t n = strlen(what);
    (void)peek_word(r);
    if (cursor_left(&r->c) < n || memcmp(r->c.base + r->c.pos, what, n) != 0)
        return false;
    (void)cursor_take(&r->c, n);
    return true;
}

static int fail(struct reader *r, size_t at, const char *what)
{
    return err_set(r->e, ERR_PARSE, "selector \"%.200s\": character %zu: %s", r->text, at + 1,
                   what);
}

/* Everything up to a blank or one of "=!(),<>"; may be "". */
static const char *word(struct reader *r)
{
    (void)peek_word(r);
    size_t start = r->c.pos;
    while (peek(r) && !strchr(" \t\r\n=!(),<>", peek(r)))
        (void)cursor_u8(&r->c);
    return arena_strndup(r->arena, r->text + start, r->c.pos - start);
}

static int read_value(struct reader *r, struct value **ret)
{
    (void)peek_word(r);
    size_t at = r->c.pos;
    struct value *v = arena_zalloc(r->arena, sizeof *v);
    v->text = word(r);
    const char *wrong = check_label_value(v->text);
    if (wrong)
        return fail(r, at, wrong);
    *ret = v;
    return 0;
}

/* "(a, b, c)"; as in the original, "()" holds the empty value. */
static int read_values(struct reader *r, struct requirement *q)
{
    struct value **end = &q->values;
    if (!take(r, "("))
        return fail(r, r->c.pos, "expected '(' and a list of values");
    do {
        int code = read_value(r, end);
        if (code < 0)
            return code;
        end = &(*end)->next;
    } while (take(r, ","));
    return take(r, ")") ? 0 : fail(r, r->c.pos, "expected ',' or ')' in the list of values");
}

static int read_number(struct reader *r, struct requirement *q)
{
    (void)peek_word(r);
    size_t at = r->c.pos;
    if (str_to_long(word(r), INT64_MIN, INT64_MAX, &q->number) < 0)
        return fail(r, at, "expected a whole number");
    return 0;
}

static int read_operator(struct reader *r, struct requirement *q)
{
    q->op = OP_EXISTS;
    char next = peek_word(r);
    if (!next || next == ',')
        return 0;
    if (take(r, "!=")) {
        q->op = OP_NOT_IN;
        return read_value(r, &q->values);
    }
    if (take(r, "==") || take(r, "=")) {
        q->op = OP_IN;
        return read_value(r, &q->values);
    }
    if (take(r, ">") || take(r, "<")) {
        q->op = next == '>' ? OP_GREATER : OP_LESS;
        return read_number(r, q);
    }
    size_t at = r->c.pos;
    const char *op = word(r);
    if (strcmp(op, "in") != 0 && strcmp(op, "notin") != 0)
        return fail(r, at, "expected ',', '=', '==', '!=', '<', '>', in or notin behind the key");
    q->op = strcmp(op, "in") == 0 ? OP_IN : OP_NOT_IN;
    return read_values(r, q);
}

static int read_requirement(struct reader *r, struct requirement **ret)
{
    struct requirement *q = arena_zalloc(r->arena, sizeof *q);
    bool absent = take(r, "!");
    (void)peek_word(r);
    size_t at = r->c.pos;
    q->key = word(r);
    if (!*q->key)
        return fail(r, at, "expected a label key");
    const char *wrong = check_label_key(q->key);
    if (wrong)
        return fail(r, at, wrong);
    int code = 0;
    if (absent)
        q->op = OP_ABSENT;
    else
        code = read_operator(r, q);
    *ret = q;
    return code;
}

int selector_parse(const char *text, struct arena *a, const struct selector **ret, struct err *e)
{
    size_t len = strlen(text);
    struct reader r = { .text = text, .c = cursor_of(text, len), .arena = a, .e = e };
    struct selector *s = arena_zalloc(a, sizeof *s);
    struct requirement **end = &s->first;
    if (len > SELECTOR_LEN_MAX)
        return err_set(e, ERR_PARSE, "selector: longer than %d characters", SELECTOR_LEN_MAX);
    while (peek_word(&r)) {
        int code = read_requirement(&r, end);
        if (code < 0)
            return code;
        end = &(*end)->next;
        if (!peek_word(&r))
            break;
        if (!take(&r, ","))
            return fail(&r, r.c.pos, "expected ',' between requirements");
        if (!peek_word(&r))
            return fail(&r, r.c.pos, "expected a label key behind ','");
    }
    *ret = s;
    return 0;
}

static bool has_value(const struct requirement *q, const char *value)
{
    for (const struct value *v = q->values; v; v = v->next)
        if (strcmp(v->text, value) == 0)
            return true;
    return false;
}

static bool requirement_match(const struct requirement *q, const char *value)
{
    long number;
    switch (q->op) {
    case OP_EXISTS:
        return value != NULL;
    case OP_ABSENT:
        return value == NULL;
    case OP_IN:
        return value && has_value(q, value);
    case OP_NOT_IN:
        return !value || !has_value(q, value);
    case OP_GREATER:
    case OP_LESS:
        break;
    }
    if (!value || str_to_long(value, INT64_MIN, INT64_MAX, &number) < 0)
        return false;
    return q->op == OP_GREATER ? number > q->number : number < q->number;
}

bool selector_match(const struct selector *s, const struct meta *m)
{
    for (const struct requirement *q = s ? s->first : NULL; q; q = q->next)
        if (!requirement_match(q, meta_label(m, q->key)))
            return false;
    return true;
}
