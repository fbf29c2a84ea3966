#include "net/h1_head.h"

#include "base/cursor.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

/* The next line, without its end. */
static struct h1_text next_line(struct cursor *c)
{
    const char *p = (const char *)c->base + c->pos;
    const char *end = memchr(p, '\n', cursor_left(c));
    size_t len = end ? (size_t)(end - p) : cursor_left(c);
    (void)cursor_take(c, end ? len + 1 : len);
    return (struct h1_text){ p, len && p[len - 1] == '\r' ? len - 1 : len };
}

static struct h1_text next_word(struct h1_text *line)
{
    const char *space = memchr(line->p, ' ', line->len);
    struct h1_text word = { line->p, space ? (size_t)(space - line->p) : line->len };
    size_t skip = space ? word.len + 1 : word.len;
    line->p += skip;
    line->len -= skip;
    return word;
}

bool h1_is(struct h1_text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

static struct h1_text trim(struct h1_text t)
{
    while (t.len && (*t.p == ' ' || *t.p == '\t'))
        t.p++, t.len--;
    while (t.len && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
        t.len--;
    return t;
}

static void read_start(struct h1_text line, struct h1_head *h)
{
    h->method = next_word(&line);
    h->target = next_word(&line);
    if (!h->method.len || !h->target.len || line.len != strlen("HTTP/1.1") ||
        memcmp(line.p, "HTTP/", 5) != 0)
        h->status = 400;
    else if (memcmp(line.p, "HTTP/1.", 7) != 0)
        h->status = 505;
    else
        h->close = line.p[7] == '0';
}

static void read_length(struct h1_text value, size_t max, struct h1_head *h)
{
    char digits[24];
    long n;
    if (value.len >= sizeof digits) {
        h->status = 413;
        return;
    }
    memcpy(digits, value.p, value.len);
    digits[value.len] = 0;
    if (strspn(digits, "0123456789") != value.len || str_to_long(digits, 0, INT32_MAX, &n) < 0 ||
        (h->has_length && h->body != (size_t)n)) {
        h->status = 400;
        return;
    }
    h->has_length = true;
    h->body = (size_t)n;
    if (h->body > max)
        h->status = 413;
}

/* Does a comma-separated list hold that word? */
static bool lists(struct h1_text list, const char *word)
{
    while (list.len) {
        const char *comma = memchr(list.p, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.p) : list.len;
        if (h1_is(trim((struct h1_text){ list.p, len }), word))
            return true;
        list.p += comma ? len + 1 : len;
        list.len -= comma ? len + 1 : len;
    }
    return false;
}

/* False: it is no header field. */
static bool split(struct h1_text line, struct h1_text *ret_name, struct h1_text *ret_value)
{
    const char *colon = memchr(line.p, ':', line.len);
    if (!colon || colon == line.p || strchr(" \t", colon[-1]) || strchr(" \t", line.p[0]))
        return false;
    *ret_name = (struct h1_text){ line.p, (size_t)(colon - line.p) };
    *ret_value = trim((struct h1_text){ colon + 1, line.len - ret_name->len - 1 });
    return true;
}

static void read_header(struct h1_text line, size_t body_max, struct h1_head *h)
{
    struct h1_text name, value;
    if (!split(line, &name, &value)) {
        h->status = 400;
    } else if (h1_is(name, "content-length")) {
        read_length(value, body_max, h);
    } else if (h1_is(name, "transfer-encoding")) {
        h->chunked = !h->coded && h1_is(value, "chunked");
        h->coded = true;
    } else if (h1_is(name, "connection")) {
        h->close |= lists(value, "close");
    } else if (h1_is(name, "expect")) {
        h->expects = h1_is(value, "100-continue");
    }
}

struct h1_head h1_head_read(const uint8_t *data, size_t len, size_t body_max)
{
    struct cursor c = cursor_of(data, len);
    struct h1_head h = { 0 };
    struct h1_text line;
    read_start(next_line(&c), &h);
    while (!h.status && (line = next_line(&c)).len)
        read_header(line, body_max, &h);
    if (!h.status && h.coded && h.has_length)
        h.status = 400; /* somebody is being deceived (RFC 9112 6.1) */
    if (!h.status && memchr(data, 0, len))
        h.status = 400;
    return h;
}

bool h1_head_find(const uint8_t *data, size_t len, const char *name, struct h1_text *ret)
{
    struct cursor c = cursor_of(data, len);
    struct h1_text line = next_line(&c), found;
    while ((line = next_line(&c)).len)
        if (split(line, &found, ret) && h1_is(found, name))
            return true;
    return false;
}

size_t h1_head_len(const uint8_t *data, size_t len, size_t *scanned)
{
    for (; *scanned < len; ++*scanned) {
        const uint8_t *p = data + *scanned;
        if (*p != '\n' || *scanned == 0)
            continue;
        if (p[-1] == '\n' || (*scanned >= 2 && p[-1] == '\r' && p[-2] == '\n'))
            return *scanned + 1;
    }
    return 0;
}
