/* One connection of dnstap, as the side that has messages: READY, ACCEPT, START, data, STOP. */
#include "dns/plugins/dnstap_impl.h"

#include "base/clock.h"
#include "net/frames.h"

#include <poll.h>
#include <string.h>

/* ---- the end ---- */

void tap_stream_release(struct tap_stream *st)
{
    if (--st->open)
        return;
    tls_free(st->tls);
    free(st);
}

static void handle_closed(uv_handle_t *h)
{
    tap_stream_release(h->data);
}

void tap_stream_end(struct tap_stream *st)
{
    if (st->ended)
        return;
    st->ended = true;
    uv_close(&st->conn.handle, handle_closed);
    uv_close((uv_handle_t *)&st->timer, handle_closed);
}

void tap_stream_fail(struct tap_stream *st, const char *why)
{
    if (st->ended)
        return;
    bool flowed = st->state == TAP_FLOWING;
    tap_stream_end(st);
    tap_sender_drop(st->sender, st->out_frames);
    tap_sender_ended(st->sender, st, why, flowed);
}

static void on_timer(uv_timer_t *timer)
{
    tap_stream_fail(timer->data, "it does not answer in time");
}

static void expect_within(struct tap_stream *st, uint64_t ms)
{
    uv_timer_start(&st->timer, on_timer, ms, 0);
}

/* ---- writing ---- */

void tap_stream_written(struct tap_stream *st, int status)
{
    if (st->ended)
        return;
    if (status < 0) {
        tap_stream_fail(st, uv_strerror(status));
        return;
    }
    st->writing = false;
    st->out_len = 0;
    if (st->state != TAP_FLOWING)
        return;
    uv_timer_stop(&st->timer);
    metric_add(st->sender->m_sent, st->out_frames);
    st->out_frames = 0;
    tap_sender_pump(st->sender);
}

static void on_written(uv_write_t *write, int status)
{
    tap_stream_written(write->data, status);
}

void tap_stream_put(struct tap_stream *st, const uint8_t *message, size_t len)
{
    put_u32(st->out + st->out_len, (uint32_t)len);
    memcpy(st->out + st->out_len + FRAMES_HEADER, message, len);
    st->out_len += FRAMES_HEADER + len;
    st->out_frames++;
}

void tap_stream_flush(struct tap_stream *st)
{
    if (!st->out_len || st->writing)
        return;
    uv_buf_t buf = uv_buf_init((char *)st->out, (unsigned)st->out_len);
    st->writing = true;
    st->write.data = st;
    expect_within(st, TAP_TIMEOUT_MS);
    int code =
        st->tls ? tap_tls_flush(st) : uv_write(&st->write, &st->conn.stream, &buf, 1, on_written);
    if (code < 0)
        tap_stream_fail(st, uv_strerror(code));
}

static void put_control(struct tap_stream *st, enum frames_control type, const char *content)
{
    st->out_len += frames_write_control(st->out + st->out_len, type, content);
}

/* ---- the greeting ---- */

static void flow(struct tap_stream *st)
{
    st->state = TAP_FLOWING;
    put_control(st, FRAMES_START, TAP_CONTENT);
    st->sender->failing = false;
    st->sender->redial = 0;
    log_info("plugin/dnstap: connected to %s", st->sender->endpoint->text);
    tap_stream_flush(st);
}

static void take_control(struct tap_stream *st, enum frames_control type, bool fits)
{
    bool accepts = st->state == TAP_GREETING && type == FRAMES_ACCEPT && !st->writing;
    if (accepts && fits)
        flow(st);
    else if (accepts)
        tap_stream_fail(st, "it does not take messages of the type \"" TAP_CONTENT "\"");
    else
        tap_stream_fail(st, type == FRAMES_FINISH && st->state == TAP_FLOWING
                                ? "it has finished"
                                : "it breaks the protocol of Frame Streams");
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    struct tap_stream *st = h->data;
    static char sealed[TLS_IN_MAX]; /* the control thread's; used up at once */
    (void)suggested;
    if (st->tls)
        *ret_buf = uv_buf_init(sealed, sizeof sealed);
    else
        *ret_buf = uv_buf_init((char *)st->in + st->in_len, (unsigned)(sizeof st->in - st->in_len));
}

