/* HTTP/1.1 (RFC 9112), as much of it as DNS needs: one request at a time, bodies of a known length.
 */
#include "net/doh_impl.h"

#include "base/mem.h"
#include "net/h1_head.h"

#include <string.h>

#define BUFFER     (DOH_HEAD_MAX + DOH_BODY_MAX)
#define HEADER_MAX 512 /* bytes of a response's head */

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

static void hand_over(struct doh_conn *c, const struct h1_head *h, size_t head)
{
    struct doh_request *r = doh_request_new(c);
    if (!r) {
        stream_close(&c->s);
        return;
    }
    c->last = h->close || c->s.server->retired;
    c->waiting = true;
    struct h1_text type;
    r->method = doh_method_of(h->method.p, h->method.len);
    r->foreign =
        h1_head_find(c->buf, head, "content-type", &type) && !doh_is_message(type.p, type.len);
    doh_request_done(r, h->target.p, h->target.len, c->buf + head, h->body);
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
    size_t before = c->scanned, head = h1_head_len(c->buf, c->len, &c->scanned);
    if (!head && c->len <= DOH_HEAD_MAX)
        return false;
    if (!head || head > DOH_HEAD_MAX) {
        refuse(c, 431);
        return true;
    }
    struct h1_head h = h1_head_read(c->buf, head, DOH_BODY_MAX);
    if (!h.status && h.coded)
        h.status = 411;
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
        c->buf = stream_buffer_take(&c->s, BUFFER);
    *ret = c->buf ? c->buf + c->len : NULL;
    *ret_len = BUFFER - c->len;
}

void h1_go_on(struct doh_conn *c)
{
    while (!c->s.closed && !c->waiting && !c->last && take_request(c))
        continue;
    if (c->len == 0) {
        stream_buffer_give(&c->s, c->buf);
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
