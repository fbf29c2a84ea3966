#include "net/exchange.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/h1_head.h"
#include "net/listen.h"
#include "net/stream.h"

#include <string.h>

#define READ_MIN 8192 /* bytes of room that a read is given */

struct exchange_server {
    struct stream_server s;
    struct exchange_options o;
};

/* A connection; it is its exchange, too, while one is under way. */
struct exchange {
    struct stream s;
    char *buf; /* what has come; the head's NULs are put in when it is complete */
    size_t len, cap, scanned;
    size_t head, body; /* of the request under way */
    char *method, *target;
    char *texts; /* copy of the head, for look-ups */
    bool active, streaming, last, bodiless;
    void (*gone)(void *ctx);
    void *ctx;
};

static const struct stream_kind kind;

static struct exchange *exchange_of(struct stream *s)
{
    return container_of(s, struct exchange, s);
}

static struct exchange_server *server_of(const struct exchange *x)
{
    return container_of(x->s.server, struct exchange_server, s);
}

/* ---- servers ---- */

static void enter_or_leave(void *ctx)
{
    (void)ctx;
}

int exchange_server_open(const struct exchange_options *o, struct exchange_server **ret,
                         struct err *e)
{
    int fd = listen_tcp(&o->ip, o->port, e);
    if (fd < 0)
        return fd;
    struct exchange_server *s = xcalloc(1, sizeof *s);
    s->o = *o;
    const struct stream_owner owner = { s, enter_or_leave, enter_or_leave };
    int code = stream_server_open(&s->s, &kind, &owner, o->loop, fd, e);
    if (code < 0)
        return code;
    stream_server_set_limits(&s->s, &(struct stream_limits){ .first_ms = EXCHANGE_FIRST_MS,
                                                             .idle_ms = EXCHANGE_IDLE_MS,
                                                             .write_ms = EXCHANGE_WRITE_MS });
    if (o->tls)
        stream_server_set_tls(&s->s, o->tls, NULL);
    *ret = s;
    return 0;
}

void exchange_server_close(struct exchange_server *s)
{
    if (s)
        stream_server_close(&s->s);
}

uint16_t exchange_server_port(const struct exchange_server *s)
{
    struct sockaddr_storage sa = { 0 };
    socklen_t len = sizeof sa;
    if (getsockname(stream_server_fd(&s->s), (struct sockaddr *)&sa, &len) < 0)
        return 0;
    return port_of_sockaddr((struct sockaddr *)&sa);
}

/* ---- the end of an exchange ---- */

static void forget(struct exchange *x)
{
    free(x->texts);
    x->texts = NULL;
    x->gone = NULL;
    x->active = x->streaming = false;
    x->len -= x->head + x->body;
    memmove(x->buf, x->buf + x->head + x->body, x->len);
    x->scanned = x->head = x->body = 0;
    x->s.pending--;
    stream_touch(&x->s);
}

/* The peer has gone while we owed it something. */
static void lose(struct exchange *x)
{
    void (*gone)(void *) = x->gone;
    if (!x->active)
        return;
    forget(x); /* the memory stays until libuv has let go of the handle */
    if (gone)
        gone(x->ctx);
}

static void on_freed(struct stream *s)
{
    struct exchange *x = exchange_of(s);
    free(x->texts);
    free(x->buf);
}

/* ---- receiving ---- */

static void on_room(struct stream *s, uint8_t **ret, size_t *ret_len)
{
    struct exchange *x = exchange_of(s);
    if (x->cap - x->len < READ_MIN) {
        size_t cap = MAX(x->cap * 2, (size_t)READ_MIN * 2);
        char *buf = mem_is_short() ? NULL : realloc(x->buf, cap);
        if (!buf) {
            *ret = NULL;
            return;
        }
        x->buf = buf;
        x->cap = cap;
    }
    *ret = (uint8_t *)x->buf + x->len;
    *ret_len = x->cap - x->len;
}

static void refuse(struct exchange *x, int status)
{
    x->active = x->last = true;
    x->head = x->len;
    x->body = 0;
    x->s.pending++;
    exchange_reply(x, status, NULL, 0, "", 0);
}

static void say_continue(struct exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec part = { (void *)(uintptr_t)text, sizeof text - 1 };
    stream_send(&x->s, &part, 1);
}

/* Texts of the head get an end of their own. */
static void hand_over(struct exchange *x, const struct h1_head *h, size_t head)
{
    struct exchange_server *s = server_of(x);
    x->texts = xmalloc(head + 1);
    memcpy(x->texts, x->buf, head);
    x->texts[head] = 0;
    x->method = x->texts + (h->method.p - x->buf);
    x->method[h->method.len] = 0;
    x->target = x->texts + (h->target.p - x->buf);
    x->target[h->target.len] = 0;
    x->head = head;
    x->body = h->body;
    x->last = h->close;
    x->bodiless = strcmp(x->method, "HEAD") == 0;
    x->active = true;
    x->s.begun = true;
    x->s.pending++;
    s->o.handle(s->o.ctx, x);
}

/* False: the next request is not there yet. */
static bool take_request(struct exchange *x)
{
    size_t before = x->scanned;
    size_t head = h1_head_len((uint8_t *)x->buf, x->len, &x->scanned);
    if (!head && x->len <= EXCHANGE_HEAD_MAX)
        return false;
    if (!head || head > EXCHANGE_HEAD_MAX) {
        refuse(x, 431);
        return true;
    }
    struct h1_head h = h1_head_read((uint8_t *)x->buf, head, server_of(x)->o.body_max);
    if (!h.status && h.coded)
        h.status = 411;
    if (h.status) {
        refuse(x, h.status);
        return true;
    }
    if (x->len < head + h.body) {
        if (h.expects && before < head - 1)
            say_continue(x);
        return false;
    }
    hand_over(x, &h, head);
    return true;
}

