#include "net/tcp.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "net/accept.h"

#include <string.h>

#define EVICT_LOOKS 16 /* connections looked at for one that may go */

struct tcp_server {
    struct acceptor acceptor;
    uv_timer_t sweep;
    const struct tcp_handler handler;
    struct tcp_limits limits; /* none is 0, but for `messages` */
    struct tcp_conn *conns;   /* all that are open, the newest first */
    struct tcp_conn *oldest;
    unsigned n_conns;
    unsigned refs; /* listener, timer, connections */
    bool closing, retired;
};

struct tcp_conn {
    uv_tcp_t tcp;
    struct tcp_server *server;
    struct tcp_conn *prev, *next;
    struct sockaddr_storage peer, local;
    uint64_t deadline;       /* loop time, ms */
    uint64_t write_deadline; /* the same, while something is unsent */
    unsigned unsent;         /* writes under way */
    uint32_t taken;          /* messages so far */
    unsigned pending;        /* messages that wait for their reply */
    bool closed;             /* uv_close() was called */
    bool closed_done;        /* and has finished */
    bool paused;             /* not reading: too much is unanswered or unsent */
    bool busy;               /* conn_process() is at work */
    uint8_t *buf;            /* TCP_BUFFER bytes while a message is incomplete, else NULL */
    size_t len;
};

struct tcp_write {
    uv_write_t req;
    uint8_t data[];
};

static void server_unref(struct tcp_server *s)
{
    if (--s->refs == 0)
        free(s);
}

static void conn_free_if_done(struct tcp_conn *c)
{
    if (!c->closed_done || c->pending || c->busy)
        return;
    server_unref(c->server);
    free(c->buf);
    free(c);
}

static void conn_closed(uv_handle_t *h)
{
    struct tcp_conn *c = h->data;
    c->closed_done = true;
    conn_free_if_done(c);
}

static void conn_close(struct tcp_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    if (c->prev)
        c->prev->next = c->next;
    else
        c->server->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        c->server->oldest = c->prev;
    c->server->n_conns--;
    uv_close((uv_handle_t *)&c->tcp, conn_closed);
    seat_leave();
}

/* One read is given the rest of a message buffer, so at most one message is ever moved. */
static void conn_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct tcp_conn *c = h->data;
    (void)suggested;
    if (!c->buf)
        c->buf = mem_try(TCP_BUFFER);
    *ret_buf = c->buf ? uv_buf_init((char *)c->buf + c->len, (unsigned)(TCP_BUFFER - c->len))
                      : uv_buf_init(NULL, 0); /* conn_read() then hears of an error */
}

/* A peer that asks without reading the replies must not make us hold them without end. */
static bool conn_is_full(const struct tcp_conn *c, unsigned share)
{
    return c->pending >= TCP_PENDING_MAX / share ||
           uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) >= TCP_UNSENT_MAX / share;
}

static bool conn_is_used_up(const struct tcp_conn *c)
{
    return c->server->limits.messages && c->taken >= c->server->limits.messages;
}

/* Has had its last message, and the peer has the reply. */
static void conn_close_if_used_up(struct tcp_conn *c)
{
    if (conn_is_used_up(c) && !c->pending && !c->unsent)
        conn_close(c);
}

static void conn_touch(struct tcp_conn *c)
{
    c->deadline = uv_now(c->tcp.loop) + c->server->limits.idle_ms;
}

