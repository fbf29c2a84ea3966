/* Rdata from presentation form, along the table of types (RFC 1035 section 5.1). */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/ip.h"
#include "wire/radix.h"
#include "wire/rdata_special.h"
#include "wire/rdata_table.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#define WORDS_MAX 1024 /* of one record */
#define RDATA_MAX 65535

struct rtext {
    struct word words[WORDS_MAX];
    size_t n, at;
    const uint8_t *origin;
    struct wbuf *out;
};

static bool put_number(struct wbuf *out, uint64_t v, unsigned size)
{
    while (size--)
        wbuf_u8(out, (uint8_t)(v >> 8 * size));
    return true;
}

static bool take_name(const struct word *t, const uint8_t *origin, struct wbuf *out)
{
    struct name n;
    if (t->quoted || name_from_text_at(t->p, t->n, origin, &n) != 0)
        return false;
    wbuf_put(out, n.wire, n.len);
    return true;
}

static bool take_string(const struct word *t, struct wbuf *out)
{
    uint8_t bytes[255];
    long n = text_unescape(t->p, t->n, bytes, sizeof bytes);
    if (n < 0)
        return false;
    wbuf_u8(out, (uint8_t)n);
    wbuf_put(out, bytes, (size_t)n);
    return true;
}

/* Text as long as the rdata may be. */
static bool take_long_string(const struct word *t, struct wbuf *out)
{
    long n = text_unescape(t->p, t->n, out->base + out->pos, out->cap - out->pos);
    if (n >= 0)
        out->pos += (size_t)n;
    return n >= 0;
}

static bool take_tag(const struct word *t, struct wbuf *out)
{
    wbuf_u8(out, (uint8_t)t->n);
    wbuf_put(out, t->p, t->n);
    return t->n <= 255; /* its characters are checked with the whole */
}

static bool take_ip(const struct word *t, unsigned family, struct wbuf *out)
{
    char text[IP_TEXT_MAX] = "";
    struct ip ip;
    if (t->n >= sizeof text)
        return false;
    memcpy(text, t->p, t->n);
    if (ip_parse(text, &ip) != 0 || ip.family != family)
        return false;
    wbuf_put(out, ip.bytes, ip_len(&ip));
    return true;
}

static bool take_type(const struct word *t, uint16_t *ret)
{
    char text[16] = "";
    if (t->n >= sizeof text)
        return false;
    memcpy(text, t->p, t->n);
    return rr_type_from_text(text, ret) == 0;
}

static bool take_error(const struct word *t, struct wbuf *out)
{
    char text[16] = "";
    uint64_t v;
    uint16_t code;
    if (t->n >= sizeof text)
        return false;
    memcpy(text, t->p, t->n);
    if (strcasecmp(text, "BADSIG") == 0)
        code = RCODE_BADVERS;
    else if (text_number(t->p, t->n, UINT16_MAX, &v))
        code = (uint16_t)v;
    else if (rcode_from_text(text, &code) != 0)
        return false;
    wbuf_u16(out, code);
    return true;
}

/* YYYYMMDDHHmmSS, or seconds since 1970 (RFC 4034 section 3.2). */
static bool take_date(const struct word *t, struct wbuf *out)
{
    struct tm tm = { 0 };
    char text[15] = "";
    uint64_t v;
    if (t->n != 14) {
        if (!text_number(t->p, t->n, UINT32_MAX, &v))
            return false;
        return put_number(out, v, 4);
    }
    memcpy(text, t->p, 14);
    if (!text_number(text, 14, UINT64_MAX / 16, &v))
        return false;
    const char *end = strptime(text, "%Y%m%d%H%M%S", &tm);
    time_t seconds = timegm(&tm);
    if (!end || *end || seconds < 0 || seconds > UINT32_MAX)
        return false;
    return put_number(out, (uint64_t)seconds, 4);
}

static bool take_eui(const struct word *t, unsigned size, struct wbuf *out)
{
    struct radix_reader r = { .r = &radix_hex };
    if (t->n != 3 * size - 1)
        return false;
    for (unsigned i = 0; i < size; i++) {
        if ((i && t->p[3 * i - 1] != '-') || !radix_read(&r, t->p + 3 * i, 2, out))
            return false;
    }
    return true;
}

