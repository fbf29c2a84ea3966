#include "client/dial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void dial_init(struct dial *d)
{
    *d = (struct dial){ .fd = -1 };
}

int dial_open(struct dial *d, const struct stub_server *s, bool tcp, struct arena *a)
{
    struct sockaddr_storage sa;
    socklen_t len = stub_server_address(s, &sa);
    d->tcp = tcp;
    d->n_out = d->n_in = 0;
    if (tcp && !d->in)
        d->in = arena_alloc(a, 2 + MSG_MAX);
    d->fd =
        socket(sa.ss_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd >= 0 && (connect(d->fd, (struct sockaddr *)&sa, len) == 0 || errno == EINPROGRESS))
        return 0;
    int rc = -errno;
    dial_close(d);
    return rc;
}

void dial_close(struct dial *d)
{
    cleanup_close_fn(&d->fd);
    d->fd = -1;
}

int dial_send(struct dial *d, const struct ask_query *q)
{
    if (!d->tcp)
        return send(d->fd, q->bytes + 2, q->len, MSG_NOSIGNAL) < 0 ? -errno : 0;
    if (sizeof d->out - d->n_out < q->len + 2)
        return -ENOBUFS;
    memcpy(d->out + d->n_out, q->bytes, q->len + 2);
    d->n_out += q->len + 2;
    return 0;
}

short dial_events(const struct dial *d)
{
    return (short)(POLLIN | (d->n_out ? POLLOUT : 0));
}

int dial_flush(struct dial *d)
{
    if (d->n_out == 0)
        return 0;
    ssize_t n = send(d->fd, d->out, d->n_out, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    d->n_out -= (size_t)n;
    memmove(d->out, d->out + n, d->n_out);
    return 0;
}

/* How much of the length word, or of the message behind it, is still to come. */
static size_t missing(const struct dial *d)
{
    return d->n_in < 2 ? 2 - d->n_in : 2 + get_u16(d->in) - d->n_in;
}

static ssize_t receive_stream(struct dial *d, uint8_t *buffer, size_t size)
{
    for (;;) {
        size_t want = missing(d);
        if (want == 0) {
            size_t len = MIN((size_t)get_u16(d->in), size);
            memcpy(buffer, d->in + 2, len);
            d->n_in = 0;
            if (len)
                return (ssize_t)len;
            continue; /* an empty message says nothing */
        }
        ssize_t n = recv(d->fd, d->in + d->n_in, want, 0);
        if (n == 0)
            return -EPIPE;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        d->n_in += (size_t)n;
    }
}

ssize_t dial_receive(struct dial *d, uint8_t *buffer, size_t size)
{
    if (d->tcp)
        return receive_stream(d, buffer, size);
    for (;;) {
        ssize_t n = recv(d->fd, buffer, size, 0);
        if (n > 0)
            return n;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
}
