/* Rdata in presentation form, along the table of types. What the form cannot express (an unknown
 * type, a malformed parameter) prints as RFC 3597 section 5 says. */
#include "base/cleanup.h"
#include "base/ip.h"
#include "wire/radix.h"
#include "wire/rdata_special.h"
#include "wire/rdata_table.h"

#include <inttypes.h>
#include <time.h>

static void put_name(struct strbuf *out, const uint8_t *wire)
{
    char text[NAME_TEXT_MAX];
    strbuf_puts(out, name_to_text(wire, text));
}

static uint64_t number_of(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static void put_date(struct strbuf *out, uint32_t seconds)
{
    struct tm tm;
    char text[32];
    time_t t = seconds;
    strftime(text, sizeof text, "%Y%m%d%H%M%S", gmtime_r(&t, &tm));
    strbuf_puts(out, text);
}

static void put_ip(struct strbuf *out, const uint8_t *p, size_t n)
{
    struct ip ip = { .family = n == 4 ? 4 : 6 };
    char text[IP_TEXT_MAX];
    memcpy(ip.bytes, p, n);
    strbuf_puts(out, ip_text(&ip, text));
}

static void put_strings(struct strbuf *out, const uint8_t *p, size_t n)
{
    for (size_t at = 0; at < n; at += 1u + p[at]) {
        if (at)
            strbuf_putc(out, ' ');
        text_quote(out, p + at + 1, p[at]);
    }
}

static void put_bitmap(struct strbuf *out, const uint8_t *p, size_t n)
{
    char buf[16];
    const char *sep = "";
    for (const uint8_t *end = p + n; p < end; p += 2 + p[1]) {
        for (unsigned bit = 0; bit < 8u * p[1]; bit++) {
            if (!(p[2 + bit / 8] & 0x80 >> bit % 8))
                continue;
            strbuf_printf(out, "%s%s", sep, rr_type_text((uint16_t)(p[0] << 8 | bit), buf));
            sep = " ";
        }
    }
}

static void put_eui(struct strbuf *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        strbuf_printf(out, i ? "-%02x" : "%02x", p[i]);
}

/* Length, then base64 if there is any. */
static void put_sized(struct strbuf *out, const uint8_t *p, size_t n)
{
    strbuf_printf(out, n > 2 ? "%zu " : "%zu", n - 2);
    radix_put(out, &radix_64, p + 2, n - 2);
}

static bool put_identity(struct strbuf *out, const uint8_t *p)
{
    unsigned hit_len = p[0], key_len = get_u16(p + 2);
    strbuf_printf(out, "%u ", p[1]);
    radix_put(out, &radix_hex, p + 4, hit_len);
    strbuf_putc(out, ' ');
    radix_put(out, &radix_64, p + 4 + hit_len, key_len);
    return true;
}

static void put_gateway(struct strbuf *out, const uint8_t *p, size_t n, unsigned form)
{
    if (form == 0)
        strbuf_putc(out, '.');
    else if (form == 3)
        put_name(out, p);
    else
        put_ip(out, p, n);
}

static void put_error(struct strbuf *out, uint16_t code)
{
    char buf[16];
    /* 16 is BADSIG inside TSIG and TKEY (RFC 8945 section 3), BADVERS elsewhere. */
    strbuf_puts(out, code == RCODE_BADVERS ? "BADSIG" : rcode_text(code, buf));
}

static void put_cert_type(struct strbuf *out, uint16_t value)
{
    const char *name = cert_type_text(value);
    if (name)
        strbuf_puts(out, name);
    else
        strbuf_printf(out, "%u", value);
}

/* Fields that are runs of digits of some base; false: nothing there to print. */
static bool put_digits(struct strbuf *out, char kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case 'h':
        radix_put(out, &radix_hex, p, n);
        return n > 0;
    case 'H':
        radix_put(out, &radix_hex, p + 1, n - 1);
        if (n == 1)
            strbuf_putc(out, '-');
        return true;
    case '3':
        radix_put(out, &radix_32hex, p + 1, n - 1);
        return n > 1;
    default: /* b, o */
        radix_put(out, &radix_64, p, n);
        return n > 0 || kind == 'o';
    }
}

