#include "net/stream_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

#define EVICT_LOOKS 16 /* connections looked at for one that may go */

/* ---- quotas ---- */

struct stream_quota *stream_quota_new(unsigned max)
{
    struct stream_quota *q = xcalloc(1, sizeof *q);
    atomic_init(&q->refs, 1);
    q->max = max;
    return q;
}

struct stream_quota *stream_quota_ref(struct stream_quota *q)
{
    if (q)
        atomic_fetch_add(&q->refs, 1);
    return q;
}

void stream_quota_free(struct stream_quota *q)
{
    if (q && atomic_fetch_sub(&q->refs, 1) == 1)
        free(q);
}

/* ---- the end of connections and servers ---- */

static void server_unref(struct stream_server *s)
{
    if (--s->refs)
        return;
    tls_config_free(s->tls);
    stream_quota_free(s->quota);
    free(s->sealed);
    free(s->spare);
    free(s->gathered);
    free(s);
}

void stream_let_go(struct stream *s)
{
    if (!s->closed)
        stream_end_if_answered(s);
    if (!s->closed_done || s->pending || s->busy)
        return;
    s->server->kind->freed(s);
    if (s->quota)
        atomic_fetch_sub(&s->quota->open, 1);
    stream_quota_free(s->quota);
    tls_free(s->tls);
    server_unref(s->server);
    free(s);
}

static void stream_closed(uv_handle_t *h)
{
    struct stream *s = h->data;
    s->closed_done = true;
    stream_let_go(s);
}

/* What TLS has left to say, unless it would have to stand in line. */
static void say_goodbye(struct stream *s)
{
    const uint8_t *data;
    tls_goodbye(s->tls);
    size_t len = tls_out(s->tls, &data);
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
    if (len && s->unsent == 0)
        (void)uv_try_write((uv_stream_t *)&s->tcp, &buf, 1);
}

void stream_close(struct stream *s)
{
    if (s->closed)
        return;
    stream_send_gathered(s);
    if (s->closed)
        return;
    if (s->server->corked == s) /* whoever corked it may not come back */
        s->server->corked = NULL;
    s->closed = true;
    if (s->tls)
        say_goodbye(s);
    if (s->prev)
        s->prev->next = s->next;
    else
        s->server->conns = s->next;
    if (s->next)
        s->next->prev = s->prev;
    else
        s->server->oldest = s->prev;
    s->server->n_conns--;
    uv_close((uv_handle_t *)&s->tcp, stream_closed);
    seat_leave();
    if (s->server->kind->closed)
        s->server->kind->closed(s);
}

/* ---- an orderly end ---- */

static void drop_room(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct stream *s = h->data;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)s->server->sealed, TLS_IN_MAX);
}

static void drop(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0)
        stream_close(stream->data);
}

static void shut_down(uv_shutdown_t *req, int status)
{
    struct stream *s = req->handle->data;
    if (status < 0)
        stream_close(s);
}

/* Closes our side behind what is being sent. */
static void linger(struct stream *s)
{
    struct stream_server *server = s->server;
    uv_stream_t *stream = (uv_stream_t *)&s->tcp;
    if (!server->sealed)
        server->sealed = mem_try(TLS_IN_MAX);
    s->lingers = true;
    s->deadline = uv_now(stream->loop) + STREAM_LINGER_MS;
    if (s->tls) {
        tls_goodbye(s->tls);
        stream_flush_sealed(s);
    }
    uv_read_stop(stream);
    if (!s->closed && (!server->sealed || uv_shutdown(&s->shutdown, stream, shut_down) < 0 ||
                       uv_read_start(stream, drop_room, drop) < 0))
        stream_close(s);
}

void stream_end_if_answered(struct stream *s)
{
    if (s->pending || s->busy || s->pumping)
        return;
    if (s->heard_all && s->unsent == 0)
        stream_close(s);
    else if (s->ending && !s->heard_all && !s->lingers)
        linger(s);
}

void stream_end(struct stream *s)
{
    if (s->closed || s->ending)
        return;
    s->ending = true;
    if (!s->heard_all)
        uv_read_stop((uv_stream_t *)&s->tcp);
    stream_end_if_answered(s);
}

/* The peer has closed its side, but may wait for replies on ours. */
static void hear_all(struct stream *s)
{
    s->heard_all = true;
    uv_read_stop((uv_stream_t *)&s->tcp);
    if (s->server->kind->left)
        s->server->kind->left(s);
    stream_end_if_answered(s);
}

/* ---- receiving ---- */

