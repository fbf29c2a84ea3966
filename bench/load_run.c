#include "load_run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "load_flow.h"
#include "load_stream.h"

#include <poll.h>

#define IDLE_ROUNDS  20000 /* empty rounds before waiting: some milliseconds */
#define IDLE_WAIT_MS 2
#define EXPIRE_EVERY (100 * 1000000LL) /* ns */

/* One of the two is there. */
struct asker {
    struct flow *flow;
    struct stream *stream;
};

struct askers {
    struct asker list[SOCKETS_MAX];
    long n, first; /* first: who may send first this round */
    SSL_CTX *tls;
};

static struct window *window_of(const struct asker *a)
{
    return a->flow ? &a->flow->window : &a->stream->window;
}

static int open_asker(struct asker *a, const struct target *t, SSL_CTX *tls, unsigned window,
                      struct err *e)
{
    const struct sockaddr *to = (const struct sockaddr *)&t->to;
    if (t->transport == TRANSPORT_UDP) {
        a->flow = xcalloc(1, sizeof *a->flow);
        return flow_init(a->flow, to, t->to_len, window, e);
    }
    a->stream = xcalloc(1, sizeof *a->stream);
    return stream_init(a->stream, to, t->to_len, tls, window, e);
}

static int open_askers(struct askers *all, const struct target *t, struct err *e)
{
    long left = t->window;
    if (t->transport == TRANSPORT_TLS && !(all->tls = stream_tls()))
        return err_set(e, ERR_UNSUPPORTED, "OpenSSL has no TLS 1.3 with AES-128-GCM");
    for (long i = 0; i < t->sockets; i++) {
        unsigned window = (unsigned)(left / (t->sockets - i));
        left -= window;
        int code = open_asker(&all->list[all->n++], t, all->tls, window, e);
        if (code < 0)
            return code;
    }
    return 0;
}

static void close_askers(struct askers *all)
{
    for (long i = 0; i < all->n; i++) {
        if (all->list[i].flow)
            flow_done(all->list[i].flow);
        if (all->list[i].stream)
            stream_done(all->list[i].stream);
        free(all->list[i].flow);
        free(all->list[i].stream);
    }
    SSL_CTX_free(all->tls);
}

static int receive(const struct asker *a, struct load *l, struct err *e)
{
    return a->flow ? flow_receive(a->flow, l, e) : stream_receive(a->stream, l, e);
}

static int send_due(const struct asker *a, struct load *l, struct err *e)
{
    return a->flow ? flow_send(a->flow, l, e) : stream_send(a->stream, l, e);
}

/* Once over all sockets. Returns how many answers came, or a negative code. */
static int turn(struct askers *all, struct load *l, struct err *e)
{
    int came = 0;
    int64_t begin = clock_ns();
    l->now_ns = begin;
    for (long i = 0; i < all->n; i++) {
        const struct asker *a = &all->list[(all->first + i) % all->n];
        int got = receive(a, l, e);
        if (got < 0 || send_due(a, l, e) < 0)
            return e->code;
        came += got;
    }
    all->first = (all->first + 1) % all->n;
    if (came)
        l->busy_ns += clock_ns() - begin;
    return came;
}

static bool finished(const struct askers *all, const struct load *l)
{
    for (long i = 0; i < all->n; i++)
        if (!window_idle(window_of(&all->list[i])))
            return false;
    return l->left == 0;
}

static void wait_for_any(const struct askers *all)
{
    struct pollfd p[SOCKETS_MAX];
    for (long i = 0; i < all->n; i++) {
        const struct asker *a = &all->list[i];
        p[i] = (struct pollfd){ .fd = a->flow ? a->flow->fd : a->stream->fd, .events = POLLIN };
    }
    (void)poll(p, (nfds_t)all->n, IDLE_WAIT_MS); /* time alone ends it, too */
}

static int loop(struct askers *all, const struct target *t, struct load *l, struct err *e)
{
    int64_t expire = 0, stop = clock_ns() + t->seconds * 1000000000LL;
    for (unsigned idle = 0; !finished(all, l);) {
        int came = turn(all, l, e);
        if (came < 0)
            return came;
        idle = came ? 0 : idle + 1;
        if (idle > IDLE_ROUNDS && l->rate == 0)
            wait_for_any(all);
        if (l->now_ns > stop)
            l->left = 0;
        if (l->now_ns < expire)
            continue;
        expire = l->now_ns + EXPIRE_EVERY;
        for (long i = 0; i < all->n; i++)
            window_expire(window_of(&all->list[i]), l);
    }
    return 0;
}

int load_run(const struct target *t, struct load *l, struct err *e)
{
    struct askers all = { 0 };
    int code = open_askers(&all, t, e);
    l->begin_ns = clock_ns();
    if (code == 0)
        code = loop(&all, t, l, e);
    close_askers(&all);
    return code;
}
