#include "kube/quantity.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MILLI_MAX 9.0e18

static const struct {
    const char *suffix;
    double factor;
} suffixes[] = {
    { "", 1 },        { "n", 1e-9 },    { "u", 1e-6 },    { "m", 1e-3 },
    { "k", 1e3 },     { "M", 1e6 },     { "G", 1e9 },     { "T", 1e12 },
    { "P", 1e15 },    { "E", 1e18 },    { "Ki", 1024. },  { "Mi", 1048576. },
    { "Gi", 0x1p30 }, { "Ti", 0x1p40 }, { "Pi", 0x1p50 }, { "Ei", 0x1p60 },
};

/* Digits with at most one point among them; how many bytes, 0: none. */
static size_t number_length(const char *s)
{
    size_t sign = *s == '+' || *s == '-', whole = strspn(s + sign, "0123456789"), part = 0;
    if (s[sign + whole] == '.')
        part = 1 + strspn(s + sign + whole + 1, "0123456789");
    return whole + part > (part ? 1 : 0) ? sign + whole + part : 0;
}

/* NULL: it is none of the table. */
static const double *find_factor(const char *suffix)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (strcmp(suffix, suffixes[i].suffix) == 0)
            return &suffixes[i].factor;
    return NULL;
}

static bool is_exponent(const char *s)
{
    if (*s != 'e' && *s != 'E')
        return false;
    s++;
    s += *s == '+' || *s == '-';
    return *s && !s[strspn(s, "0123456789")];
}

bool quantity_is(const char *text)
{
    size_t n = number_length(text);
    return n && (find_factor(text + n) || is_exponent(text + n));
}

static int factor_of(const char *suffix, double *ret)
{
    const double *factor = find_factor(suffix);
    if (factor) {
        *ret = *factor;
        return 0;
    }
    if (!is_exponent(suffix))
        return ERR_PARSE;
    long exponent = strtol(suffix + 1, NULL, 10);
    if (exponent < -30 || exponent > 30)
        return ERR_PARSE;
    *ret = pow(10, (double)exponent);
    return 0;
}

int quantity_milli(const char *text, int64_t *ret)
{
    char number[64];
    double factor = 1;
    size_t n = number_length(text);
    if (!n || n >= sizeof number || factor_of(text + n, &factor) < 0)
        return ERR_PARSE;
    memcpy(number, text, n);
    number[n] = 0;
    /* What decimal fractions lose in binary is far below a thousandth. */
    double milli = ceil(strtod(number, NULL) * factor * 1000 - 1e-9);
    if (milli > MILLI_MAX || milli < -MILLI_MAX)
        return ERR_LIMIT;
    *ret = (int64_t)milli;
    return 0;
}

/* ---- the canonical form ---- */

__extension__ typedef __int128 wide;

#define NANO        1000000000
#define DIGITS_KEPT 27   /* of a number; more are beyond what is kept */
#define SCALE_KEPT  1000 /* of an exponent */

enum style { STYLE_SUFFIX, STYLE_EXPONENT, STYLE_BINARY };

struct parts {
    bool negative;
    wide digits;
    long scale; /* digits * 10^scale * 2^power */
    unsigned power;
    enum style style;
    bool rest; /* there was more, behind the last digit that is kept */
};

static bool read_suffix(const char *suffix, struct parts *p)
{
    static const char decimal[] = "num kMGTPE", binary[] = "KMGTPE";
    const char *at = *suffix ? strchr(suffix[1] == 'i' ? binary : decimal, *suffix) : NULL;
    if (is_exponent(suffix)) {
        long n = strtol(suffix + 1, NULL, 10);
        p->style = STYLE_EXPONENT;
        p->scale += n;
        return n > -SCALE_KEPT && n < SCALE_KEPT;
    }
    if (!*suffix)
        return true;
    if (suffix[1] == 'i') {
        p->style = STYLE_BINARY;
        p->power = 10 * (unsigned)(at - binary + 1);
    } else {
        p->scale += 3 * (at - decimal - 3);
    }
    return true;
}

