/* LOC (RFC 1876) and APL (RFC 3123), the two types that measure. */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/ip.h"
#include "wire/rdata_special.h"

#include <string.h>

#define LOC_EQUATOR  0x80000000u
#define LOC_LAT_MAX  (90u * 3600000) /* thousandths of a second of arc */
#define LOC_LON_MAX  (180u * 3600000)
#define LOC_ALT_BASE 10000000u /* cm below the reference spheroid */

/* Size and precision: mantissa and power of ten in one byte, in cm. */
static bool put_size(struct strbuf *out, uint8_t v)
{
    uint64_t cm = v >> 4;
    if (v >> 4 > 9 || (v & 15) > 9 || (v & 15 && v >> 4 == 0)) /* zero has one form */
        return false;
    for (unsigned i = 0; i < (v & 15u); i++)
        cm *= 10;
    strbuf_printf(out, " %llu.%02llum", (unsigned long long)cm / 100, (unsigned long long)cm % 100);
    return true;
}

static bool put_angle(struct strbuf *out, uint32_t v, uint32_t max, char positive, char negative)
{
    uint32_t ms = v >= LOC_EQUATOR ? v - LOC_EQUATOR : LOC_EQUATOR - v;
    if (ms > max)
        return false;
    strbuf_printf(out, "%u %u %u.%03u %c ", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
                  ms % 1000, v >= LOC_EQUATOR ? positive : negative);
    return true;
}

bool loc_to_text(const uint8_t p[16], struct strbuf *out)
{
    if (p[0] != 0 || !put_angle(out, get_u32(p + 4), LOC_LAT_MAX, 'N', 'S') ||
        !put_angle(out, get_u32(p + 8), LOC_LON_MAX, 'E', 'W'))
        return false;
    int64_t cm = (int64_t)get_u32(p + 12) - LOC_ALT_BASE;
    int64_t up = cm < 0 ? -cm : cm;
    strbuf_printf(out, "%s%lld.%02lldm", cm < 0 ? "-" : "", (long long)up / 100,
                  (long long)up % 100);
    return put_size(out, p[1]) && put_size(out, p[2]) && put_size(out, p[3]);
}

/* "12", "12.3" with at most `places` decimals, as a whole number of the last place. */
static bool read_decimal(const char *p, size_t n, unsigned places, uint64_t *ret)
{
    const char *dot = memchr(p, '.', n);
    size_t whole = dot ? (size_t)(dot - p) : n, frac = dot ? n - whole - 1 : 0;
    uint64_t v = 0, f = 0;
    if (!text_number(p, whole, UINT32_MAX, &v) || frac > places ||
        (frac && !text_number(dot + 1, frac, UINT32_MAX, &f)))
        return false;
    for (unsigned i = 0; i < places; i++) {
        v *= 10;
        f *= i < places - frac ? 10 : 1;
    }
    *ret = v + f;
    return true;
}

struct words {
    const struct word *t;
    size_t n, at;
};

static const struct word *peek(const struct words *ts)
{
    return ts->at < ts->n ? &ts->t[ts->at] : NULL;
}

static bool is_letter(const struct word *t, char letter)
{
    return t && t->n == 1 && (t->p[0] & 0x5f) == letter;
}

/* Degrees [minutes [seconds]] and a direction. */
static bool read_angle(struct words *ts, uint32_t max, char positive, char negative, uint32_t *ret)
{
    static const struct {
        uint64_t max, unit;
        unsigned places;
    } parts[3] = { { 180, 3600000, 0 }, { 59, 60000, 0 }, { 59999, 1, 3 } };
    uint64_t ms = 0;
    for (unsigned i = 0; i < 3; i++) {
        const struct word *t = peek(ts);
        uint64_t v;
        if (i && (is_letter(t, positive) || is_letter(t, negative)))
            break;
        if (!t || !read_decimal(t->p, t->n, parts[i].places, &v) || v > parts[i].max)
            return false;
        ms += v * parts[i].unit;
        ts->at++;
    }
    bool plus = is_letter(peek(ts), positive);
    if ((!plus && !is_letter(peek(ts), negative)) || ms > max)
        return false;
    ts->at++;
    *ret = plus ? LOC_EQUATOR + (uint32_t)ms : LOC_EQUATOR - (uint32_t)ms;
    return true;
}

