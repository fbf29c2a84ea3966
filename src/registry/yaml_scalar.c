#include "registry/yaml_scalar.h"

#include "base/str.h"
#include "registry/value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 512 /* bytes of a number's text; longer ones are texts */
#define KEY_DIGITS 9   /* enough to tell any two numbers of single precision apart */

enum scalar_kind { SCALAR_TEXT, SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_UINT, SCALAR_REAL };

struct scalar {
    enum scalar_kind kind;
    bool truth;
    long long integer;
    unsigned long long big; /* SCALAR_UINT: beyond the largest of the former */
    double real;
};

/* ---- words ---- */

static bool read_word(const char *s, struct scalar *ret)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const yes[] = { "y",    "Y",    "yes", "Yes", "YES", "true",
                                       "True", "TRUE", "on",  "On",  "ON",  NULL };
    static const char *const no[] = { "n",     "N",     "no",  "No",  "NO",  "false",
                                      "False", "FALSE", "off", "Off", "OFF", NULL };
    static const char *const nan[] = { ".nan", ".NaN", ".NAN", NULL };
    static const char *const inf[] = { ".inf", ".Inf", ".INF", NULL };
    bool sign = *s == '+' || *s == '-';
    *ret = (struct scalar){ .truth = value_is_one_of(s, yes) };
    if (value_is_one_of(s, nulls))
        ret->kind = SCALAR_NULL;
    else if (ret->truth || value_is_one_of(s, no))
        ret->kind = SCALAR_BOOL;
    else if (value_is_one_of(s, nan))
        *ret = (struct scalar){ .kind = SCALAR_REAL, .real = NAN };
    else if (value_is_one_of(s + sign, inf))
        *ret = (struct scalar){ .kind = SCALAR_REAL, .real = *s == '-' ? -INFINITY : INFINITY };
    return ret->kind != SCALAR_TEXT;
}

/* ---- numbers ---- */

/* Where digits begin behind sign and prefix, and of which base they are. */
static const char *find_digits(const char *s, int *ret_base)
{
    s += *s == '+' || *s == '-';
    *ret_base = 10;
    if (*s != '0' || !s[1])
        return s;
    int mark = tolower((unsigned char)s[1]);
    *ret_base = mark == 'x' ? 16 : mark == 'b' ? 2 : 8;
    return mark == 'x' || mark == 'b' || mark == 'o' ? s + 2 : s + 1;
}

static bool read_integer(const char *s, struct scalar *ret)
{
    int base;
    char *end;
    const char *digits = find_digits(s, &base);
    if (!isalnum((unsigned char)*digits)) /* no second sign, and no blank */
        return false;
    errno = 0;
    unsigned long long n = strtoull(digits, &end, base);
    unsigned long long most = (unsigned long long)INT64_MAX + (*s == '-');
    if (*end || errno || (*s == '-' && n > most) || (*s == '+' && n > most))
        return false;
    ret->kind = n > most ? SCALAR_UINT : SCALAR_INT;
    ret->big = n;
    ret->integer = *s == '-' ? (long long)(0 - n) : (long long)n;
    return true;
}

/* [-+]? (.digits | digits (. digits?)?) ([eE] [-+]? digits)? */
static bool is_decimal(const char *s)
{
    s += *s == '+' || *s == '-';
    size_t whole = strspn(s, "0123456789"), part = 0;
    s += whole;
    if (*s == '.')
        part = strspn(s + 1, "0123456789"), s += part + 1;
    if (!whole && !part)
        return false;
    if (*s != 'e' && *s != 'E')
        return !*s;
    s++;
    s += *s == '+' || *s == '-';
    return *s && !s[strspn(s, "0123456789")];
}

static bool read_real(const char *s, struct scalar *ret)
{
    double d = is_decimal(s) ? strtod(s, NULL) : NAN;
    if (!isfinite(d))
        return false;
    *ret = (struct scalar){ .kind = SCALAR_REAL, .real = d };
    return true;
}

static void read_scalar(const char *s, struct scalar *ret)
{
    char plain[NUMBER_MAX];
    size_t n = 0;
    if (read_word(s, ret) || !strchr("+-.0123456789", *s) || strlen(s) >= sizeof plain)
        return;
    if (*s == '.') {
        (void)read_real(s, ret);
        return;
    }
    for (; *s; s++)
        if (*s != '_')
            plain[n++] = *s;
    plain[n] = 0;
    if (!read_integer(plain, ret) && !read_real(plain, ret))
        ret->kind = SCALAR_TEXT;
}