/* Hands over every complete message; returns the number of bytes used. */
static size_t conn_messages(struct tcp_conn *c)
{
    size_t used = 0;
    while (!c->closed && !conn_is_full(c, 1) && !conn_is_used_up(c) && c->len - used >= 2) {
        size_t len = get_u16(c->buf + used);
        if (c->len - used < 2 + len)
            break;
        const uint8_t *data = c->buf + used + 2;
        used += 2 + len;
        conn_touch(c);
        if (len == 0)
            continue;
        c->pending++;
        c->taken++;
        c->server->handler.message(c->server->handler.ctx, c, data, len);
    }
    return used;
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void conn_process(struct tcp_conn *c)
{
    c->busy = true; /* a reply inside must neither free it nor start over */
    size_t used = conn_messages(c);
    c->busy = false;
    c->len -= used;
    if (used && c->len)
        memmove(c->buf, c->buf + used, c->len);
    if (!c->closed) {
        bool pause = conn_is_full(c, 1) || conn_is_used_up(c);
        if (pause && !c->paused) {
            uv_read_stop((uv_stream_t *)&c->tcp);
            seat_paused();
        } else if (!pause && c->paused)
            uv_read_start((uv_stream_t *)&c->tcp, conn_alloc, conn_read);
        c->paused = pause;
    }
    if (c->len == 0) {
        free(c->buf);
        c->buf = NULL;
    }
    conn_close_if_used_up(c);
    conn_free_if_done(c);
}

static void conn_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tcp_conn *c = stream->data;
    (void)buf;
    if (n < 0) {
        conn_close(c);
        return;
    }
    c->len += (size_t)n;
    c->server->handler.enter(c->server->handler.ctx);
    conn_process(c);
    c->server->handler.leave(c->server->handler.ctx);
}

static void conn_join(struct tcp_conn *c, struct tcp_server *s)
{
    c->server = s;
    c->tcp.data = c;
    s->refs++;
    c->next = s->conns;
    if (s->conns)
        s->conns->prev = c;
    else
        s->oldest = c;
    s->conns = c;
    s->n_conns++;
}

static bool conn_begin(struct tcp_conn *c, int fd)
{
    int peer_len = sizeof c->peer, local_len = sizeof c->local;
    if (uv_tcp_open(&c->tcp, fd) < 0) {
        close(fd);
        return false;
    }
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&c->peer, &peer_len) < 0 ||
        uv_tcp_getsockname(&c->tcp, (struct sockaddr *)&c->local, &local_len) < 0)
        return false;
    uv_tcp_nodelay(&c->tcp, 1);
    c->deadline = uv_now(c->tcp.loop) + c->server->limits.first_ms;
    return uv_read_start((uv_stream_t *)&c->tcp, conn_alloc, conn_read) == 0;
}

/* The connection that has been here longest and waits for nothing goes, so that clients who only
 * sit there never keep others out. */
static bool conn_evict(void *ctx)
{
    struct tcp_server *s = ctx;
    struct tcp_conn *c = s->oldest;
    for (int i = 0; c && c->pending && i < EVICT_LOOKS; i++)
        c = c->prev;
    if (!c || c->pending)
        return false;
    conn_close(c);
    seat_evicted();
    return true;
}

static bool conn_seat(struct tcp_server *s)
{
    if (s->n_conns < TCP_CONNS_MAX && seat_take(s->n_conns))
        return true;
    return conn_evict(s) && seat_take(s->n_conns);
}

static void conn_new(void *ctx, int fd)
{
    struct tcp_server *s = ctx;
    bool seated = conn_seat(s);
    struct tcp_conn *c = seated ? mem_try(sizeof *c) : NULL;
    if (!c) {
        if (seated)
            seat_leave();
        seat_refused();
        close(fd);
        return;
    }
    memset(c, 0, sizeof *c);
    uv_tcp_init(s->sweep.loop, &c->tcp);
    conn_join(c, s);
    if (!conn_begin(c, fd))
        conn_close(c);
}

static void sweep_conns(uv_timer_t *t)
{
    struct tcp_server *s = t->data;
    for (struct tcp_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        uint64_t deadline = c->unsent ? c->write_deadline : c->deadline;
        if ((c->unsent || !c->pending) && uv_now(t->loop) >= deadline)
            conn_close(c);
    }
}

void tcp_server_set_limits(struct tcp_server *s, const struct tcp_limits *limits)
{
    s->limits = (struct tcp_limits){
        .first_ms = limits->first_ms ? limits->first_ms : TCP_FIRST_MS,
        .idle_ms = limits->idle_ms ? limits->idle_ms : TCP_IDLE_MS,
        .write_ms = limits->write_ms ? limits->write_ms : TCP_WRITE_MS,
        .messages = limits->messages,
    };
}

static void server_handle_closed(uv_handle_t *h)
{
    server_unref(h->data);
}

static void acceptor_closed(void *ctx)
{
    server_unref(ctx);
}

