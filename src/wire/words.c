#include "wire/words.h"

#include "base/cleanup.h"

#include <string.h>

static bool is_space(char c)
{
    /* Parentheses only join lines, which the caller has done. */
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '(' || c == ')';
}

/* Behind the quoted string that starts at p, or NULL when it does not end. */
static const char *skip_quoted(const char *p)
{
    for (p++; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
    }
    return *p ? p + 1 : NULL;
}

/* A word may hold a quoted part (key="a b"). */
static const char *skip_word(const char *p)
{
    while (p && *p && !is_space(*p) && *p != ';') {
        if (*p == '"')
            p = skip_quoted(p);
        else
            p += *p == '\\' && p[1] ? 2 : 1;
    }
    return p;
}

static const char *skip_blank(const char *p)
{
    while (is_space(*p) || *p == ';') {
        if (*p == ';')
            p += strcspn(p, "\n");
        else
            p++;
    }
    return p;
}

bool words_cut(const char *text, struct word *t, size_t max, size_t *ret_n, const char **ret_rest)
{
    size_t n = 0;
    for (text = skip_blank(text); *text && n < max; text = skip_blank(text), n++) {
        bool quoted = *text == '"';
        const char *end = quoted ? skip_quoted(text) : skip_word(text);
        if (!end)
            return false;
        t[n] = quoted ? (struct word){ text + 1, (size_t)(end - text) - 2, true }
                      : (struct word){ text, (size_t)(end - text), false };
        text = end;
    }
    *ret_n = n;
    *ret_rest = text;
    return true;
}

bool text_number(const char *p, size_t n, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
        if (v > max)
            return false;
    }
    *ret = v;
    return n > 0;
}

/* "3600", or "1h30m" as zone files may have it. */
bool text_duration(const char *p, size_t n, uint64_t *ret)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    uint64_t total = 0;
    if (text_number(p, n, UINT32_MAX, ret))
        return true;
    for (size_t i = 0, digits = 0; i < n; i += digits + 1) {
        uint64_t v, factor = 0;
        for (digits = 0; i + digits < n && p[i + digits] >= '0' && p[i + digits] <= '9';)
            digits++;
        for (size_t u = 0; u < ARRAY_SIZE(units) && i + digits < n; u++) {
            if ((p[i + digits] | 0x20) == units[u].unit)
                factor = units[u].seconds;
        }
        if (!factor || !text_number(p + i, digits, UINT32_MAX, &v))
            return false;
        total += v * factor;
        if (total > UINT32_MAX)
            return false;
    }
    *ret = total;
    return n > 0;
}

long text_unescape(const char *text, size_t n, uint8_t *out, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++, len++) {
        uint64_t v = (uint8_t)text[i];
        if (len == cap || text[i] == '"')
            return -1;
        if (text[i] == '\\') {
            if (++i == n)
                return -1;
            v = (uint8_t)text[i];
            if (v >= '0' && v <= '9') {
                if (n - i < 3 || !text_number(text + i, 3, 255, &v))
                    return -1;
                i += 2;
            }
        }
        out[len] = (uint8_t)v;
    }
    return (long)len;
}

void text_quote(struct strbuf *out, const uint8_t *p, size_t n)
{
    strbuf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] < ' ' || p[i] > '~')
            strbuf_printf(out, "\\%03u", p[i]);
        else
            strbuf_printf(out, p[i] == '"' || p[i] == '\\' ? "\\%c" : "%c", p[i]);
    }
    strbuf_putc(out, '"');
}
