/* Channels to an upstream: which one carries the next question, opening and closing. */
#include "base/clock.h"
#include "dns/upstream_impl.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static int64_t dial_time(const struct upstream_link *l)
{
    if (!l->dial_ns)
        return UPSTREAM_DIAL_MAX_NS;
    return MIN(MAX(2 * l->dial_ns, UPSTREAM_DIAL_MIN_NS), UPSTREAM_DIAL_MAX_NS);
}

/* ---- closing ---- */

static void uncount_idle(struct channel *c)
{
    if (c->counted_idle)
        atomic_fetch_sub(&c->link->upstream->idle[c->kind], 1);
    c->counted_idle = false;
}

static void channel_gone(uv_handle_t *h)
{
    struct channel *c = h->data;
    tls_free(c->tls);
    free(c->in);
    free(c);
}

void channel_close(struct channel *c)
{
    if (c->fd < 0)
        return;
    struct upstream_link *l = c->link;
    for (unsigned i = 0; i < UPSTREAM_CHANNELS; i++)
        if (l->channels[c->kind][i] == c)
            l->channels[c->kind][i] = NULL;
    uncount_idle(c);
    wheel_clear(&c->expire);
    uv_close((uv_handle_t *)&c->poll, channel_gone);
    close(c->fd);
    c->fd = -1;
}

/* Not for new questions any more. */
static bool is_spent(const struct channel *c, int64_t now)
{
    int64_t max_age = c->link->upstream->options->max_age_ns;
    return c->retired || (max_age && now - c->opened_ns > max_age) ||
           (c->kind == CHANNEL_UDP && c->uses >= UPSTREAM_USES);
}

void channel_idle(struct channel *c)
{
    struct upstream *u = c->link->upstream;
    unsigned max = u->options->max_idle;
    c->error = 0;
    if (is_spent(c, clock_ns())) {
        channel_close(c);
        return;
    }
    if (!max || c->counted_idle)
        return;
    c->counted_idle = true;
    if (atomic_fetch_add(&u->idle[c->kind], 1) >= max)
        channel_close(c);
}

static void channel_expired(struct deadline *d)
{
    struct channel *c = container_of(d, struct channel, expire);
    int64_t now = clock_ns(), expire = c->link->upstream->options->expire_ns;
    if (c->connecting)
        tcp_channel_dial_timeout(c);
    else if (c->n)
        wheel_set(&c->link->worker->wheel, d, now + expire);
    else if (c->used_ns + expire > now)
        wheel_set(&c->link->worker->wheel, d, c->used_ns + expire);
    else
        channel_close(c);
}

/* ---- opening ---- */

static void channel_event(uv_poll_t *poll, int status, int events)
{
    struct channel *c = poll->data;
    struct worker *w = c->link->worker->worker;
    worker_enter(w);
    if (status < 0)
        events = UV_READABLE; /* reading tells what is wrong */
    if (c->kind == CHANNEL_UDP)
        udp_channel_readable(c);
    else
        tcp_channel_events(c, events);
    if (c->fd >= 0)
        uv_poll_start(poll, UV_READABLE | (tcp_channel_wants_write(c) ? UV_WRITABLE : 0),
                      channel_event);
    worker_leave(w);
}

void channel_want_write(struct channel *c)
{
    uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, channel_event);
}