static void give_room(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct stream *s = h->data;
    uint8_t *at = s->server->sealed;
    size_t len = TLS_IN_MAX;
    (void)suggested;
    if (!s->tls)
        s->server->kind->room(s, &at, &len);
    *ret_buf = at ? uv_buf_init((char *)at, (unsigned)len)
                  : uv_buf_init(NULL, 0); /* read_done() then hears of an error */
}

/* Hands over what can be read of what has been fed, until nothing is left or the kind has enough.
 */
static void pump(struct stream *s)
{
    ssize_t n = 1;
    s->pumping = true;
    while (n > 0 && !s->closed && !s->paused && !s->ending) {
        uint8_t *at;
        size_t len;
        s->server->kind->room(s, &at, &len);
        n = at ? tls_read(s->tls, at, len) : -1;
        if (n > 0)
            s->server->kind->got(s, (size_t)n);
    }
    s->pumping = false;
    if (!s->closed)
        stream_flush_sealed(s); /* reading may call for an answer of TLS's own */
    if (n == -ENOTCONN && !s->closed)
        hear_all(s);
    else if (n < 0)
        stream_close(s);
    else if (!s->closed)
        stream_end_if_answered(s);
}

static void got_sealed(struct stream *s, const uint8_t *data, size_t n)
{
    int ret = tls_feed(s->tls, data, n);
    if (ret < 0) {
        stream_close(s); /* with the alert */
        return;
    }
    stream_flush_sealed(s);
    if (!s->closed && tls_is_ready(s->tls))
        pump(s);
}

static void read_done(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct stream *s = stream->data;
    struct stream_server *server = s->server;
    if (n == UV_EOF) {
        hear_all(s);
        return;
    }
    if (n < 0) {
        stream_close(s);
        return;
    }
    if (n == 0)
        return;
    server->owner.enter(server->owner.ctx);
    if (s->tls)
        got_sealed(s, (const uint8_t *)buf->base, (size_t)n);
    else
        server->kind->got(s, (size_t)n);
    server->owner.leave(server->owner.ctx);
}

void stream_pause(struct stream *s, bool pause)
{
    if (pause == s->paused || s->closed)
        return;
    s->paused = pause;
    if (pause) {
        uv_read_stop((uv_stream_t *)&s->tcp);
        seat_paused();
        return;
    }
    if (s->ending)
        return;
    if (!s->heard_all)
        uv_read_start((uv_stream_t *)&s->tcp, give_room, read_done);
    if (s->tls && !s->pumping)
        pump(s);
}

uint8_t *stream_buffer_take(struct stream *s, size_t size)
{
    uint8_t *spare = s->server->spare;
    s->server->spare = NULL;
    return spare ? spare : mem_try(size);
}

void stream_buffer_give(struct stream *s, uint8_t *buffer)
{
    if (s->server->spare)
        free(buffer);
    else
        s->server->spare = buffer;
}

void stream_touch(struct stream *s)
{
    s->deadline = uv_now(s->tcp.loop) + s->server->limits.idle_ms;
}

void stream_alpn(const struct stream *s, char ret[TLS_ALPN_MAX])
{
    ret[0] = 0;
    if (s->tls)
        tls_alpn(s->tls, ret);
}

bool stream_subject(const struct stream *s, struct tls_subject *ret)
{
    return s->tls && tls_subject(s->tls, ret);
}

/* ---- accepting ---- */

static bool may_open(struct stream *s)
{
    s->quota = stream_quota_ref(s->server->quota);
    return !s->quota || atomic_fetch_add(&s->quota->open, 1) < s->quota->max;
}

static bool begin_tls(struct stream *s)
{
    if (!s->server->tls)
        return true;
    s->tls = tls_new(s->server->tls, NULL, NULL);
    return s->tls != NULL;
}

static void join(struct stream *s, struct stream_server *server)
{
    s->server = server;
    s->tcp.data = s;
    server->refs++;
    s->next = server->conns;
    if (server->conns)
        server->conns->prev = s;
    else
        server->oldest = s;
    server->conns = s;
    server->n_conns++;
}

static bool begin(struct stream *s, int fd)
{
    int peer_len = sizeof s->peer, local_len = sizeof s->local;
    if (uv_tcp_open(&s->tcp, fd) < 0) {
        close(fd);
        return false;
    }
    if (!may_open(s)) {
        seat_refused();
        return false;
    }
    if (!begin_tls(s) || uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&s->peer, &peer_len) < 0 ||
        uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&s->local, &local_len) < 0)
        return false;
    uv_tcp_nodelay(&s->tcp, 1);
    s->deadline = uv_now(s->tcp.loop) + s->server->limits.first_ms;
    return uv_read_start((uv_stream_t *)&s->tcp, give_room, read_done) == 0;
}

