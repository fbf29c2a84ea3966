#include "base/clock.h"
#include "client/glibc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define NS_PER_MS 1000000LL

/* One attempt at one server. */
struct exchange {
    struct glibc *glibc;
    struct ask *ask; /* glibc's */
    int64_t deadline;
    unsigned n_sent, n_got;
    bool got[ASK_TYPES_MAX];
};

static int *server_fd(struct glibc *g)
{
    return &g->fds[g->server];
}

/* glibc closes the sockets of all servers when it closes one. */
static void close_all(struct glibc *g)
{
    for (unsigned i = 0; i < STUB_SERVERS_MAX; i++) {
        cleanup_close_fn(&g->fds[i]);
        g->fds[i] = -1;
    }
}

static bool open_server(struct glibc *g)
{
    struct sockaddr_storage sa;
    socklen_t len = stub_server_address(&g->ask->stub->conf->servers[g->server], &sa);
    if (*server_fd(g) >= 0)
        return true;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *server_fd(g) = fd;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0)
        return true;
    close_all(g);
    return false;
}

static bool send_one(struct exchange *x)
{
    struct glibc *g = x->glibc;
    struct ask_query *q = &x->ask->queries[x->n_sent];
    if (send(*server_fd(g), q->bytes + 2, q->len, MSG_NOSIGNAL) != (ssize_t)q->len)
        return false;
    ask_trace_sent(x->ask, x->n_sent++, g->server, g->attempt, false, *server_fd(g));
    return true;
}

/* Both together, unless answers have been lost that way. */
static bool send_first(struct exchange *x)
{
    bool good = send_one(x);
    while (good && x->n_sent < x->ask->n && !x->ask->stub->one_by_one)
        good = send_one(x);
    return good;
}

static bool send_second(struct exchange *x)
{
    if (x->ask->stub->new_socket_each) {
        close_all(x->glibc);
        if (!open_server(x->glibc))
            return false;
    }
    return send_one(x);
}

static enum glibc_step give_up(struct exchange *x, enum stub_fate fate)
{
    ask_trace_end_all(x->ask, fate);
    close_all(x->glibc);
    return GLIBC_NEXT_SERVER;
}

/* > 0: a message of that length lies in the buffer; 0: time is over; < 0: the socket failed. */
static ssize_t wait_message(struct exchange *x)
{
    struct pollfd p = { .fd = *server_fd(x->glibc), .events = POLLIN };
    for (;;) {
        int64_t left = x->deadline - clock_ns();
        int n = left > 0 ? poll(&p, 1, (int)((left + NS_PER_MS - 1) / NS_PER_MS)) : 0;
        if (n == 0)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        ssize_t len = n < 0 ? -1 : recv(p.fd, x->ask->buffer, MSG_MAX, 0);
        if (len > 0)
            return len;
        if (len < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
    }
}

/* The exchange goes on until both queries are settled; a useless reply settles its query as well.
 */
static bool settle(struct exchange *x, const struct ask_reply *r)
{
    struct ask *a = x->ask;
    bool useless = walk_reply_useless(&r->brief);
    if (x->n_got == 0)
        x->glibc->last_rcode = r->brief.rcode;
    x->got[r->query] = true;
    x->n_got++;
    if (!useless)
        ask_accept(a, r);
    return useless;
}

static enum glibc_step receive_all(struct exchange *x, bool *ret_timeout)
{
    struct ask *a = x->ask;
    while (x->n_got < a->n) {
        struct ask_reply r;
        ssize_t len = wait_message(x);
        if (len == 0) {
            x->glibc->got_somewhere = true;
            *ret_timeout = true;
            return GLIBC_NEXT_SERVER;
        }
        if (len < 0)
            return give_up(x, len == -ECONNREFUSED ? STUB_REFUSED : STUB_BROKEN);
        x->glibc->got_somewhere = true;
        if (!ask_read_reply(a, (size_t)len, &r) || x->got[r.query] || r.query >= x->n_sent)
            continue;
        ask_trace_reply(a, a->queries[r.query].line, &r);
        if (r.tc && !walk_reply_useless(&r.brief)) {
            close_all(x->glibc);
            return GLIBC_OVER_TCP;
        }
        bool useless = settle(x, &r);
        if (useless && x->n_sent < a->n) /* one by one: the second is not asked any more */
            return give_up(x, STUB_BROKEN);
        if (x->n_sent < a->n && !send_second(x))
            return give_up(x, STUB_BROKEN);
    }
    return a->n_replies ? GLIBC_DONE : GLIBC_NEXT_SERVER;
}

int stub_wait_seconds(const struct stub_conf *c, unsigned server)
{
    int seconds = c->timeout > 0 ? c->timeout << server : 0;
    if (server > 0)
        seconds /= (int)c->n_servers;
    return seconds > 0 ? seconds : 1;
}

/* After one of two answers was lost: the same again one by one, then each from a socket of its own;
 * false: both were tried. (Some firewalls and servers lose the second of two such queries.) */
static bool be_gentler(struct glibc *g)
{
    struct stub *s = g->ask->stub;
    if (s->one_by_one && s->new_socket_each)
        return false;
    if (s->one_by_one) {
        s->new_socket_each = true;
        close_all(g);
    }
    s->one_by_one = true;
    return true;
}

enum glibc_step glibc_over_udp(struct glibc *g)
{
    struct ask *a = g->ask;
    for (;;) {
        struct exchange x = { .glibc = g, .ask = a };
        bool timeout = false;
        a->n_replies = 0;
        if (!open_server(g))
            return GLIBC_NEXT_SERVER;
        x.deadline = clock_ns() + stub_wait_seconds(a->stub->conf, g->server) * 1000 * NS_PER_MS;
        if (!send_first(&x))
            return give_up(&x, errno == ECONNREFUSED ? STUB_REFUSED : STUB_BROKEN);
        enum glibc_step step = receive_all(&x, &timeout);
        if (!timeout)
            return step;
        ask_trace_end_all(a, STUB_TIMED_OUT);
        if (a->n_replies == 0)
            return GLIBC_NEXT_SERVER;
        if (!be_gentler(g))
            return GLIBC_DONE; /* with the one answer that there is */
    }
}
