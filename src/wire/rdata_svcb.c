/* Service parameters of SVCB and HTTPS (RFC 9460 sections 2.1 and 7, RFC 9461, RFC 9540). */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/ip.h"
#include "wire/radix.h"
#include "wire/rdata_special.h"

#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX  64 /* parameters of one record in text form */
#define VALUE_MAX   65535
#define KEY_INVALID 65535 /* reserved (RFC 9460 section 14.3.2) */

enum param_key {
    KEY_MANDATORY,
    KEY_ALPN,
    KEY_NO_DEFAULT_ALPN,
    KEY_PORT,
    KEY_IPV4HINT,
    KEY_ECH,
    KEY_IPV6HINT,
    KEY_DOHPATH,
    KEY_OHTTP,
    KEY_COUNT,
};

static const char *const key_names[KEY_COUNT] = {
    "mandatory", "alpn",     "no-default-alpn", "port",  "ipv4hint",
    "ech",       "ipv6hint", "dohpath",         "ohttp",
};

static void put_key(struct strbuf *out, uint16_t key)
{
    if (key < KEY_COUNT)
        strbuf_puts(out, key_names[key]);
    else
        strbuf_printf(out, "key%u", key);
}

static bool put_mandatory(struct strbuf *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        if (i)
            strbuf_putc(out, ',');
        if (i && get_u16(p + i) <= get_u16(p + i - 2))
            return false;
        put_key(out, get_u16(p + i));
    }
    return n >= 2 && n % 2 == 0 && get_u16(p) != KEY_MANDATORY;
}

/* A list of strings inside a string: commas and backslashes in an item are escaped before the whole
 * is quoted (RFC 9460 appendix A.1). */
static bool put_alpn(struct strbuf *out, const uint8_t *p, size_t n)
{
    cleanup(strbuf_done) struct strbuf list = { 0 };
    size_t at = 0;
    for (; at < n && p[at] && at + 1 + p[at] <= n; at += 1u + p[at]) {
        if (at)
            strbuf_putc(&list, ',');
        for (size_t i = at + 1; i <= at + p[at]; i++) {
            if (p[i] == ',' || p[i] == '\\')
                strbuf_putc(&list, '\\');
            strbuf_putc(&list, (char)p[i]);
        }
    }
    if (n == 0 || at != n)
        return false;
    text_quote(out, (const uint8_t *)list.p, list.len);
    return true;
}

static bool put_hints(struct strbuf *out, const uint8_t *p, size_t n, size_t size)
{
    struct ip ip = { .family = size == 4 ? 4 : 6 };
    char text[IP_TEXT_MAX];
    for (size_t at = 0; at + size <= n; at += size) {
        memcpy(ip.bytes, p + at, size);
        strbuf_printf(out, "%s%s", at ? "," : "", ip_text(&ip, text));
    }
    return n > 0 && n % size == 0;
}

static bool put_value(struct strbuf *out, uint16_t key, const uint8_t *p, size_t n)
{
    switch (key) {
    case KEY_MANDATORY:
        return put_mandatory(out, p, n);
    case KEY_ALPN:
        return put_alpn(out, p, n);
    case KEY_PORT:
        strbuf_printf(out, "%u", n == 2 ? get_u16(p) : 0u);
        return n == 2;
    case KEY_IPV4HINT:
        return put_hints(out, p, n, 4);
    case KEY_IPV6HINT:
        return put_hints(out, p, n, 16);
    case KEY_ECH:
        radix_put(out, &radix_64, p, n);
        return n > 0;
    default:
        text_quote(out, p, n);
        return key != KEY_DOHPATH || n > 0;
    }
}

static bool is_bare(uint16_t key)
{
    return key == KEY_NO_DEFAULT_ALPN || key == KEY_OHTTP;
}