void tap_stream_take(struct tap_stream *st)
{
    while (!st->ended && st->in_len) {
        enum frames_control type;
        bool fits;
        int n = frames_read_control(st->in, st->in_len, TAP_CONTENT, &type, &fits);
        if (n == 0)
            return;
        if (n < 0) {
            tap_stream_fail(st, "it breaks the protocol of Frame Streams");
            return;
        }
        st->in_len -= (size_t)n;
        memmove(st->in, st->in + n, st->in_len);
        take_control(st, type, fits);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tap_stream *st = stream->data;
    if (st->ended || n == 0)
        return;
    if (n < 0) {
        tap_stream_fail(st, n == UV_EOF ? "it closed the connection" : uv_strerror((int)n));
        return;
    }
    if (st->tls) {
        tap_tls_feed(st, (const uint8_t *)buf->base, (size_t)n);
        return;
    }
    st->in_len += (size_t)n;
    tap_stream_take(st);
}

void tap_stream_greet(struct tap_stream *st)
{
    st->state = TAP_GREETING;
    put_control(st, FRAMES_READY, TAP_CONTENT);
    tap_stream_flush(st);
}

static void begin(struct tap_stream *st)
{
    const struct tap_endpoint *to = st->sender->endpoint;
    int size = to->send_buffer;
    if (to->kind == TAP_TCP)
        (void)uv_send_buffer_size(&st->conn.handle, &size);
    uv_read_start(&st->conn.stream, on_alloc, on_read);
    if (to->secure)
        tap_tls_begin(st);
    else
        tap_stream_greet(st);
}

/* ---- connecting ---- */

static void on_connect(uv_connect_t *connect, int status)
{
    struct tap_stream *st = connect->data;
    if (st->ended)
        return;
    if (status < 0)
        tap_stream_fail(st, uv_strerror(status));
    else
        begin(st);
}

static void connect_tcp(struct tap_stream *st, const struct sockaddr *to)
{
    int code = uv_tcp_connect(&st->connect, &st->conn.tcp, to, on_connect);
    if (code < 0)
        expect_within(st, 1); /* told as a time-out, and not from within the sender's call */
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct tap_stream *st = resolve->data;
    if (!st->ended && status < 0)
        tap_stream_fail(st, uv_strerror(status));
    else if (!st->ended)
        connect_tcp(st, found->ai_addr);
    uv_freeaddrinfo(found);
    tap_stream_release(st);
}

static void resolve(struct tap_stream *st, const struct tap_endpoint *to)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    st->resolve.data = st;
    int code =
        uv_getaddrinfo(st->sender->loop, &st->resolve, on_resolved, to->host, to->port, &hints);
    if (code < 0)
        expect_within(st, 1);
    else
        st->open++;
}

static struct tap_stream *stream_new(struct tap_sender *s)
{
    struct tap_stream *st = xmalloc(sizeof *st);
    memset(st, 0, offsetof(struct tap_stream, in));
    st->sender = s;
    st->open = 2;
    if (s->endpoint->kind == TAP_TCP)
        uv_tcp_init(s->loop, &st->conn.tcp);
    else
        uv_pipe_init(s->loop, &st->conn.pipe, 0);
    uv_timer_init(s->loop, &st->timer);
    st->conn.handle.data = st->timer.data = st->connect.data = st;
    expect_within(st, TAP_TIMEOUT_MS);
    return st;
}

struct tap_stream *tap_stream_dial(struct tap_sender *s)
{
    struct tap_stream *st = stream_new(s);
    const struct tap_endpoint *to = s->endpoint;
    struct sockaddr_storage sa;
    struct ip ip;
    if (to->kind == TAP_UNIX) {
        uv_pipe_connect(&st->connect, &st->conn.pipe, to->host, on_connect);
    } else if (ip_parse(to->host, &ip) == 0) {
        (void)ip_to_sockaddr(&ip, (uint16_t)atoi(to->port), &sa);
        connect_tcp(st, (struct sockaddr *)&sa);
    } else {
        resolve(st, to);
    }
    return st;
}

struct tap_stream *tap_stream_accept(struct tap_sender *s, uv_stream_t *server)
{
    struct tap_stream *st = stream_new(s);
    if (uv_accept(server, &st->conn.stream) == 0)
        begin(st);
    else
        expect_within(st, 1);
    return st;
}

/* ---- the last messages ---- */

void tap_stream_settle(struct tap_stream *st)
{
    if (st->state != TAP_FLOWING || uv_stream_get_write_queue_size(&st->conn.stream) > 0)
        return;
    metric_add(st->sender->m_sent, st->writing ? st->out_frames : 0);
    st->writing = false;
    st->out_len = st->out_frames = 0;
}

/* The loop does not turn any more for us: by hand, and not for long. */
void tap_stream_last(struct tap_stream *st)
{
    uv_os_fd_t fd;
    int64_t end = clock_ns() + TAP_LAST_MS * 1000000LL;
    if (!tap_stream_is_ready(st) || uv_fileno(&st->conn.handle, &fd) < 0) {
        tap_sender_drop(st->sender, st->out_frames);
        return;
    }
    put_control(st, FRAMES_STOP, NULL);
    const uint8_t *out = st->out;
    size_t len = st->out_len;
    if (st->tls && tls_write(st->tls, st->out, st->out_len) == 0) {
        tls_goodbye(st->tls);
        len = tls_out(st->tls, &out);
    }
    for (size_t at = 0; at < len;) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        ssize_t n = send(fd, out + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        int left_ms = (int)((end - clock_ns()) / 1000000);
        if (at < len && (left_ms <= 0 || poll(&p, 1, left_ms) <= 0)) {
            tap_sender_drop(st->sender, st->out_frames);
            return;
        }
    }
    metric_add(st->sender->m_sent, st->out_frames);
}