/* Digits behind a length byte; "-" is nothing at all. */
static bool take_short_digits(const struct word *t, const struct radix *radix, struct wbuf *out)
{
    struct radix_reader r = { .r = radix };
    size_t at = out->pos;
    wbuf_u8(out, 0);
    bool none = t->n == 1 && t->p[0] == '-' && radix == &radix_hex;
    if (!none && (!t->n || !radix_read(&r, t->p, t->n, out) || !radix_end(&r)))
        return false;
    if (out->bad || out->pos - at - 1 > 255)
        return false;
    out->base[at] = (uint8_t)(out->pos - at - 1);
    return true;
}

static bool take_code(char kind, const struct word *t, struct wbuf *out)
{
    uint64_t v;
    if (text_number(t->p, t->n, kind == 'K' ? 255 : UINT16_MAX, &v) ||
        (kind == 'K' ? algorithm_from_text(t->p, t->n, &v) : cert_type_from_text(t->p, t->n, &v)))
        return put_number(out, v, kind == 'K' ? 1 : 2);
    return false;
}

static bool take_type_field(const struct word *t, struct wbuf *out)
{
    uint16_t type;
    if (!take_type(t, &type))
        return false;
    wbuf_u16(out, type);
    return true;
}

/* A field that is one word. */
static bool take_one(char kind, const struct word *t, struct wbuf *out)
{
    uint64_t v;
    switch (kind) {
    case '1':
        return text_number(t->p, t->n, UINT8_MAX, &v) && put_number(out, v, 1);
    case '2':
        return text_number(t->p, t->n, UINT16_MAX, &v) && put_number(out, v, 2);
    case '4':
        return text_number(t->p, t->n, UINT32_MAX, &v) && put_number(out, v, 4);
    case '8':
        return text_number(t->p, t->n, (1ull << 48) - 1, &v) && put_number(out, v, 6);
    case 'd':
        return text_duration(t->p, t->n, &v) && put_number(out, v, 4);
    case 't':
        return take_date(t, out);
    case 'T':
        return take_type_field(t, out);
    case 'e':
        return take_error(t, out);
    case 'a':
    case '6':
        return take_ip(t, kind == 'a' ? 4 : 6, out);
    case 'u':
    case 'U':
        return take_eui(t, kind == 'u' ? 6 : 8, out);
    case 's':
        return take_string(t, out);
    case 'q':
        return take_long_string(t, out);
    case 'c':
        return take_tag(t, out);
    case 'H':
        return take_short_digits(t, &radix_hex, out);
    case '3':
        return take_short_digits(t, &radix_32hex, out);
    case 'C':
    case 'K':
        return take_code(kind, t, out);
    default:
        return false;
    }
}

static const struct word *next(struct rtext *x)
{
    return x->at < x->n ? &x->words[x->at++] : NULL;
}

/* All words that are left, as digits of one run. */
static bool take_digits(struct rtext *x, const struct radix *radix)
{
    struct radix_reader r = { .r = radix };
    for (const struct word *t; (t = next(x));) {
        if (!radix_read(&r, t->p, t->n, x->out))
            return false;
    }
    return r.n_digits > 0 && radix_end(&r);
}

static bool take_bitmap(struct rtext *x)
{
    uint8_t bits[8192] = { 0 };
    uint16_t type;
    for (const struct word *t; (t = next(x));) {
        if (!take_type(t, &type))
            return false;
        bits[type / 8] |= (uint8_t)(0x80 >> type % 8);
    }
    for (unsigned window = 0; window < 256; window++) {
        const uint8_t *p = bits + 32 * window;
        uint8_t len = 32;
        while (len && p[len - 1] == 0)
            len--;
        if (!len)
            continue;
        wbuf_u8(x->out, (uint8_t)window);
        wbuf_u8(x->out, len);
        wbuf_put(x->out, p, len);
    }
    return true;
}

/* A length and, if it is not zero, that many bytes as base64. */
static bool take_sized(struct rtext *x)
{
    const struct word *t = next(x);
    struct radix_reader r = { .r = &radix_64 };
    uint64_t len;
    if (!t || !text_number(t->p, t->n, UINT16_MAX, &len))
        return false;
    wbuf_u16(x->out, (uint16_t)len);
    size_t at = x->out->pos;
    if (len && (!(t = next(x)) || !radix_read(&r, t->p, t->n, x->out)))
        return false;
    return radix_end(&r) && x->out->pos - at == len;
}

