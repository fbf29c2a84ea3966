#include "net/doh_impl.h"

#include "base/mem.h"

#include <string.h>
#include <strings.h>
#include <time.h>

enum doh_method doh_method_of(const char *text, size_t len)
{
    static const struct {
        const char *name;
        enum doh_method method;
    } methods[] = { { "GET", DOH_GET }, { "POST", DOH_POST }, { "HEAD", DOH_HEAD } };
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
        if (len == strlen(methods[i].name) && memcmp(text, methods[i].name, len) == 0)
            return methods[i].method;
    return DOH_OTHER;
}

bool doh_is_message(const char *type, size_t len)
{
    const char *end = memchr(type, ';', len);
    len = end ? (size_t)(end - type) : len;
    while (len && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    return len == strlen(DOH_MIME) && strncasecmp(type, DOH_MIME, len) == 0;
}

const char *doh_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = { { 200, "OK" },
                    { 400, "Bad Request" },
                    { 404, "Not Found" },
                    { 405, "Method Not Allowed" },
                    { 411, "Length Required" },
                    { 413, "Content Too Large" },
                    { 415, "Unsupported Media Type" },
                    { 431, "Request Header Fields Too Large" },
                    { 500, "Internal Server Error" },
                    { 505, "HTTP Version Not Supported" } };
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Error";
}