int tcp_server_open(uv_loop_t *loop, int fd, const struct tcp_handler *handler,
                    struct tcp_server **ret, struct err *e)
{
    struct tcp_server *s = xcalloc(1, sizeof *s);
    memcpy((void *)(uintptr_t)&s->handler, handler, sizeof *handler);
    tcp_server_set_limits(s, &(struct tcp_limits){ 0 });
    s->sweep.data = s;
    s->refs = 2;
    s->acceptor = (struct acceptor){
        .ctx = s, .take = conn_new, .make_room = conn_evict, .closed = acceptor_closed
    };
    uv_timer_init(loop, &s->sweep);
    int code = acceptor_open(&s->acceptor, loop, fd);
    if (code < 0) {
        s->closing = true;
        uv_close((uv_handle_t *)&s->sweep, server_handle_closed);
        return err_set(e, code, "accept connections: %s", uv_strerror(code));
    }
    seats_open();
    uv_timer_start(&s->sweep, sweep_conns, 1000, 1000);
    *ret = s;
    return 0;
}

void tcp_server_close(struct tcp_server *s)
{
    if (s->closing)
        return;
    s->closing = true;
    seats_close();
    while (s->conns)
        conn_close(s->conns);
    uv_close((uv_handle_t *)&s->sweep, server_handle_closed);
    tcp_server_retire(s);
}

void tcp_server_retire(struct tcp_server *s)
{
    if (s->retired)
        return;
    s->retired = true;
    for (struct tcp_conn *c = s->conns; c; c = c->next)
        c->deadline = MIN(c->deadline, uv_now(c->tcp.loop) + s->limits.idle_ms);
    acceptor_close(&s->acceptor);
}

int tcp_server_fd(const struct tcp_server *s)
{
    return s->retired ? -1 : s->acceptor.fd;
}

unsigned tcp_server_connections(const struct tcp_server *s)
{
    return s->n_conns;
}

const struct sockaddr *tcp_peer(const struct tcp_conn *c)
{
    return (const struct sockaddr *)&c->peer;
}

const struct sockaddr *tcp_local(const struct tcp_conn *c)
{
    return (const struct sockaddr *)&c->local;
}

/* What was read before the pause comes first. */
static bool conn_may_go_on(const struct tcp_conn *c)
{
    return c->paused && !c->busy && !c->closed && !conn_is_full(c, 2) && !conn_is_used_up(c);
}

static void write_done(uv_write_t *req, int status)
{
    struct tcp_conn *c = req->handle->data;
    const struct tcp_handler *h = &c->server->handler;
    free(container_of(req, struct tcp_write, req));
    c->unsent--;
    if (status < 0) {
        conn_close(c);
        return;
    }
    conn_touch(c);
    c->write_deadline = uv_now(c->tcp.loop) + c->server->limits.write_ms;
    conn_close_if_used_up(c);
    if (!conn_may_go_on(c))
        return;
    h->enter(h->ctx);
    conn_process(c);
    h->leave(h->ctx);
}

static void message_answered(struct tcp_conn *c)
{
    c->pending--;
    conn_touch(c);
    if (!c->busy)
        conn_close_if_used_up(c);
    if (conn_may_go_on(c))
        conn_process(c);
    else
        conn_free_if_done(c);
}

void tcp_send_part(struct tcp_conn *c, const uint8_t *data, size_t len)
{
    if (c->closed)
        return;
    struct tcp_write *w = malloc(sizeof *w + 2 + len);
    if (!w) { /* a peer that misses a reply is better off asking anew */
        conn_close(c);
        return;
    }
    put_u16(w->data, (uint16_t)len);
    memcpy(w->data + 2, data, len);
    uv_buf_t buf = uv_buf_init((char *)w->data, (unsigned)(2 + len));
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, write_done) < 0) {
        free(w);
        conn_close(c);
        return;
    }
    if (c->unsent++ == 0)
        c->write_deadline = uv_now(c->tcp.loop) + c->server->limits.write_ms;
}

void tcp_reply(struct tcp_conn *c, const uint8_t *data, size_t len)
{
    tcp_send_part(c, data, len);
    message_answered(c);
}

void tcp_no_reply(struct tcp_conn *c)
{
    message_answered(c);
}
