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

/* Sends what the connection takes. */
static int flush(struct channel *c)
{
    while (c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_pos, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
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
        if (c->out_len)
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

static void receive(struct channel *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, CHANNEL_IN_BYTES - c->in_len, MSG_DONTWAIT);
    if (n > 0) {
        c->in_len += (size_t)n;
        take_messages(c);
    } else if (n == 0) {
        give_up(c, UV_EOF);
    } else if (errno != EAGAIN && errno != EINTR) {
        give_up(c, -errno);
    }
}

void tcp_channel_events(struct channel *c, int events)
{
    if (c->connecting) {
        int error = connect_result(c);
        if (error < 0) {
            give_up(c, error);
            return;
        }
        if (!(events & UV_WRITABLE))
            return;
        connected(c);
    }
    int error = flush(c);
    if (error < 0)
        give_up(c, error);
    else if (events & UV_READABLE)
        receive(c);
}
