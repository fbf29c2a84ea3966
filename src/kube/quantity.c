#include "kube/quantity.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
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
