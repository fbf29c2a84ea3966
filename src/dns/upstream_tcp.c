#include "base/clock.h"
#include "dns/upstream_impl.h"

#include <errno.h>
#include <string.h>

static void give_up(struct channel *c, int error)
{
    channel_close(c);
    channel_fail(c, error);
}

void tcp_channel_dial_timeout(struct channel *c)
{
    c->link->dial_ns = UPSTREAM_DIAL_MAX_NS;
    give_up(c, -ETIMEDOUT);
}

bool tcp_channel_has_room(const struct channel *c, size_t len)
{
    return c->out_len + 2 + len <= UPSTREAM_OUT_BYTES;
}

bool tcp_channel_wants_write(const struct channel *c)
{
    const uint8_t *sealed;
    if (c->tls)
        return tls_out(c->tls, &sealed) > 0;
    return c->connecting || c->out_len;
}

/* Sends of n bytes what the connection takes; how many, or a negated errno. */
static ssize_t send_some(const struct channel *c, const uint8_t *data, size_t n)
{
    ssize_t sent = send(c->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return sent;
}

/* Sends sealed bytes; 0 also when some are left. */
static int flush_sealed(struct channel *c)
{
    const uint8_t *data;
    size_t len;
    while ((len = tls_out(c->tls, &data))) {
        ssize_t n = send_some(c, data, len);
        if (n <= 0)
            return (int)n;
        tls_out_done(c->tls, (size_t)n);
    }
    return 0;
}

/* Seals a piece only when all before it has been sent: so little is held twice. */
static int flush_tls(struct channel *c)
{
    for (;;) {
        int ret = flush_sealed(c);
        if (ret < 0 || tcp_channel_wants_write(c) || !c->out_len || c->connecting)
            return ret;
        size_t n = MIN(c->out_len, TLS_IN_MAX);
        ret = tls_write(c->tls, c->out + c->out_pos, n);
        if (ret < 0)
            return ret;
        c->out_len -= n;
        c->out_pos = c->out_len ? c->out_pos + n : 0;
    }
}

/* Sends what the connection takes. */
static int flush(struct channel *c)
{
    if (c->tls)
        return flush_tls(c);
    while (c->out_len) {
        ssize_t n = send_some(c, c->out + c->out_pos, c->out_len);
        if (n <= 0)
            return (int)n;
        c->out_pos += (size_t)n;
        c->out_len -= (size_t)n;
    }
    c->out_pos = 0;
    return 0;
}

/* A connection that turns out to be broken says so by an event: nothing may end in here. */
int tcp_channel_send(struct channel *c, uint16_t id, const uint8_t *msg, size_t len)
{
    if (!tcp_channel_has_room(c, len))
        return -ENOBUFS;
    if (c->out_pos + c->out_len + 2 + len > UPSTREAM_OUT_BYTES) {
        memmove(c->out, c->out + c->out_pos, c->out_len);
        c->out_pos = 0;
    }
    uint8_t *p = c->out + c->out_pos + c->out_len;
    put_u16(p, (uint16_t)len);
    put_u16(p + 2, id);
    memcpy(p + 4, msg + 2, len - 2);
    c->out_len += 2 + len;
    if (!c->connecting) {
        (void)flush(c);
        if (tcp_channel_wants_write(c))
            channel_want_write(c);
    }
    return 0;
}

/* The time for replies starts now, for those that waited for the connection. */
static void connected(struct channel *c)
{
    struct upstream_link *l = c->link;
    int64_t now = clock_ns(), took = now - c->opened_ns;
    l->dial_ns = l->dial_ns ? l->dial_ns + (took - l->dial_ns) / 4 : took;
    c->connecting = false;
    wheel_set(&l->worker->wheel, &c->expire, now + l->upstream->options->expire_ns);
    for (unsigned i = 0; i < CHANNEL_BUCKETS; i++)
        for (struct exchange *x = c->by_id[i]; x; x = x->next)
            wheel_set(&l->worker->wheel, &x->deadline, MIN(now + x->read_ns, x->limit_ns));
}

static int connect_result(const struct channel *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

/* Hands over the whole messages that have come; what is left of the next one moves to the front. */
static void take_messages(struct channel *c)
{
    size_t pos = 0;
    while (c->fd >= 0 && c->in_len - pos >= 2) {
        size_t len = get_u16(c->in + pos);
        if (c->in_len - pos - 2 < len)
            break;
        channel_message(c, c->in + pos + 2, len);
        pos += 2 + len;
    }
    c->in_len -= pos;
    if (pos)
        memmove(c->in, c->in + pos, c->in_len);
}

/* Reads what the last bytes from the peer have made readable. */
static void take_plain(struct channel *c)
{
    ssize_t n = 1;
    while (c->fd >= 0 && n > 0) {
        n = tls_read(c->tls, c->in + c->in_len, CHANNEL_IN_BYTES - c->in_len);
        if (n > 0) {
            c->in_len += (size_t)n;
            take_messages(c);
        }
    }
    if (c->fd >= 0 && n < 0)
        give_up(c, n == -ENOTCONN ? UV_EOF : (int)n);
}

static void fed(struct channel *c, int ret)
{
    if (ret == 0 && c->connecting && tls_is_ready(c->tls))
        connected(c);
    int sent = flush(c); /* after a failure: the alert */
    if (ret == 0)
        ret = sent;
    if (ret < 0)
        give_up(c, ret);
    else
        take_plain(c);
}

static void received(struct channel *c, const uint8_t *sealed, size_t n)
{
    if (sealed) {
        fed(c, tls_feed(c->tls, sealed, n));
        return;
    }
    c->in_len += n;
    take_messages(c);
}

static void receive(struct channel *c)
{
    uint8_t sealed[TLS_IN_MAX];
    ssize_t n = c->tls ? recv(c->fd, sealed, sizeof sealed, MSG_DONTWAIT)
                       : recv(c->fd, c->in + c->in_len, CHANNEL_IN_BYTES - c->in_len, MSG_DONTWAIT);
    if (n > 0)
        received(c, c->tls ? sealed : NULL, (size_t)n);
    else if (n == 0)
        give_up(c, UV_EOF);
    else if (errno != EAGAIN && errno != EINTR)
        give_up(c, -errno);
}

static int begin_tls(struct channel *c)
{
    struct upstream_link *l = c->link;
    c->tls = tls_new(l->upstream->options->tls, l->upstream->tls_name, &l->ticket);
    return c->tls ? tls_handshake(c->tls) : -ENOMEM;
}

/* The connection stands, or has failed. */
static int finish_connect(struct channel *c, int events)
{
    int error = connect_result(c);
    if (error < 0 || !(events & UV_WRITABLE))
        return error;
    if (c->kind == CHANNEL_TLS)
        return begin_tls(c);
    connected(c);
    return 0;
}

void tcp_channel_events(struct channel *c, int events)
{
    bool waits = c->connecting && !c->tls;
    int error = waits ? finish_connect(c, events) : 0;
    if (error == 0 && waits && !(events & UV_WRITABLE))
        return;
    if (error == 0)
        error = flush(c);
    if (error == 0 ? events & UV_READABLE : c->tls != NULL)
        receive(c); /* after a failure as well: an alert may say why */
    if (error < 0 && c->fd >= 0)
        give_up(c, error);
}