/* While a response streams, reading goes on, so that the end of the peer is seen. */
static void go_on(struct exchange *x)
{
    x->s.busy++;
    while (!x->s.closed && !x->active && !x->last && take_request(x))
        continue;
    if (x->last && !x->active)
        stream_end(&x->s);
    else if (!x->s.closed)
        stream_pause(&x->s, (x->active && !x->streaming) ||
                                x->len > EXCHANGE_HEAD_MAX + server_of(x)->o.body_max);
    if (x->len == 0 && !x->active) {
        free(x->buf);
        x->buf = NULL;
        x->cap = 0;
    }
    x->s.busy--;
    stream_let_go(&x->s);
}

static void on_got(struct stream *s, size_t n)
{
    struct exchange *x = exchange_of(s);
    x->len += n;
    go_on(x);
}

/* Nobody waits for the rest of a stream. */
static void on_left(struct stream *s)
{
    if (exchange_of(s)->streaming)
        stream_close(s);
}

static void on_closed(struct stream *s)
{
    lose(exchange_of(s));
}

static const struct stream_kind kind = { .size = sizeof(struct exchange),
                                         .room = on_room,
                                         .got = on_got,
                                         .left = on_left,
                                         .closed = on_closed,
                                         .freed = on_freed };

/* ---- the request ---- */

const char *exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_target(const struct exchange *x)
{
    return x->target;
}

/* The value's end is put into our copy of the head; the original keeps its line ends. */
const char *exchange_header(const struct exchange *x, const char *name)
{
    struct h1_text value;
    if (!h1_head_find((const uint8_t *)x->buf, x->head, name, &value))
        return NULL;
    char *copy = x->texts + (value.p - x->buf);
    copy[value.len] = 0;
    return copy;
}

const char *exchange_body(const struct exchange *x, size_t *ret_len)
{
    *ret_len = x->body;
    return x->buf + x->head;
}

bool exchange_subject(const struct exchange *x, struct tls_subject *ret)
{
    return stream_subject(&x->s, ret);
}

/* ---- the response ---- */

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 422, "Unprocessable Entity" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].status == status)
            return table[i].text;
    return "Unknown";
}

static void put_head(const struct exchange *x, int status, const struct exchange_header *headers,
                     size_t n, struct strbuf *out)
{
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    strbuf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason(status), date);
    for (size_t i = 0; i < n; i++)
        strbuf_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
    if (x->last)
        strbuf_puts(out, "Connection: close\r\n");
}

static void over(struct exchange *x)
{
    if (!x->active)
        return; /* the peer has gone meanwhile */
    forget(x);
    if (!x->s.busy)
        go_on(x);
}

void exchange_reply(struct exchange *x, int status, const struct exchange_header *headers, size_t n,
                    const void *body, size_t len)
{
    struct strbuf head = { 0 };
    put_head(x, status, headers, n, &head);
    strbuf_printf(&head, "Content-Length: %zu\r\n\r\n", len);
    const struct iovec parts[] = { { head.p, head.len }, { (void *)(uintptr_t)body, len } };
    x->s.busy++;
    stream_send(&x->s, parts, x->bodiless || !len ? 1 : 2);
    x->s.busy--;
    strbuf_done(&head);
    over(x);
}

void exchange_begin(struct exchange *x, int status, const struct exchange_header *headers, size_t n)
{
    struct strbuf head = { 0 };
    put_head(x, status, headers, n, &head);
    strbuf_puts(&head, "Transfer-Encoding: chunked\r\n\r\n");
    struct iovec part = { head.p, head.len };
    x->streaming = true;
    stream_send(&x->s, &part, 1);
    strbuf_done(&head);
    if (!x->s.closed && !x->s.busy)
        stream_pause(&x->s, false);
}

void exchange_piece(struct exchange *x, const void *p, size_t len)
{
    char size[24];
    int n = snprintf(size, sizeof size, "%zx\r\n", len);
    const struct iovec parts[] = { { size, (size_t)n },
                                   { (void *)(uintptr_t)p, len },
                                   { (void *)(uintptr_t) "\r\n", 2 } };
    if (len && !x->bodiless)
        stream_send(&x->s, parts, 3);
}

void exchange_frame(const void *p, size_t len, struct strbuf *out)
{
    strbuf_printf(out, "%zx\r\n", len);
    strbuf_add(out, p, len);
    strbuf_puts(out, "\r\n");
}

void exchange_send_frame(struct exchange *x, const struct strbuf *frame)
{
    const struct iovec part = { frame->p, frame->len };
    if (frame->len && !x->bodiless)
        stream_send(&x->s, &part, 1);
}

void exchange_cork(struct exchange *x)
{
    stream_cork(&x->s);
}

void exchange_uncork(struct exchange *x)
{
    stream_uncork(&x->s);
}

void exchange_end(struct exchange *x)
{
    struct iovec part = { (void *)(uintptr_t) "0\r\n\r\n", 5 };
    x->s.busy++;
    if (!x->bodiless)
        stream_send(&x->s, &part, 1);
    x->s.busy--;
    over(x);
}

void exchange_abort(struct exchange *x)
{
    stream_close(&x->s);
}

size_t exchange_unsent(const struct exchange *x)
{
    return stream_unsent(&x->s);
}

void exchange_on_gone(struct exchange *x, void (*gone)(void *ctx), void *ctx)
{
    x->gone = gone;
    x->ctx = ctx;
}
