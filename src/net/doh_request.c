#include "net/doh_request.h"

#include "base/cursor.h"

#include <ctype.h>

#define NOT_FOUND   404
#define BAD_REQUEST 400

/* The next byte of a parameter, unescaped; -1: it ends, or is broken (c->bad). */
static int value_byte(struct cursor *c)
{
    if (!cursor_left(c) || c->base[c->pos] == '&')
        return -1;
    int byte = cursor_u8(c), high, low;
    if (byte != '%')
        return byte;
    high = cursor_u8(c);
    low = cursor_u8(c);
    if (!isxdigit(high) || !isxdigit(low)) {
        c->bad = true;
        return -1;
    }
    return (isdigit(high) ? high - '0' : (high | 32) - 'a' + 10) << 4 |
           (isdigit(low) ? low - '0' : (low | 32) - 'a' + 10);
}

/* RFC 4648 section 5; -1: not of that alphabet. */
static int base64url(int c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Without padding, as RFC 8484 demands. False: broken. */
static bool read_message(struct cursor *c, uint8_t *out, size_t *ret_len)
{
    uint32_t bits = 0;
    size_t n = 0, len = 0;
    int byte;
    while ((byte = value_byte(c)) >= 0) {
        int value = base64url(byte);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        n++;
        if (n % 4 != 1)
            out[len++] = (uint8_t)(bits >> (n % 4 == 2 ? 4 : n % 4 == 3 ? 2 : 0));
    }
    *ret_len = len;
    return !c->bad && n % 4 != 1;
}

/* Moves behind text if that comes next. */
static bool take(struct cursor *c, const char *text)
{
    size_t n = strlen(text);
    if (cursor_left(c) < n || memcmp(c->base + c->pos, text, n) != 0)
        return false;
    c->pos += n;
    return true;
}

static void skip_to(struct cursor *c, char end)
{
    const uint8_t *at = memchr(c->base + c->pos, end, cursor_left(c));
    c->pos = at ? (size_t)(at - c->base) : c->len;
}

/* Behind scheme and authority, which say nothing here. */
static void skip_origin(struct cursor *c)
{
    if (take(c, "https://") || take(c, "http://"))
        skip_to(c, '/');
}

int doh_target(const char *target, size_t len, bool is_get, uint8_t *out, size_t *ret_len)
{
    struct cursor c = cursor_of(target, len);
    unsigned found = 0;
    size_t n = 0;
    skip_origin(&c);
    if (!take(&c, DOH_PATH) || (cursor_left(&c) && c.base[c.pos] != '?'))
        return NOT_FOUND;
    if (!is_get)
        return 0;
    while (cursor_left(&c)) {
        c.pos++; /* ? or & */
        if (take(&c, "dns=") && (++found > 1 || !read_message(&c, out, &n)))
            return BAD_REQUEST;
        skip_to(&c, '&');
    }
    if (!found)
        return BAD_REQUEST;
    *ret_len = n;
    return 0;
}
