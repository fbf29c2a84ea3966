/* What a compiled text becomes for one query. */
#include "dns/plugins/template.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

struct value {
    const char *text;
    size_t n;
    bool is_number;
    long long number;
    char buf[NAME_TEXT_MAX];
};

static void set_text(struct value *v, const char *text)
{
    v->text = text;
    v->n = strlen(text);
}

static void set_number(struct value *v, long long number)
{
    v->is_number = true;
    v->number = number;
    (void)snprintf(v->buf, sizeof v->buf, "%lld", number);
    set_text(v, v->buf);
}

/* Types and classes without a name are empty, as in the reference. */
static void set_mnemonic(struct value *v, const char *text, const char *generic)
{
    size_t n = strlen(generic);
    bool nameless = strncmp(text, generic, n) == 0 && isdigit((unsigned char)text[n]);
    set_text(v, nameless ? "" : text);
}

static const char *group(const struct template_data *d, const char *name, struct value *ret)
{
    long number;
    if (str_to_long(name, 0, REGEX_GROUPS, &number) < 0)
        number = regex_group(d->re, name);
    if (number < 0 || (unsigned)number > regex_groups(d->re))
        set_text(ret, "<no value>");
    else
        ret->text = regex_text(&d->match, (unsigned)number, &ret->n);
    return NULL;
}

static const char *match(const struct template_data *d, long long i, struct value *ret)
{
    if (i < 0 || i > (long long)regex_groups(d->re))
        return "index out of range";
    ret->text = regex_text(&d->match, (unsigned)i, &ret->n);
    return NULL;
}

static const char *evaluate(const struct expr *x, const struct template_data *d, struct value *ret);

/* parseInt TEXT BASE BITS */
static const char *parse_int(const struct expr *x, const struct template_data *d, struct value *ret)
{
    struct value text, base, bits;
    const char *why = evaluate(x->args[0], d, &text);
    if (!why)
        why = evaluate(x->args[1], d, &base);
    if (!why)
        why = evaluate(x->args[2], d, &bits);
    if (why)
        return why;
    char digits[72], *end;
    if (text.is_number || !base.is_number || !bits.is_number || base.number < 0 ||
        base.number == 1 || base.number > 36 || bits.number < 0 || bits.number > 64)
        return "parseInt: wrong kind of argument";
    (void)snprintf(digits, sizeof digits, "%.*s", (int)MIN(text.n, sizeof digits), text.text);
    errno = 0;
    long long number = strtoll(digits, &end, (int)base.number);
    if (errno || end == digits || *end || isspace((unsigned char)*digits))
        return "parseInt: not a number";
    long long limit = bits.number == 0 || bits.number == 64 ? 0 : 1LL << (bits.number - 1);
    if (limit && (number < -limit || number >= limit))
        return "parseInt: value out of range";
    set_number(ret, number);
    return NULL;
}

static const char *compare(const struct expr *x, const struct template_data *d, struct value *ret)
{
    struct value a, b;
    const char *why = evaluate(x->args[0], d, &a);
    if (!why)
        why = evaluate(x->args[1], d, &b);
    if (why)
        return why;
    if (a.is_number != b.is_number)
        return "incompatible types for comparison";
    bool same = a.n == b.n && memcmp(a.text, b.text, a.n) == 0;
    set_text(ret, same == (x->kind == EXPR_EQ) ? "true" : "");
    return NULL;
}

/* NULL, or why there is no value. */
static const char *evaluate(const struct expr *x, const struct template_data *d, struct value *ret)
{
    const struct question *q = &d->q->msg.q;
    const char *text;
    struct ip ip;
    ret->is_number = false;
    switch (x->kind) {
    case EXPR_STRING:
        set_text(ret, x->text);
        break;
    case EXPR_NUMBER:
        set_number(ret, x->number);
        break;
    case EXPR_NAME:
        set_text(ret, d->name);
        break;
    case EXPR_ZONE:
        set_text(ret, d->zone);
        break;
    case EXPR_TYPE:
        set_mnemonic(ret, rr_type_text(d->type, ret->buf), "TYPE");
        break;
    case EXPR_CLASS:
        set_mnemonic(ret, rr_class_text(d->class, ret->buf), "CLASS");
        break;
    case EXPR_REMOTE:
        ip = query_client(d->q);
        set_text(ret, ip_text(&ip, ret->buf));
        break;
    case EXPR_ID:
        set_number(ret, d->q->msg.id);
        break;
    case EXPR_QNAME:
        set_text(ret, name_to_text(q->name.wire, ret->buf));
        break;
    case EXPR_QTYPE:
        set_number(ret, q->type);
        break;
    case EXPR_QCLASS:
        set_number(ret, q->class);
        break;
    case EXPR_MATCH:
        return match(d, x->number, ret);
    case EXPR_GROUP:
        return group(d, x->text, ret);
    case EXPR_META:
        text = metadata_value(d->metadata, d->q, x->text);
        set_text(ret, text ? text : "");
        break;
    case EXPR_PARSE_INT:
        return parse_int(x, d, ret);
    case EXPR_EQ:
    case EXPR_NE:
        return compare(x, d, ret);
    }
    return NULL;
}

static bool is_true(const struct value *v)
{
    return v->is_number ? v->number != 0 : v->n > 0;
}

bool template_text_run(const struct template_text *t, const struct template_data *d, char *out,
                       const char **ret_why)
{
    struct wbuf w = wbuf_of(out, TEMPLATE_OUT_MAX - 1);
    for (size_t i = 0; i < t->n; i++) {
        const struct piece *p = &t->pieces[i];
        struct value v = { .text = "" };
        if (p->expr && (*ret_why = evaluate(p->expr, d, &v)))
            return false;
        if (p->kind == PIECE_TEXT)
            wbuf_put(&w, p->text, strlen(p->text));
        else if (p->kind == PIECE_VALUE)
            wbuf_put(&w, v.text, v.n);
        else if (p->kind == PIECE_JUMP || !is_true(&v))
            i = p->to - 1;
    }
    *ret_why = "the text is too long";
    out[w.pos] = 0;
    return !w.bad;
}