/* The form is the number two bytes before. */
static bool take_gateway(struct rtext *x)
{
    const struct word *t = next(x);
    unsigned form = x->out->bad ? 0 : x->out->base[x->out->pos - 2];
    if (!t)
        return false;
    switch (form) {
    case 0:
        return t->n == 1 && t->p[0] == '.';
    case 1:
    case 2:
        return take_ip(t, form == 1 ? 4 : 6, x->out);
    case 3:
        return take_name(t, x->origin, x->out);
    }
    return false;
}

static bool take_identity(struct rtext *x)
{
    const struct word *alg = next(x), *hit = next(x), *key = next(x);
    struct radix_reader h = { .r = &radix_hex }, k = { .r = &radix_64 };
    size_t at = x->out->pos;
    uint64_t v;
    wbuf_u32(x->out, 0);
    if (!key || !text_number(alg->p, alg->n, UINT8_MAX, &v) ||
        !radix_read(&h, hit->p, hit->n, x->out) || !radix_end(&h))
        return false;
    size_t key_at = x->out->pos, hit_len = key_at - at - 4;
    if (hit_len > UINT8_MAX || !radix_read(&k, key->p, key->n, x->out) || !radix_end(&k) ||
        x->out->bad || x->out->pos - key_at > UINT16_MAX)
        return false;
    x->out->base[at] = (uint8_t)hit_len;
    x->out->base[at + 1] = (uint8_t)v;
    put_u16(x->out->base + at + 2, (uint16_t)(x->out->pos - key_at));
    return true;
}

/* One or more strings, names or APL items: what is left. */
static bool take_rest(struct rtext *x, char kind)
{
    bool ok = kind != 'S' || x->at < x->n;
    for (const struct word *t; ok && (t = next(x));) {
        if (kind == 'S')
            ok = take_string(t, x->out);
        else
            ok = kind == 'R' ? take_name(t, x->origin, x->out) : apl_from_text(t, x->out);
    }
    return ok;
}

static bool take_field(struct rtext *x, char kind)
{
    const struct word *rest = x->words + x->at;
    size_t n = x->n - x->at;
    switch (kind) {
    case 'n':
    case 'N':
        rest = next(x);
        return rest && take_name(rest, x->origin, x->out);
    case 'S':
    case 'R':
    case 'L':
        return take_rest(x, kind);
    case 'h':
        return take_digits(x, &radix_hex);
    case 'o':
        return n == 0 || take_digits(x, &radix_64);
    case 'b':
        return take_digits(x, &radix_64);
    case 'm':
        return take_sized(x);
    case 'w':
        return take_bitmap(x);
    case 'g':
        return take_gateway(x);
    case 'I':
        return take_identity(x);
    case 'l':
        x->at = x->n;
        return loc_from_text(rest, n, x->out);
    case 'p':
        x->at = x->n;
        return params_from_text(rest, n, x->out);
    default:
        rest = next(x);
        return rest && take_one(kind, rest, x->out);
    }
}

