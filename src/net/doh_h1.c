/* HTTP/1.1 (RFC 9112), as much of it as DNS needs: one request at a time, bodies of a known length.
 */
#include "net/doh_impl.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

#define BUFFER     (DOH_HEAD_MAX + DOH_BODY_MAX)
#define HEADER_MAX 512 /* bytes of a response's head */

/* A head that was read; texts lie in the buffer. */
struct head {
    enum doh_method method;
    const char *target;
    size_t target_len;
    size_t body; /* Content-Length */
    bool has_length, coded, close, expects, foreign;
    int status; /* of a failure behind which the connection is of no use; 0: none */
};

struct text {
    const char *p;
    size_t len;
};

/* ---- reading a head ---- */

/* The next line, without its end. */
static struct text next_line(struct cursor *c)
{
    const char *p = (const char *)c->base + c->pos;
    const char *end = memchr(p, '\n', cursor_left(c));
    size_t len = end ? (size_t)(end - p) : cursor_left(c);
    (void)cursor_take(c, end ? len + 1 : len);
    return (struct text){ p, len && p[len - 1] == '\r' ? len - 1 : len };
}

static struct text next_word(struct text *line)
{
    const char *space = memchr(line->p, ' ', line->len);
    struct text word = { line->p, space ? (size_t)(space - line->p) : line->len };
    size_t skip = space ? word.len + 1 : word.len;
    line->p += skip;
    line->len -= skip;
    return word;
}

static bool is(struct text t, const char *word)
{
    return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

static struct text trim(struct text t)
{
    while (t.len && (*t.p == ' ' || *t.p == '\t'))
        t.p++, t.len--;
    while (t.len && (t.p[t.len - 1] == ' ' || t.p[t.len - 1] == '\t'))
        t.len--;
    return t;
}

static void read_start(struct text line, struct head *h)
{
    struct text method = next_word(&line), target = next_word(&line);
    h->method = doh_method_of(method.p, method.len);
    h->target = target.p;
    h->target_len = target.len;
    if (!method.len || !target.len || line.len != strlen("HTTP/1.1") ||
        memcmp(line.p, "HTTP/", 5) != 0)
        h->status = 400;
    else if (memcmp(line.p, "HTTP/1.", 7) != 0)
        h->status = 505;
    else
        h->close = line.p[7] == '0';
}

static void read_length(struct text value, struct head *h)
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
    if (h->body > DOH_BODY_MAX)
        h->status = 413;
}

/* Does a comma-separated list hold that word? */
static bool lists(struct text list, const char *word)
{
    while (list.len) {
        const char *comma = memchr(list.p, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.p) : list.len;
        if (is(trim((struct text){ list.p, len }), word))
            return true;
        list.p += comma ? len + 1 : len;
        list.len -= comma ? len + 1 : len;
    }
    return false;
}

static void read_header(struct text line, struct head *h)
{
    const char *colon = memchr(line.p, ':', line.len);
    if (!colon || colon == line.p || strchr(" \t", colon[-1]) || strchr(" \t", line.p[0])) {
        h->status = 400;
        return;
    }
    struct text name = { line.p, (size_t)(colon - line.p) };
    struct text value = trim((struct text){ colon + 1, line.len - name.len - 1 });
    if (is(name, "content-length"))
        read_length(value, h);
    else if (is(name, "transfer-encoding"))
        h->coded = true;
    else if (is(name, "connection"))
        h->close |= lists(value, "close");
    else if (is(name, "content-type"))
        h->foreign = !doh_is_message(value.p, value.len);
    else if (is(name, "expect"))
        h->expects = is(value, "100-continue");
}

static struct head read_head(const uint8_t *data, size_t len)
{
    struct cursor c = cursor_of(data, len);
    struct head h = { 0 };
    struct text line;
    read_start(next_line(&c), &h);
    while (!h.status && (line = next_line(&c)).len)
        read_header(line, &h);
    if (!h.status && h.coded)
        h.status = h.has_length ? 400 : 411; /* both: somebody is being deceived (RFC 9112 6.1) */
    if (!h.status && memchr(data, 0, len))
        h.status = 400;
    return h;
}

/* Length of the head with the empty line behind it; 0: not there yet. */
static size_t head_len(struct doh_conn *c)
{
    for (; c->scanned < c->len; c->scanned++) {
        const uint8_t *p = c->buf + c->scanned;
        if (*p != '\n' || c->scanned == 0)
            continue;
        if (p[-1] == '\n' || (c->scanned >= 2 && p[-1] == '\r' && p[-2] == '\n'))
            return c->scanned + 1;
    }
    return 0;
}