static json_t *text_value(const char *text)
{
    json_t *made = json_string(text);
    return made ? made : json_string(""); /* what is no UTF-8 */
}

json_t *yaml_scalar(const char *text, struct err *e)
{
    struct scalar s;
    json_t *made;
    read_scalar(text, &s);
    switch (s.kind) {
    case SCALAR_NULL:
        return json_null();
    case SCALAR_BOOL:
        return json_boolean(s.truth);
    case SCALAR_INT:
        return json_integer(s.integer);
    case SCALAR_UINT:
        return json_real((double)s.big);
    case SCALAR_REAL:
        made = isfinite(s.real) ? json_real(s.real) : NULL;
        if (!made)
            (void)err_set(e, ERR_INVALID, "json: unsupported value: %s",
                          isnan(s.real) ? "NaN"
                          : s.real > 0  ? "+Inf"
                                        : "-Inf");
        return made;
    default:
        return text_value(text);
    }
}

bool yaml_is_text(const char *text)
{
    struct scalar s;
    read_scalar(text, &s);
    return s.kind == SCALAR_TEXT;
}

/* ---- documents ---- */

/* The shortest text that is this number again, in single precision, as the original has it. */
static void put_real(double real, struct strbuf *out)
{
    char text[40] = "";
    if (!isfinite(real)) {
        strbuf_puts(out, isnan(real) ? ".nan" : real > 0 ? ".inf" : "-.inf");
        return;
    }
    int digits = 0;
    do
        (void)snprintf(text, sizeof text, "%.*e", digits, (double)(float)real);
    while ((float)strtod(text, NULL) != (float)real && ++digits < KEY_DIGITS);
    long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 6) /* no exponent is written then */
        (void)snprintf(text, sizeof text, "%.*f", MAX(digits - (int)exponent, 0),
                       (double)(float)real);
    strbuf_puts(out, text);
}

static int put_key(const struct tree *c, struct strbuf *out, struct err *e)
{
    struct scalar s = { .kind = SCALAR_TEXT };
    if (!c->key_quoted)
        read_scalar(c->key, &s);
    if (s.kind == SCALAR_NULL || s.kind == SCALAR_UINT)
        return err_set(e, ERR_INVALID, "line %d: \"%.60s\" is no text, and no key in JSON", c->line,
                       c->key);
    if (s.kind == SCALAR_BOOL)
        strbuf_puts(out, s.truth ? "true" : "false");
    else if (s.kind == SCALAR_INT)
        strbuf_printf(out, "%lld", s.integer);
    else if (s.kind == SCALAR_REAL)
        put_real(s.real, out);
    else
        strbuf_puts(out, c->key);
    return 0;
}

static json_t *mapping(const struct tree *t, struct err *e)
{
    json_t *made = json_object();
    struct strbuf key = { 0 };
    int code = 0;
    for (const struct tree *c = t->child; c && code == 0; c = c->next) {
        strbuf_reset(&key);
        code = put_key(c, &key, e);
        json_t *value = code == 0 ? yaml_document(c, e) : NULL;
        if (!value)
            code = ERR_INVALID;
        else
            json_object_set_new(made, key.p ? key.p : "", value);
    }
    strbuf_done(&key);
    if (code == 0)
        return made;
    json_decref(made);
    return NULL;
}

static json_t *sequence(const struct tree *t, struct err *e)
{
    json_t *made = json_array();
    for (const struct tree *c = t->child; c; c = c->next) {
        json_t *value = yaml_document(c, e);
        if (!value) {
            json_decref(made);
            return NULL;
        }
        json_array_append_new(made, value);
    }
    return made;
}

json_t *yaml_document(const struct tree *t, struct err *e)
{
    switch ((enum tree_kind)t->kind) {
    case TREE_MAPPING:
        return mapping(t, e);
    case TREE_SEQUENCE:
        return sequence(t, e);
    case TREE_SCALAR:
        return t->quoted ? text_value(t->text) : yaml_scalar(t->text, e);
    default:
        return json_null();
    }
}
