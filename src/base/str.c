#include "base/str.h"

#include "base/err.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

void strbuf_done(struct strbuf *b)
{
    free(b->p);
    *b = (struct strbuf){ 0 };
}

void strbuf_reset(struct strbuf *b)
{
    b->len = 0;
    if (b->p)
        b->p[0] = 0;
}

static void strbuf_room(struct strbuf *b, size_t n)
{
    if (b->len + n + 1 <= b->cap)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->len + n + 1)
        cap *= 2;
    b->p = xrealloc(b->p, cap);
    b->cap = cap;
}

void strbuf_add(struct strbuf *b, const char *s, size_t n)
{
    strbuf_room(b, n);
    memcpy(b->p + b->len, s, n);
    b->len += n;
    b->p[b->len] = 0;
}

void strbuf_puts(struct strbuf *b, const char *s)
{
    strbuf_add(b, s, strlen(s));
}

void strbuf_putc(struct strbuf *b, char c)
{
    strbuf_add(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    strbuf_room(b, (size_t)n);
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void strbuf_json(struct strbuf *b, const char *text)
{
    const char *plain = text; /* what needs no escape, as a whole */
    strbuf_putc(b, '"');
    for (; *text; text++) {
        if (*text != '"' && *text != '\\' && (unsigned char)*text >= ' ')
            continue;
        strbuf_add(b, plain, (size_t)(text - plain));
        strbuf_printf(b, "\\u%04x", (unsigned char)*text);
        plain = text + 1;
    }
    strbuf_add(b, plain, (size_t)(text - plain));
    strbuf_putc(b, '"');
}

char *strbuf_steal(struct strbuf *b)
{
    strbuf_room(b, 0);
    b->p[b->len] = 0;
    char *p = b->p;
    *b = (struct strbuf){ 0 };
    return p;
}

bool str_eq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

char *str_lower(char *s)
{
    for (char *p = s; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
    return s;
}

int str_to_long(const char *s, long min, long max, long *ret_value)
{
    char *end = NULL;
    if (!isdigit((unsigned char)*s) && !(*s == '-' && isdigit((unsigned char)s[1])))
        return ERR_PARSE;
    errno = 0;
    long v = strtol(s, &end, 10);
    if (*end)
        return ERR_PARSE;
    if (errno == ERANGE || v < min || v > max)
        return ERR_LIMIT;
    *ret_value = v;
    return 0;
}

/* Longest first, so that "ms" is not read as "m". "µs" is accepted in both its code points. */
static const struct {
    const char *name;
    unsigned long long ns;
} duration_units[] = {
    { "ns", 1 },       { "us", 1000 },      { "\xc2\xb5s", 1000 },   { "\xce\xbcs", 1000 },
    { "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000ULL }, { "h", 3600000000000ULL },
};

static int duration_unit(const char **s, unsigned long long *ret_ns)
{
    for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
        if (!str_starts(*s, duration_units[i].name))
            continue;
        *s += strlen(duration_units[i].name);
        *ret_ns = duration_units[i].ns;
        return 0;
    }
    return ERR_PARSE;
}

/* Decimal digits; too many for the type give ERR_LIMIT, or are cut off when they are a fraction's.
 * *ret_scale: 10 to the number of digits read. */
static int duration_digits(const char **s, bool fraction, unsigned long long *ret_value,
                           double *ret_scale)
{
    unsigned long long value = 0;
    double scale = 1;
    bool full = false;
    for (; isdigit((unsigned char)**s); (*s)++) {
        unsigned digit = (unsigned)(**s - '0');
        full = full || value > ((unsigned long long)LLONG_MAX - digit) / 10;
        if (full && !fraction)
            return ERR_LIMIT;
        if (full)
            continue;
        value = 10 * value + digit;
        scale *= 10;
    }
    *ret_value = value;
    *ret_scale = scale;
    return 0;
}

/* One "12.5h"; whole and fraction are kept apart, so that no nanosecond is lost to rounding. */
static int duration_part(const char **s, unsigned long long *ret_ns)
{
    unsigned long long whole, part = 0, unit;
    double scale = 1;
    const char *start = *s;
    int ret = duration_digits(s, false, &whole, &scale);
    if (ret < 0)
        return ret;
    size_t digits = (size_t)(*s - start);
    if (**s == '.') {
        start = ++*s;
        (void)duration_digits(s, true, &part, &scale);
        digits += (size_t)(*s - start);
    }
    if (!digits || duration_unit(s, &unit) < 0)
        return ERR_PARSE;
    if (whole > (unsigned long long)LLONG_MAX / unit)
        return ERR_LIMIT;
    *ret_ns = whole * unit + (unsigned long long)((double)part * ((double)unit / scale));
    return 0;
}

int str_to_duration(const char *s, long long *ret_ns)
{
    bool negative = *s == '-';
    unsigned long long total = 0;
    if (*s == '-' || *s == '+')
        s++;
    if (!*s)
        return ERR_PARSE;
    if (strcmp(s, "0") == 0)
        s++;
    while (*s) {
        unsigned long long part;
        int ret = duration_part(&s, &part);
        if (ret < 0)
            return ret;
        total += part; /* cannot wrap: both are below 2^63 plus one unit */
        if (total > (unsigned long long)LLONG_MAX)
            return ERR_LIMIT;
    }
    *ret_ns = negative ? -(long long)total : (long long)total;
    return 0;
}