static bool read_parts(const char *text, struct parts *p)
{
    size_t n = number_length(text), kept = 0;
    bool point = false;
    for (size_t i = 0; i < n; i++) {
        if (point && kept + 1 >= DIGITS_KEPT) {
            p->rest |= text[i] != '0';
        } else if (text[i] == '.') {
            point = true;
        } else if (text[i] == '-') {
            p->negative = true;
        } else if (text[i] != '+') {
            kept += p->digits > 0;
            p->digits = p->digits * 10 + (text[i] - '0');
            p->scale -= point;
        }
        if (kept >= DIGITS_KEPT)
            return false;
    }
    return read_suffix(text + n, p);
}

/* In thousand-millionths, rounded away from zero to so many places. False: too big. */
static bool nano_of(const struct parts *p, unsigned places, wide *ret)
{
    wide v = p->digits;
    bool rest = p->rest;
    long scale = p->scale + 9;
    if (__builtin_mul_overflow(v, (wide)1 << p->power, &v))
        return false;
    for (; v && scale > 0; scale--)
        if (__builtin_mul_overflow(v, 10, &v))
            return false;
    for (; v && scale < 0; scale++) {
        rest |= v % 10 != 0;
        v /= 10;
    }
    v += rest;
    wide step = 1;
    for (; places < 9; places++)
        step *= 10;
    *ret = (v + step - 1) / step * step;
    return true;
}

static void put(const struct parts *p, wide n, const char *suffix, char out[QUANTITY_TEXT_MAX])
{
    char digits[QUANTITY_TEXT_MAX];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(n % 10));
        n /= 10;
    } while (n);
    (void)snprintf(out, QUANTITY_TEXT_MAX, "%s%s%s", p->negative ? "-" : "", digits + at, suffix);
}

static void put_decimal(const struct parts *p, wide n, char out[QUANTITY_TEXT_MAX])
{
    static const char *const words[] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
    int exponent = -9;
    char suffix[16] = "";
    while (n && n % 1000 == 0 && (p->style == STYLE_EXPONENT || exponent < 18)) {
        n /= 1000;
        exponent += 3;
    }
    if (p->style != STYLE_EXPONENT)
        (void)snprintf(suffix, sizeof suffix, "%s", words[(exponent + 9) / 3]);
    else if (exponent)
        (void)snprintf(suffix, sizeof suffix, "e%d", exponent);
    put(p, n, suffix, out);
}

static void put_binary(const struct parts *p, wide n, char out[QUANTITY_TEXT_MAX])
{
    static const char *const words[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    size_t i = 0;
    if (n > INT64_MAX)
        n = INT64_MAX; /* more is not counted in these units */
    for (; n % 1024 == 0 && i + 1 < ARRAY_SIZE(words); i++)
        n /= 1024;
    put(p, n, words[i], out);
}

/* A whole number that nothing could be taken from: the original leaves how it is written. */
static bool is_left(const char *text, const struct parts *p, unsigned places)
{
    size_t n = number_length(text);
    const char *point = memchr(text, '.', n);
    if (p->digits > INT64_MAX / 10 || (point && point + 1 < text + n))
        return false;
    if (p->style == STYLE_BINARY)
        return p->digits % 1024 != 0 && p->digits << p->power <= INT64_MAX;
    return p->scale % 3 == 0 && p->digits % 1000 != 0 && p->scale >= -(long)places;
}

const char *quantity_canonical(const char *text, unsigned places, char out[QUANTITY_TEXT_MAX])
{
    struct parts p = { 0 };
    wide nano;
    if (!quantity_is(text) || !read_parts(text, &p) || !nano_of(&p, places, &nano))
        return text;
    if (nano == 0)
        return strcpy(out, "0");
    if (is_left(text, &p, places))
        return text;
    if (p.style == STYLE_BINARY && nano % NANO == 0 && nano / NANO >= 1024)
        put_binary(&p, nano / NANO, out);
    else
        put_decimal(&p, nano, out);
    return out;
}