static bool put_special(struct strbuf *out, char kind, const uint8_t *p, size_t n)
{
    char buf[16];
    switch (kind) {
    case 'T':
        strbuf_puts(out, rr_type_text(get_u16(p), buf));
        return true;
    case 'e':
        put_error(out, get_u16(p));
        return true;
    case 'C':
        put_cert_type(out, get_u16(p));
        return true;
    case 't':
        put_date(out, get_u32(p));
        return true;
    case 'u':
    case 'U':
        put_eui(out, p, n);
        return true;
    case 'm':
        put_sized(out, p, n);
        return true;
    case 'g':
        put_gateway(out, p, n, p[-2]);
        return true;
    case 'I':
        return put_identity(out, p);
    case 'l':
        return loc_to_text(p, out);
    case 'L':
        return apl_to_text(p, n, out);
    case 'p':
        return params_to_text(p, n, out);
    default:
        return put_digits(out, kind, p, n);
    }
}

static bool put_field(struct strbuf *out, char kind, const uint8_t *p, size_t n)
{
    switch (kind) {
    case '1':
    case '2':
    case '4':
    case '8':
    case 'd':
    case 'K':
        strbuf_printf(out, "%" PRIu64, number_of(p, n));
        return true;
    case 'a':
    case '6':
        put_ip(out, p, n);
        return true;
    case 's':
    case 'S':
        put_strings(out, p, n);
        return n > 0;
    case 'q':
        text_quote(out, p, n);
        return true;
    case 'c':
        strbuf_add(out, (const char *)p + 1, n - 1);
        return true;
    case 'w':
        put_bitmap(out, p, n);
        return true;
    case 'O':
        return false;
    default:
        return put_special(out, kind, p, n);
    }
}

/* All names that are left (R), or the one of this field. */
static bool put_name_field(struct strbuf *out, char kind, struct cursor *c)
{
    struct name n;
    const char *sep = "";
    while (kind != 'R' || cursor_left(c)) {
        if (name_parse_plain(c, &n) != 0)
            return false;
        strbuf_puts(out, sep);
        put_name(out, n.wire);
        sep = " ";
        if (kind != 'R')
            break;
    }
    return true;
}

static bool put_fields(struct strbuf *out, const char *fields, struct cursor *c)
{
    const uint8_t *p;
    size_t n;
    for (const char *f = fields; *f; f++) {
        size_t before = out->len;
        if (f != fields)
            strbuf_putc(out, ' ');
        size_t start = out->len;
        bool name = *f == 'n' || *f == 'N' || *f == 'R';
        if (name ? !put_name_field(out, *f, c)
                 : !field_take(*f, c, &p, &n) || !put_field(out, *f, p, n))
            return false;
        if (out->len == start) /* an empty list: no space for it either */
            out->p[out->len = before] = 0;
    }
    return cursor_left(c) == 0;
}

static void put_opaque(struct strbuf *out, const uint8_t *rdata, size_t len)
{
    strbuf_printf(out, len ? "\\# %zu " : "\\# %zu", len);
    radix_put(out, &radix_lower_hex, rdata, len);
}

void rdata_to_text(uint16_t type, const uint8_t *rdata, size_t len, struct strbuf *out)
{
    const char *fields = rr_row(type)->fields;
    struct cursor c = cursor_of(rdata, len);
    size_t start = out->len;
    if (fields && len > 0) {
        if (put_fields(out, fields, &c))
            return;
        if (out->len > start)
            out->p[out->len = start] = 0;
    }
    put_opaque(out, rdata, len);
}

void rr_to_text(const uint8_t *owner, uint32_t ttl, uint16_t class, uint16_t type,
                const uint8_t *rdata, size_t rdlen, struct strbuf *out)
{
    char class_buf[16], type_buf[16];
    put_name(out, owner);
    strbuf_printf(out, "\t%u\t%s\t%s\t", ttl, rr_class_text(class, class_buf),
                  rr_type_text(type, type_buf));
    rdata_to_text(type, rdata, rdlen, out);
}