void doh_date(char ret[DOH_DATE])
{
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(ret, DOH_DATE, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
}

/* ---- requests ---- */

struct doh_request *doh_request_new(struct doh_conn *c)
{
    struct doh_request *r = mem_try(sizeof *r);
    if (!r)
        return NULL;
    *r = (struct doh_request){ .conn = c, .method = DOH_OTHER, .next = c->requests };
    if (c->requests)
        c->requests->prev = r;
    c->requests = r;
    return r;
}

void doh_request_free(struct doh_request *r)
{
    struct doh_conn *c = r->conn;
    if (r->prev)
        r->prev->next = r->next;
    else
        c->requests = r->next;
    if (r->next)
        r->next->prev = r->prev;
    c->held -= r->out_len;
    free(r->in);
    free(r->target);
    free(r->out);
    free(r);
}

static void respond(struct doh_request *r, const struct doh_response *a)
{
    struct doh_conn *c = r->conn;
    const struct doh_handler *h = &doh_server_of(c)->handler;
    if (r->gone || c->s.closed) {
        if (c->h2 && !r->gone)
            h2_forget(r);
        doh_request_free(r);
        return;
    }
    h->answered(h->owner.ctx, a->status);
    if (c->h2)
        h2_respond(r, a);
    else
        h1_respond(r, a);
}

/* The message of a request, or the status that it is refused with. */
static int message_of(struct doh_request *r, const char *target, size_t len, const uint8_t *body,
                      size_t body_len)
{
    if (r->status)
        return r->status;
    bool in_target = r->method == DOH_GET || r->method == DOH_HEAD;
    if (in_target && !(r->in = mem_try(len + 1)))
        return 500;
    int status = doh_target(target, len, in_target, r->in, &r->in_len);
    if (status)
        return status;
    if (r->method == DOH_OTHER)
        return 405;
    if (r->method == DOH_POST && r->foreign)
        return 415;
    if (r->method == DOH_POST && !r->in) {
        r->in = mem_try(body_len + 1);
        if (!r->in)
            return 500;
        memcpy(r->in, body, body_len);
        r->in_len = body_len;
    }
    return r->in_len > DOH_BODY_MAX ? 413 : 0;
}

void doh_request_done(struct doh_request *r, const char *target, size_t len, const uint8_t *body,
                      size_t body_len)
{
    struct doh_conn *c = r->conn;
    const struct doh_handler *h = &doh_server_of(c)->handler;
    c->s.begun = true;
    stream_touch(&c->s);
    int status = message_of(r, target, len, body, body_len);
    if (status) {
        respond(r, &(struct doh_response){ .status = status });
        return;
    }
    r->waiting = true;
    c->s.pending++;
    h->message(h->owner.ctx, r, r->in, r->in_len);
}

static void settle(struct doh_request *r, const struct doh_response *a)
{
    struct doh_conn *c = r->conn;
    bool outermost = c->s.busy == 0;
    r->waiting = false;
    stream_touch(&c->s);
    c->s.busy++; /* what responding leads to must not free it */
    c->s.pending--;
    respond(r, a);
    if (outermost && !c->s.closed) {
        if (c->h2)
            h2_go_on(c);
        else
            h1_go_on(c);
    }
    c->s.busy--;
    stream_let_go(&c->s);
}

void doh_reply(struct doh_request *r, const uint8_t *data, size_t len, uint32_t max_age)
{
    settle(r, &(struct doh_response){ 200, data, len, max_age });
}

void doh_fail(struct doh_request *r, int status)
{
    settle(r, &(struct doh_response){ .status = status });
}

const struct sockaddr *doh_peer(const struct doh_request *r)
{
    return (const struct sockaddr *)&r->conn->s.peer;
}

const struct sockaddr *doh_local(const struct doh_request *r)
{
    return (const struct sockaddr *)&r->conn->s.local;
}

/* ---- connections ---- */

/* Known when the first bytes are to be read: TLS's handshake is over by then. */
static void choose(struct doh_conn *c)
{
    char protocol[TLS_ALPN_MAX];
    c->chosen = true;
    stream_alpn(&c->s, protocol);
    if (strcmp(protocol, "h2") == 0 && !h2_begin(c))
        stream_close(&c->s);
}

static void conn_room(struct stream *s, uint8_t **ret, size_t *ret_len)
{
    struct doh_conn *c = doh_conn_of(s);
    if (!c->chosen)
        choose(c);
    if (!c->h2) {
        h1_room(c, ret, ret_len);
        return;
    }
    *ret = doh_server_of(c)->in;
    *ret_len = DOH_READ_BYTES;
}

static void conn_got(struct stream *s, size_t n)
{
    struct doh_conn *c = doh_conn_of(s);
    if (c->h2)
        h2_got(c, doh_server_of(c)->in, n);
    else
        h1_got(c, n);
}

static void conn_sent(struct stream *s)
{
    struct doh_conn *c = doh_conn_of(s);
    if (c->h2)
        h2_go_on(c);
}

static void conn_retired(struct stream *s)
{
    struct doh_conn *c = doh_conn_of(s);
    if (c->h2)
        h2_retire(c);
}

static void conn_freed(struct stream *s)
{
    struct doh_conn *c = doh_conn_of(s);
    if (c->h2)
        h2_end(c);
    while (c->requests)
        doh_request_free(c->requests);
    stream_buffer_give(s, c->buf);
}

static const struct stream_kind kind = { .size = sizeof(struct doh_conn),
                                         .room = conn_room,
                                         .got = conn_got,
                                         .sent = conn_sent,
                                         .freed = conn_freed,
                                         .retired = conn_retired };

/* ---- servers ---- */

int doh_server_open(uv_loop_t *loop, int fd, const struct doh_handler *handler,
                    struct doh_server **ret, struct err *e)
{
    struct doh_server *s = xcalloc(1, sizeof *s);
    s->handler = *handler;
    int code = stream_server_open(&s->s, &kind, &handler->owner, loop, fd, e);
    if (code == 0)
        *ret = s;
    return code;
}

void doh_server_set_limits(struct doh_server *s, const struct stream_limits *limits)
{
    stream_server_set_limits(&s->s, limits);
}

void doh_server_set_tls(struct doh_server *s, struct tls_config *tls, struct stream_quota *quota)
{
    stream_server_set_tls(&s->s, tls, quota);
}

void doh_server_close(struct doh_server *s)
{
    stream_server_close(&s->s);
}

struct stream_server *doh_server_stream(struct doh_server *s)
{
    return &s->s;
}