/* The connection that has been here longest and waits for nothing goes, so that clients who only
 * sit there never keep others out. */
static bool evict(void *ctx)
{
    struct stream_server *server = ctx;
    struct stream *s = server->oldest;
    for (int i = 0; s && s->pending && i < EVICT_LOOKS; i++)
        s = s->prev;
    if (!s || s->pending)
        return false;
    stream_close(s);
    seat_evicted();
    return true;
}

static bool seat(struct stream_server *server)
{
    if (server->n_conns < STREAM_CONNS_MAX && seat_take(server->n_conns))
        return true;
    return evict(server) && seat_take(server->n_conns);
}

static void accept_one(void *ctx, int fd)
{
    struct stream_server *server = ctx;
    bool seated = seat(server);
    struct stream *s = seated ? mem_try(server->kind->size) : NULL;
    if (!s) {
        if (seated)
            seat_leave();
        seat_refused();
        close(fd);
        return;
    }
    memset(s, 0, server->kind->size);
    uv_tcp_init(server->sweep.loop, &s->tcp);
    join(s, server);
    if (!begin(s, fd))
        stream_close(s);
}

static void sweep_conns(uv_timer_t *t)
{
    struct stream_server *server = t->data;
    for (struct stream *s = server->conns, *next; s; s = next) {
        next = s->next;
        if (server->retired && uv_now(t->loop) >= server->serves_until)
            stream_end(s);
        if (s->closed)
            continue;
        uint64_t deadline = s->unsent ? s->write_deadline : s->deadline;
        if ((s->unsent || !s->pending) && uv_now(t->loop) >= deadline)
            stream_close(s);
    }
}

/* ---- servers ---- */

void stream_server_set_limits(struct stream_server *s, const struct stream_limits *limits)
{
    s->limits = (struct stream_limits){
        .first_ms = limits->first_ms ? limits->first_ms : STREAM_FIRST_MS,
        .idle_ms = limits->idle_ms ? limits->idle_ms : STREAM_IDLE_MS,
        .write_ms = limits->write_ms ? limits->write_ms : STREAM_WRITE_MS,
    };
}

void stream_server_set_tls(struct stream_server *s, struct tls_config *tls,
                           struct stream_quota *quota)
{
    if (tls && !s->sealed)
        s->sealed = xmalloc(TLS_IN_MAX);
    struct tls_config *old = s->tls;
    s->tls = tls ? tls_config_ref(tls) : NULL;
    tls_config_free(old);
    stream_quota_free(s->quota);
    s->quota = stream_quota_ref(quota);
}

static void server_handle_closed(uv_handle_t *h)
{
    server_unref(h->data);
}

static void acceptor_closed(void *ctx)
{
    server_unref(ctx);
}

int stream_server_open(struct stream_server *s, const struct stream_kind *kind,
                       const struct stream_owner *owner, uv_loop_t *loop, int fd, struct err *e)
{
    s->kind = kind;
    s->owner = *owner;
    stream_server_set_limits(s, &(struct stream_limits){ 0 });
    s->sweep.data = s;
    s->refs = 2;
    s->acceptor = (struct acceptor){
        .ctx = s, .take = accept_one, .make_room = evict, .closed = acceptor_closed
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
    return 0;
}

void stream_server_close(struct stream_server *s)
{
    if (s->closing)
        return;
    s->closing = true;
    seats_close();
    while (s->conns)
        stream_close(s->conns);
    uv_close((uv_handle_t *)&s->sweep, server_handle_closed);
    stream_server_retire(s);
}

void stream_server_retire(struct stream_server *s)
{
    if (s->retired)
        return;
    s->retired = true;
    s->serves_until = uv_now(s->sweep.loop) + STREAM_RETIRED_MS;
    for (struct stream *i = s->conns, *next; i; i = next) {
        next = i->next;
        i->deadline = MIN(i->deadline, uv_now(i->tcp.loop) + s->limits.idle_ms);
        if (s->kind->retired)
            s->kind->retired(i);
    }
    acceptor_close(&s->acceptor);
}

int stream_server_fd(const struct stream_server *s)
{
    return s->retired ? -1 : s->acceptor.fd;
}

unsigned stream_server_connections(const struct stream_server *s)
{
    return s->n_conns;
}

uint32_t stream_server_patience(const struct stream_server *s)
{
    return s->retired ? 0 : s->limits.idle_ms;
}
