#include "kube/timestamp.h"

#include "base/cursor.h"
#include "base/err.h"

#include <stdio.h>
#include <time.h>

/* n digits as a number within [min, max]. */
static long digits(struct cursor *c, unsigned n, long min, long max)
{
    long value = 0;
    while (n--) {
        uint8_t d = cursor_u8(c);
        c->bad |= d < '0' || d > '9';
        value = value * 10 + (d - '0');
    }
    c->bad |= value < min || value > max;
    return value;
}

static void expect(struct cursor *c, char a, char b)
{
    uint8_t got = cursor_u8(c);
    c->bad |= got != (uint8_t)a && got != (uint8_t)b;
}

static uint8_t peek(const struct cursor *c)
{
    return !c->bad && c->pos < c->len ? c->base[c->pos] : 0;
}

/* Days since 1970-01-01 of a Gregorian date (years counted from March, so that the leap day is
 * last). */
static int64_t days_of(long year, long month, long day)
{
    year -= month <= 2;
    long month_from_march = (month + 9) % 12;
    return 365 * (int64_t)year + year / 4 - year / 100 + year / 400 +
           (153 * month_from_march + 2) / 5 + day - 1 - 719468;
}

/* Nanoseconds; digits past the ninth are dropped. */
static int64_t fraction(struct cursor *c)
{
    int64_t ns = 0, unit = 100000000;
    if (peek(c) != '.')
        return 0;
    (void)cursor_u8(c);
    c->bad |= peek(c) < '0' || peek(c) > '9';
    for (; peek(c) >= '0' && peek(c) <= '9'; unit /= 10)
        ns += unit * (cursor_u8(c) - '0');
    return ns;
}

/* Seconds to subtract. */
static int64_t zone_offset(struct cursor *c)
{
    uint8_t sign = cursor_u8(c);
    if (sign == 'Z' || sign == 'z')
        return 0;
    c->bad |= sign != '+' && sign != '-';
    int64_t seconds = 3600 * digits(c, 2, 0, 23);
    expect(c, ':', ':');
    seconds += 60 * digits(c, 2, 0, 59);
    return sign == '-' ? -seconds : seconds;
}

int timestamp_parse(const char *text, int64_t *ret_ns)
{
    struct cursor c = cursor_of(text, strlen(text));
    long year = digits(&c, 4, 1970, 2261);
    expect(&c, '-', '-');
    long month = digits(&c, 2, 1, 12);
    expect(&c, '-', '-');
    long day = digits(&c, 2, 1, 31);
    expect(&c, 'T', 't');
    int64_t seconds = 3600 * digits(&c, 2, 0, 23);
    expect(&c, ':', ':');
    seconds += 60 * digits(&c, 2, 0, 59);
    expect(&c, ':', ':');
    seconds += digits(&c, 2, 0, 60);
    int64_t ns = fraction(&c);
    seconds += 86400 * days_of(year, month, day) - zone_offset(&c);
    if (c.bad || cursor_left(&c))
        return ERR_PARSE;
    *ret_ns = seconds * 1000000000 + ns;
    return 0;
}

char *timestamp_text(int64_t seconds, int64_t nanos, char out[TIMESTAMP_TEXT_MAX])
{
    time_t t = seconds;
    struct tm tm = { 0 };
    (void)gmtime_r(&t, &tm);
    size_t n = strftime(out, TIMESTAMP_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (nanos)
        (void)snprintf(out + n, TIMESTAMP_TEXT_MAX - n, ".%06dZ", (int)(nanos / 1000 % 1000000));
    else
        (void)snprintf(out + n, TIMESTAMP_TEXT_MAX - n, "Z");
    return out;
}