static socklen_t address_len(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* A connected socket (TCP: *ret_connecting when that takes longer), or a negated errno. */
static int connect_to(const struct upstream *u, int kind, bool *ret_connecting)
{
    const struct sockaddr_storage *source = &u->options->source;
    int type = kind == CHANNEL_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1;
    cleanup_close int fd = socket(u->addr.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (kind != CHANNEL_UDP)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source->ss_family == u->addr.ss_family &&
        bind(fd, (const struct sockaddr *)source, address_len(source)) < 0)
        return -errno;
    *ret_connecting = kind == CHANNEL_TLS;
    if (connect(fd, (const struct sockaddr *)&u->addr, address_len(&u->addr)) < 0) {
        if (kind == CHANNEL_UDP || errno != EINPROGRESS)
            return -errno;
        *ret_connecting = true;
    }
    int ret = fd;
    fd = -1;
    return ret;
}

static struct channel *channel_new(struct upstream_link *l, int kind, int fd)
{
    struct channel *c = calloc(1, sizeof *c);
    uint8_t *bytes = kind != CHANNEL_UDP ? malloc(CHANNEL_IN_BYTES + UPSTREAM_OUT_BYTES) : NULL;
    socklen_t len = sizeof c->local;
    if (!c || (kind != CHANNEL_UDP && !bytes) ||
        uv_poll_init(&l->worker->worker->loop, &c->poll, fd) < 0) {
        free(c);
        free(bytes);
        return NULL;
    }
    c->poll.data = c;
    c->fd = fd;
    c->kind = (uint8_t)kind;
    c->link = l;
    c->in = bytes;
    c->out = bytes ? bytes + CHANNEL_IN_BYTES : NULL;
    c->opened_ns = c->used_ns = clock_ns();
    c->expire.fn = channel_expired;
    (void)getsockname(fd, (struct sockaddr *)&c->local, &len);
    return c;
}

static struct channel *channel_open(struct upstream_link *l, int kind, int *ret_error)
{
    bool connecting = false;
    const struct upstream *u = l->upstream;
    int fd = connect_to(u, kind, &connecting);
    if (fd < 0) {
        *ret_error = fd;
        return NULL;
    }
    struct channel *c = channel_new(l, kind, fd);
    if (!c) {
        close(fd);
        *ret_error = -ENOMEM;
        return NULL;
    }
    c->connecting = connecting;
    uv_poll_start(&c->poll, UV_READABLE | (connecting ? UV_WRITABLE : 0), channel_event);
    wheel_set(&l->worker->wheel, &c->expire,
              c->opened_ns + (connecting ? dial_time(l) : u->options->expire_ns));
    metric_add(u->misses[kind], 1);
    return c;
}

/* ---- choosing ---- */

static bool has_room(const struct channel *c, size_t len)
{
    if (c->kind == CHANNEL_UDP)
        return c->n < UPSTREAM_PER_SOCKET;
    return c->n < UPSTREAM_PER_CONN && tcp_channel_has_room(c, len);
}

/* An idle one; those that have had their time are closed on the way. */
static struct channel *find_idle(struct upstream_link *l, int kind, int64_t now)
{
    struct channel *found = NULL;
    for (unsigned i = 0; i < UPSTREAM_CHANNELS; i++) {
        struct channel *c = l->channels[kind][i];
        if (!c || c->n)
            continue;
        if (is_spent(c, now))
            channel_close(c);
        else if (!found && !c->connecting && !c->out_len)
            found = c;
    }
    return found;
}

/* A free place is where a channel is opened. For UDP the first place is drawn by lot, and a socket
 * that lies there is taken. */
static struct channel *at_place(struct upstream_link *l, int kind, unsigned first, bool sharing,
                                int64_t now, int *ret_error)
{
    for (unsigned k = 0; k < UPSTREAM_CHANNELS; k++) {
        struct channel **at = &l->channels[kind][(first + k) % UPSTREAM_CHANNELS];
        if (*at && !(*at)->n && is_spent(*at, now))
            channel_close(*at);
        if (!*at) {
            *at = channel_open(l, kind, ret_error);
            return *at;
        }
        if (sharing && !is_spent(*at, now) && has_room(*at, 0)) {
            metric_add(l->upstream->hits[kind], 1);
            return *at;
        }
    }
    return NULL;
}

/* The one with the least to do; one that has had its time rather than none. */
static struct channel *least_busy(struct upstream_link *l, int kind, size_t len, int64_t now)
{
    struct channel *best = NULL;
    for (unsigned i = 0; i < UPSTREAM_CHANNELS; i++) {
        struct channel *c = l->channels[kind][i];
        if (!c || !has_room(c, len))
            continue;
        bool worse =
            best && (is_spent(c, now) != is_spent(best, now) ? is_spent(c, now) : c->n >= best->n);
        if (!worse)
            best = c;
    }
    if (best)
        metric_add(l->upstream->hits[kind], 1);
    return best;
}

/* TCP: an idle connection, else a new one, else the least busy: many servers answer the questions
 * of a connection one after the other. */
struct channel *channel_pick(struct upstream_link *l, int kind, size_t len, int *ret_error)
{
    int64_t now = clock_ns();
    bool sharing = kind == CHANNEL_UDP;
    struct channel *c = NULL;
    if (!sharing || l->upstream->options->max_idle)
        c = find_idle(l, kind, now);
    if (c)
        metric_add(l->upstream->hits[kind], 1);
    if (!c)
        c = at_place(l, kind, sharing ? upstream_random(l->worker) : 0, sharing, now, ret_error);
    if (!c)
        c = least_busy(l, kind, len, now);
    if (c)
        uncount_idle(c);
    return c;
}