/* ---- requests ---- */

static void shift(struct doh_conn *c, size_t used)
{
    c->len -= used;
    memmove(c->buf, c->buf + used, c->len);
    c->scanned = 0;
}

/* What cannot be read on from: the last response. */
static void refuse(struct doh_conn *c, int status)
{
    struct doh_request *r = doh_request_new(c);
    if (!r) {
        stream_close(&c->s);
        return;
    }
    c->last = c->waiting = true;
    r->status = status;
    doh_request_done(r, NULL, 0, NULL, 0);
}

static void hand_over(struct doh_conn *c, const struct head *h, size_t head)
{
    struct doh_request *r = doh_request_new(c);
    if (!r) {
        stream_close(&c->s);
        return;
    }
    c->last = h->close || c->s.server->retired;
    c->waiting = true;
    r->method = h->method;
    r->foreign = h->foreign;
    doh_request_done(r, h->target, h->target_len, c->buf + head, h->body);
    shift(c, head + h->body);
}

static void say_continue(struct doh_conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec part = { (void *)(uintptr_t)text, sizeof text - 1 };
    stream_send(&c->s, &part, 1);
}

/* Hands over the next request. False: it is not there yet. */
static bool take_request(struct doh_conn *c)
{
    size_t before = c->scanned, head = head_len(c);
    if (!head && c->len <= DOH_HEAD_MAX)
        return false;
    if (!head || head > DOH_HEAD_MAX) {
        refuse(c, 431);
        return true;
    }
    struct head h = read_head(c->buf, head);
    if (h.status) {
        refuse(c, h.status);
        return true;
    }
    if (c->len < head + h.body) {
        if (h.expects && before < head - 1) /* only once: when its end has just come */
            say_continue(c);
        return false;
    }
    hand_over(c, &h, head);
    return true;
}

void h1_room(struct doh_conn *c, uint8_t **ret, size_t *ret_len)
{
    if (!c->buf)
        c->buf = mem_try(BUFFER);
    *ret = c->buf ? c->buf + c->len : NULL;
    *ret_len = BUFFER - c->len;
}

void h1_go_on(struct doh_conn *c)
{
    while (!c->s.closed && !c->waiting && !c->last && take_request(c))
        continue;
    if (c->len == 0) {
        free(c->buf);
        c->buf = NULL;
    }
    stream_pause(&c->s, c->waiting);
    if (c->last && !c->waiting)
        stream_end(&c->s);
}

void h1_got(struct doh_conn *c, size_t n)
{
    c->len += n;
    c->s.busy++;
    h1_go_on(c);
    c->s.busy--;
    stream_let_go(&c->s);
}

/* ---- responses ---- */

static size_t write_head(const struct doh_conn *c, const struct doh_response *a, size_t len,
                         char out[HEADER_MAX])
{
    char date[DOH_DATE], cache[64] = "";
    const char *allow = a->status == 405 ? "allow: " DOH_ALLOW "\r\n" : "";
    doh_date(date);
    if (a->data)
        (void)snprintf(cache, sizeof cache, "cache-control: max-age=%u\r\n", a->max_age);
    int n = snprintf(out, HEADER_MAX,
                     "HTTP/1.1 %d %s\r\ncontent-type: %s\r\n%s%scontent-length: %zu\r\ndate: "
                     "%s\r\n%s\r\n",
                     a->status, doh_reason(a->status), a->data ? DOH_MIME : "text/plain", cache,
                     allow, len, date, c->last ? "connection: close\r\n" : "");
    return (size_t)n;
}

void h1_respond(struct doh_request *r, const struct doh_response *a)
{
    struct doh_conn *c = r->conn;
    char head[HEADER_MAX];
    const char *reason = doh_reason(a->status);
    size_t len = a->data ? a->len : strlen(reason);
    struct iovec parts[] = { { head, write_head(c, a, len, head) },
                             { (void *)(uintptr_t)(a->data ? (const void *)a->data : reason),
                               len } };
    bool bodiless = r->method == DOH_HEAD;
    c->waiting = false;
    doh_request_free(r);
    stream_send(&c->s, parts, bodiless ? 1 : 2);
}