static const char *field_noun(char kind)
{
    static const struct {
        const char *kinds, *noun;
    } nouns[] = {
        { "nNR", "a domain name" },
        { "1", "a number up to 255" },
        { "2", "a number up to 65535" },
        { "4", "a number up to 4294967295" },
        { "8", "a number of up to 48 bits" },
        { "d", "a number of seconds" },
        { "t", "a date like 20260131235959" },
        { "T", "a record type" },
        { "e", "an error code" },
        { "a", "an IPv4 address" },
        { "6", "an IPv6 address" },
        { "uU", "bytes like 00-00-5e-00-53-2a" },
        { "sS", "a string of at most 255 bytes" },
        { "q", "a string" },
        { "hH", "hexadecimal digits" },
        { "bo", "base64" },
        { "3", "base32hex" },
        { "m", "a length and that many bytes as base64" },
        { "w", "a list of record types" },
        { "p", "parameters like port=8443, each key once, mandatory ones present" },
        { "C", "a certificate type" },
        { "K", "a DNSSEC algorithm" },
        { "l", "a place like 52 22 23 N 4 53 32 E -2m" },
        { "L", "prefixes like 1:10.0.0.0/8" },
        { "g", "a gateway of the form the second number says" },
        { "I", "algorithm, identity in hexadecimal and key in base64" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(nouns); i++) {
        if (strchr(nouns[i].kinds, kind))
            return nouns[i].noun;
    }
    return "the form \\# LENGTH HEX";
}

/* RFC 3597 section 5: \# length hexadecimal. */
static int take_opaque(struct rtext *x, uint16_t type, struct err *e)
{
    char buf[16];
    uint64_t len;
    struct radix_reader r = { .r = &radix_hex };
    size_t start = x->out->pos;
    x->at = 2;
    if (x->n < 2 || !text_number(x->words[1].p, x->words[1].n, RDATA_MAX, &len))
        return err_set(e, ERR_PARSE, "rdata of %s: after \\# a length up to 65535 is expected",
                       rr_type_text(type, buf));
    for (const struct word *t; (t = next(x));) {
        if (!radix_read(&r, t->p, t->n, x->out))
            return err_set(e, ERR_PARSE, "rdata of %s: \"%.*s\" is not hexadecimal",
                           rr_type_text(type, buf), (int)MIN(t->n, 80u), t->p);
    }
    if (!radix_end(&r) || (!x->out->bad && x->out->pos - start != len))
        return err_set(e, ERR_PARSE, "rdata of %s: there are not %u bytes behind \\# %u",
                       rr_type_text(type, buf), (unsigned)len, (unsigned)len);
    return 0;
}

static int take_fields(struct rtext *x, uint16_t type, struct err *e)
{
    char buf[16];
    const char *fields = rr_row(type)->fields;
    if (!fields)
        return err_set(e, ERR_PARSE, "rdata of %s: only the form \\# LENGTH HEX is known",
                       rr_type_text(type, buf));
    for (const char *f = fields; *f; f++) {
        size_t at = x->at;
        if (take_field(x, *f))
            continue;
        if (at >= x->n)
            return err_set(e, ERR_PARSE, "rdata of %s: at its end there should be %s",
                           rr_type_text(type, buf), field_noun(*f));
        return err_set(e, ERR_PARSE, "rdata of %s: %s is expected at \"%.*s\"",
                       rr_type_text(type, buf), field_noun(*f), (int)MIN(x->words[at].n, 80u),
                       x->words[at].p);
    }
    if (x->at < x->n)
        return err_set(e, ERR_PARSE, "rdata of %s: nothing more is expected at \"%.*s\"",
                       rr_type_text(type, buf), (int)MIN(x->words[x->at].n, 80u),
                       x->words[x->at].p);
    return 0;
}

static int parse(struct rtext *x, uint16_t type, const char *text, struct err *e)
{
    char buf[16];
    size_t start = x->out->pos;
    const char *rest;
    if (!words_cut(text, x->words, WORDS_MAX, &x->n, &rest))
        return err_set(e, ERR_PARSE, "rdata of %s: a quote is not closed", rr_type_text(type, buf));
    if (*rest)
        return err_set(e, ERR_LIMIT, "rdata of %s: more than %d words", rr_type_text(type, buf),
                       WORDS_MAX);
    const struct word *first = x->words;
    bool opaque = x->n && first->n == 2 && !first->quoted && memcmp(first->p, "\\#", 2) == 0;
    int rc = opaque ? take_opaque(x, type, e) : take_fields(x, type, e);
    if (x->out->bad || x->out->pos - start > RDATA_MAX)
        return err_set(e, ERR_LIMIT, "rdata of %s: longer than a record may be",
                       rr_type_text(type, buf));
    if (rc != 0)
        return rc;
    if (!rdata_check_plain(type, x->out->base + start, x->out->pos - start))
        return err_set(e, ERR_PARSE, "rdata of %s: these bytes do not have its form",
                       rr_type_text(type, buf));
    return 0;
}

int rdata_from_text(uint16_t type, const char *text, const uint8_t *origin, struct wbuf *out,
                    struct err *e)
{
    struct rtext x = { .origin = origin, .out = out };
    struct wbuf before = *out;
    int rc = parse(&x, type, text, e);
    if (rc != 0)
        *out = before;
    return rc;
}
