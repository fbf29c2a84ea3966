#include "base/clock.h"
#include "client/glibc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000LL
#define STRAY_MAX 16 /* messages on one connection that answer nothing */

struct stream {
    int fd;
    int64_t deadline;
};

static int wait_ready(const struct stream *s, short events)
{
    struct pollfd p = { .fd = s->fd, .events = events };
    for (;;) {
        int64_t left = s->deadline - clock_ns();
        int n = poll(&p, 1, left > 0 ? (int)((left + NS_PER_MS - 1) / NS_PER_MS) : 0);
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int stream_open(const struct stub_server *server, struct stream *ret)
{
    struct sockaddr_storage sa;
    socklen_t len = stub_server_address(server, &sa), size = sizeof(int);
    int error = 0;
    ret->deadline = clock_ns() + STUB_TCP_WAIT_MS * NS_PER_MS;
    ret->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ret->fd < 0)
        return -errno;
    if (connect(ret->fd, (struct sockaddr *)&sa, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    int rc = wait_ready(ret, POLLOUT);
    if (rc == 0 && getsockopt(ret->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    return rc < 0 ? rc : -error;
}

static int stream_write(const struct stream *s, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = send(s->fd, p, n, MSG_NOSIGNAL);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            int rc = wait_ready(s, POLLOUT);
            if (rc < 0)
                return rc;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int stream_read(const struct stream *s, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t done = recv(s->fd, p, n, 0);
        if (done == 0)
            return -ECONNRESET;
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            int rc = wait_ready(s, POLLIN);
            if (rc < 0)
                return rc;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int send_all(struct glibc *g, const struct stream *s)
{
    struct ask *a = g->ask;
    uint8_t both[ASK_TYPES_MAX * sizeof a->queries[0].bytes];
    struct wbuf w = wbuf_of(both, sizeof both);
    for (unsigned i = 0; i < a->n; i++)
        wbuf_put(&w, a->queries[i].bytes, a->queries[i].len + 2);
    int rc = stream_write(s, both, w.pos);
    for (unsigned i = 0; rc == 0 && i < a->n; i++)
        ask_trace_sent(a, i, g->server, g->attempt, true, s->fd);
    return rc;
}

static int read_one(struct ask *a, const struct stream *s, struct ask_reply *ret)
{
    uint8_t head[2];
    for (unsigned stray = 0; stray < STRAY_MAX; stray++) {
        int rc = stream_read(s, head, sizeof head);
        if (rc == 0)
            rc = stream_read(s, a->buffer, get_u16(head));
        if (rc < 0 || ask_read_reply(a, get_u16(head), ret))
            return rc;
    }
    return -EPROTO;
}

static int exchange(struct glibc *g, struct stream *s)
{
    struct ask *a = g->ask;
    bool got[ASK_TYPES_MAX] = { false };
    int rc = stream_open(&a->stub->conf->servers[g->server], s);
    if (rc == 0)
        rc = send_all(g, s);
    while (rc == 0 && a->n_replies < a->n) {
        struct ask_reply r = { 0 };
        rc = read_one(a, s, &r);
        if (rc == 0 && got[r.query])
            rc = -EPROTO;
        if (rc < 0)
            break;
        got[r.query] = true;
        ask_trace_reply(a, a->queries[r.query].line, &r);
        if (a->n_replies == 0)
            g->last_rcode = r.brief.rcode;
        ask_accept(a, &r); /* whatever its rcode: over TCP glibc asks nobody else */
    }
    return rc;
}

enum glibc_step glibc_over_tcp(struct glibc *g)
{
    struct stream s = { .fd = -1 };
    g->ask->n_replies = 0;
    int rc = exchange(g, &s);
    cleanup_close_fn(&s.fd);
    g->tcp_refused = rc == -ECONNREFUSED;
    if (rc == 0)
        return GLIBC_DONE;
    ask_trace_end_all(g->ask, rc == -ETIMEDOUT      ? STUB_TIMED_OUT
                              : rc == -ECONNREFUSED ? STUB_REFUSED
                                                    : STUB_BROKEN);
    return GLIBC_NEXT_SERVER;
}