/* The value of a key, or NULL. */
static const uint8_t *find_key(const uint8_t *p, size_t n, uint16_t key, uint16_t *ret_len)
{
    struct cursor c = cursor_of(p, n);
    while (cursor_left(&c)) {
        uint16_t k = cursor_u16(&c);
        *ret_len = cursor_u16(&c);
        const uint8_t *value = cursor_take(&c, *ret_len);
        if (!value || k == key)
            return value;
    }
    return NULL;
}

static bool has_key(const uint8_t *p, size_t n, uint16_t key)
{
    uint16_t len;
    return find_key(p, n, key, &len) != NULL;
}

/* What a record says is mandatory, it must have (RFC 9460 section 8); and no-default-alpn makes no
 * sense alone (section 7.1.1). */
static bool keys_agree(const uint8_t *p, size_t n)
{
    uint16_t len = 0;
    const uint8_t *keys = find_key(p, n, KEY_MANDATORY, &len);
    for (unsigned i = 0; keys && i + 1u < len; i += 2) {
        if (!has_key(p, n, get_u16(keys + i)))
            return false;
    }
    return !has_key(p, n, KEY_NO_DEFAULT_ALPN) || has_key(p, n, KEY_ALPN);
}

bool params_to_text(const uint8_t *p, size_t n, struct strbuf *out)
{
    struct cursor c = cursor_of(p, n);
    unsigned count = 0;
    for (; cursor_left(&c) && count <= PARAMS_MAX; count++) {
        uint16_t key = cursor_u16(&c), len = cursor_u16(&c);
        const uint8_t *value = cursor_take(&c, len);
        if (!value || key == KEY_INVALID || (is_bare(key) && len))
            return false;
        if (count)
            strbuf_putc(out, ' ');
        put_key(out, key);
        if (is_bare(key) || (key >= KEY_COUNT && len == 0))
            continue;
        strbuf_putc(out, '=');
        if (!put_value(out, key, value, len))
            return false;
    }
    return count <= PARAMS_MAX && keys_agree(p, n);
}

struct param {
    uint16_t key;
    const char *value; /* NULL: none was given */
    size_t n;
};

static bool read_key(const char *p, size_t n, uint16_t *ret)
{
    uint64_t v;
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        if (strlen(key_names[i]) == n && memcmp(key_names[i], p, n) == 0) {
            *ret = (uint16_t)i;
            return true;
        }
    }
    if (n < 4 || memcmp(p, "key", 3) != 0 || !text_number(p + 3, n - 3, KEY_INVALID - 1, &v))
        return false;
    *ret = (uint16_t)v;
    return true;
}

static bool read_param(const struct word *t, struct param *ret)
{
    const char *eq = memchr(t->p, '=', t->n);
    size_t key_len = eq ? (size_t)(eq - t->p) : t->n;
    struct param p = { .value = eq ? eq + 1 : NULL, .n = eq ? t->n - key_len - 1 : 0 };
    if (t->quoted || !read_key(t->p, key_len, &p.key))
        return false;
    if (p.n && p.value[0] == '"') {
        if (p.n < 2 || p.value[p.n - 1] != '"')
            return false;
        p.value++;
        p.n -= 2;
    }
    *ret = p;
    return true;
}

/* The next item of a comma-separated list without escapes; false at the end. */
static bool next_item(const char **p, const char *end, const char **ret_item, size_t *ret_n)
{
    if (!*p)
        return false;
    const char *comma = memchr(*p, ',', (size_t)(end - *p));
    *ret_item = *p;
    *ret_n = (size_t)((comma ? comma : end) - *p);
    *p = comma ? comma + 1 : NULL;
    return true;
}