/* Metres, with or without an "m" behind them, in cm. */
static bool read_metres(const struct word *t, uint64_t *ret)
{
    size_t n = t->n;
    if (n && (t->p[n - 1] | 0x20) == 'm')
        n--;
    return read_decimal(t->p, n, 2, ret);
}

static bool read_size(const struct word *t, uint8_t *ret)
{
    uint64_t cm;
    unsigned power = 0;
    if (!read_metres(t, &cm) || cm > 9000000000u)
        return false;
    for (; cm > 9; cm /= 10)
        power++;
    *ret = (uint8_t)(cm << 4 | power);
    return true;
}

static bool read_altitude(const struct word *t, uint32_t *ret)
{
    bool minus = t && t->n && t->p[0] == '-';
    uint64_t cm;
    if (!t)
        return false;
    struct word rest = { t->p + minus, t->n - minus, false };
    if (!read_metres(&rest, &cm) || cm > (minus ? LOC_ALT_BASE : UINT32_MAX - LOC_ALT_BASE))
        return false;
    *ret = minus ? LOC_ALT_BASE - (uint32_t)cm : LOC_ALT_BASE + (uint32_t)cm;
    return true;
}

bool loc_from_text(const struct word *t, size_t n, struct wbuf *out)
{
    struct words ts = { t, n, 0 };
    uint8_t sizes[4] = { 0, 0x12, 0x16, 0x13 }; /* version; 1 m, 10 km, 10 m by default */
    uint32_t lat, lon, alt;
    if (!read_angle(&ts, LOC_LAT_MAX, 'N', 'S', &lat) ||
        !read_angle(&ts, LOC_LON_MAX, 'E', 'W', &lon) || !read_altitude(peek(&ts), &alt))
        return false;
    ts.at++;
    for (unsigned i = 1; i < 4 && ts.at < ts.n; i++, ts.at++) {
        if (!read_size(&ts.t[ts.at], &sizes[i]))
            return false;
    }
    wbuf_put(out, sizes, 4);
    wbuf_u32(out, lat);
    wbuf_u32(out, lon);
    wbuf_u32(out, alt);
    return ts.at == ts.n;
}

bool apl_to_text(const uint8_t *p, size_t n, struct strbuf *out)
{
    for (const uint8_t *end = p + n, *first = p; p < end; p += 4 + (p[3] & 0x7f)) {
        unsigned family = get_u16(p), len = p[3] & 0x7f;
        struct ip ip = { .family = family == 1 ? 4 : 6 };
        char text[IP_TEXT_MAX];
        /* Zero bytes at the end would not come back from text. */
        if (family < 1 || family > 2 || len > ip_len(&ip) || p[2] > 8 * ip_len(&ip) ||
            (len && p[3 + len] == 0))
            return false;
        memcpy(ip.bytes, p + 4, len);
        strbuf_printf(out, "%s%s%u:%s/%u", p == first ? "" : " ", p[3] & 0x80 ? "!" : "", family,
                      ip_text(&ip, text), p[2]);
    }
    return true;
}

bool apl_from_text(const struct word *t, struct wbuf *out)
{
    const char *p = t->p, *end = t->p + t->n;
    bool negated = t->n && *p == '!';
    p += negated;
    const char *colon = memchr(p, ':', (size_t)(end - p));
    const char *slash = memrchr(p, '/', (size_t)(end - p));
    uint64_t family, bits;
    char text[IP_TEXT_MAX] = "";
    struct ip ip;
    if (!colon || !slash || slash < colon || slash - colon - 1 >= IP_TEXT_MAX)
        return false;
    memcpy(text, colon + 1, (size_t)(slash - colon - 1));
    if (!text_number(p, (size_t)(colon - p), 2, &family) || ip_parse(text, &ip) != 0 ||
        family != (ip.family == 4 ? 1 : 2) ||
        !text_number(slash + 1, (size_t)(end - slash - 1), 8 * ip_len(&ip), &bits))
        return false;
    size_t len = ip_len(&ip);
    while (len && ip.bytes[len - 1] == 0)
        len--;
    wbuf_u16(out, (uint16_t)family);
    wbuf_u8(out, (uint8_t)bits);
    wbuf_u8(out, (uint8_t)(len | (negated ? 0x80 : 0)));
    wbuf_put(out, ip.bytes, len);
    return true;
}