static int compare_u16(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static bool take_mandatory(const char *p, size_t n, struct wbuf *out)
{
    uint16_t keys[PARAMS_MAX];
    unsigned n_keys = 0;
    const char *end = p + n, *item;
    for (size_t len; next_item(&p, end, &item, &len); n_keys++) {
        if (n_keys == PARAMS_MAX || !read_key(item, len, &keys[n_keys]))
            return false;
    }
    qsort(keys, n_keys, sizeof *keys, compare_u16);
    for (unsigned i = 0; i < n_keys; i++) {
        if (keys[i] == KEY_MANDATORY || (i && keys[i] == keys[i - 1]))
            return false;
        wbuf_u16(out, keys[i]);
    }
    return true;
}

/* bytes: the value with the outer escapes undone. */
static bool take_alpn(const uint8_t *bytes, size_t n, struct wbuf *out)
{
    uint8_t item[255];
    unsigned len = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || bytes[i] == ',') {
            if (len == 0)
                return false;
            wbuf_u8(out, (uint8_t)len);
            wbuf_put(out, item, len);
            len = 0;
            continue;
        }
        if (bytes[i] == '\\' && ++i == n)
            return false;
        if (len == sizeof item)
            return false;
        item[len++] = bytes[i];
    }
    return true;
}

static bool take_hints(const char *p, size_t n, unsigned family, struct wbuf *out)
{
    const char *end = p + n, *item;
    for (size_t len; next_item(&p, end, &item, &len);) {
        char text[IP_TEXT_MAX] = "";
        struct ip ip;
        if (len >= sizeof text)
            return false;
        memcpy(text, item, len);
        if (ip_parse(text, &ip) != 0 || ip.family != family)
            return false;
        wbuf_put(out, ip.bytes, ip_len(&ip));
    }
    return true;
}

static bool take_port(const char *p, size_t n, struct wbuf *out)
{
    uint64_t port;
    if (!text_number(p, n, UINT16_MAX, &port))
        return false;
    wbuf_u16(out, (uint16_t)port);
    return true;
}

static bool take_ech(const char *p, size_t n, struct wbuf *out)
{
    struct radix_reader r = { .r = &radix_64 };
    return n > 0 && radix_read(&r, p, n, out) && radix_end(&r);
}

static bool take_bytes(const struct param *p, struct wbuf *out)
{
    uint8_t bytes[VALUE_MAX];
    long n = text_unescape(p->value, p->n, bytes, sizeof bytes);
    if (n < 0 || (p->key == KEY_DOHPATH && n == 0))
        return false;
    if (p->key == KEY_ALPN)
        return take_alpn(bytes, (size_t)n, out);
    wbuf_put(out, bytes, (size_t)n);
    return true;
}

static bool take_value(const struct param *p, struct wbuf *out)
{
    if (is_bare(p->key))
        return !p->value;
    if (!p->value)
        return p->key >= KEY_COUNT;
    switch (p->key) {
    case KEY_MANDATORY:
        return take_mandatory(p->value, p->n, out);
    case KEY_PORT:
        return take_port(p->value, p->n, out);
    case KEY_IPV4HINT:
        return take_hints(p->value, p->n, 4, out);
    case KEY_IPV6HINT:
        return take_hints(p->value, p->n, 6, out);
    case KEY_ECH:
        return take_ech(p->value, p->n, out);
    default:
        return take_bytes(p, out);
    }
}

static int compare_params(const void *a, const void *b)
{
    return ((const struct param *)a)->key - ((const struct param *)b)->key;
}

static bool put_param(const struct param *p, struct wbuf *out)
{
    wbuf_u16(out, p->key);
    size_t at = out->pos;
    wbuf_u16(out, 0);
    if (!take_value(p, out) || out->bad || out->pos - at - 2 > VALUE_MAX)
        return false;
    put_u16(out->base + at, (uint16_t)(out->pos - at - 2));
    return true;
}

bool params_from_text(const struct word *t, size_t n, struct wbuf *out)
{
    struct param params[PARAMS_MAX];
    if (n > PARAMS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!read_param(&t[i], &params[i]))
            return false;
    }
    qsort(params, n, sizeof *params, compare_params);
    size_t start = out->pos;
    for (size_t i = 0; i < n; i++) {
        if ((i && params[i].key == params[i - 1].key) || !put_param(&params[i], out))
            return false;
    }
    return keys_agree(out->base + start, out->pos - start);
}
