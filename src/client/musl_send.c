#include "client/musl.h"

#include "base/clock.h"
#include "client/dial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define NS_PER_MS       1000000LL
#define AGAIN_PER_QUERY 2 /* queries sent again at once after SERVFAIL, in each interval */
#define NOT_SENT        SIZE_MAX

struct sending {
    struct ask *ask;
    const struct musl *version;
    struct musl_reply *replies;
    int fd;
    struct sockaddr_storage servers[STUB_SERVERS_MAX];
    socklen_t len; /* of an address */
    size_t lines[ASK_TYPES_MAX][STUB_SERVERS_MAX];
    struct dial tcp[ASK_TYPES_MAX];
    size_t tcp_lines[ASK_TYPES_MAX];
    unsigned again; /* how many more after SERVFAIL */
    unsigned round;
    bool broken; /* a TCP connection failed: the rest is not waited for */
};

/* One family for all: with one IPv6 server, the others are mapped. */
static void set_servers(struct sending *s)
{
    const struct stub_conf *c = s->ask->stub->conf;
    bool six = false;
    for (unsigned i = 0; i < c->n_servers; i++)
        six |= c->servers[i].ip.family == 6;
    for (unsigned i = 0; i < c->n_servers; i++) {
        struct stub_server server = c->servers[i];
        if (six && server.ip.family == 4) {
            struct ip mapped = { .family = 6, .bytes = { [10] = 0xff, [11] = 0xff } };
            memcpy(mapped.bytes + 12, server.ip.bytes, 4);
            server.ip = mapped;
        }
        s->len = stub_server_address(&server, &s->servers[i]);
    }
}

static bool open_socket(struct sending *s)
{
    int family = s->servers[0].ss_family, off = 0;
    struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
    s->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->fd >= 0 && family == AF_INET6)
        (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return s->fd >= 0 && bind(s->fd, (struct sockaddr *)&any, s->len) == 0;
}

static void send_one(struct sending *s, unsigned query, unsigned server)
{
    struct ask_query *q = &s->ask->queries[query];
    size_t *line = &s->lines[query][server];
    if (*line != NOT_SENT)
        ask_trace_end(s->ask, *line, STUB_TIMED_OUT);
    if (sendto(s->fd, q->bytes + 2, q->len, MSG_NOSIGNAL, (struct sockaddr *)&s->servers[server],
               s->len) < 0)
        return;
    *line = ask_trace_sent(s->ask, query, server, s->round, false, s->fd);
}

static void send_all(struct sending *s)
{
    for (unsigned i = 0; i < s->ask->n; i++) {
        for (unsigned j = 0; j < s->ask->stub->conf->n_servers; j++) {
            if (s->replies[i].len == 0 && s->tcp[i].fd < 0)
                send_one(s, i, j);
        }
    }
    s->round++;
    s->again = AGAIN_PER_QUERY * s->ask->n;
}

static unsigned server_of(const struct sending *s, const struct sockaddr_storage *from)
{
    unsigned i = 0, n = s->ask->stub->conf->n_servers;
    struct ip ip = ip_of_sockaddr((const struct sockaddr *)from);
    while (i < n && !ip_equal(&ip, &s->ask->stub->conf->servers[i].ip))
        i++;
    return i;
}

/* Only the two bytes of the ID are compared. */
static bool read_head(struct sending *s, size_t len, struct ask_reply *ret)
{
    struct ask *a = s->ask;
    struct cursor c = cursor_of(a->buffer, len);
    struct ask_reply r = { .len = len };
    uint16_t id = cursor_u16(&c), flags = cursor_u16(&c);
    if (c.bad)
        return false;
    cursor_u16(&c); /* questions */
    r.brief.answers = cursor_u16(&c);
    r.brief.rcode = flags & 15;
    r.tc = flags & FLAG_TC;
    while (r.query < a->n && a->queries[r.query].id != id)
        r.query++;
    *ret = r;
    return r.query < a->n;
}

static void accept_reply(struct sending *s, const struct ask_reply *r)
{
    struct musl_reply *reply = &s->replies[r->query];
    reply->len = MIN(r->len, s->version->reply_max);
    reply->bytes = arena_memdup(s->ask->arena, s->ask->buffer, reply->len);
}

static void start_tcp(struct sending *s, unsigned query, unsigned server)
{
    struct ask *a = s->ask;
    struct dial *d = &s->tcp[query];
    if (dial_open(d, &a->stub->conf->servers[server], true, a->arena) < 0 ||
        dial_send(d, &a->queries[query]) < 0) {
        dial_close(d);
        return;
    }
    s->tcp_lines[query] =
        ask_trace_sent(a, query, server, s->round ? s->round - 1 : 0, true, d->fd);
}

static void take_datagram(struct sending *s, size_t len, const struct sockaddr_storage *from)
{
    struct ask_reply r;
    unsigned server = server_of(s, from);
    if (server == s->ask->stub->conf->n_servers || !read_head(s, len, &r))
        return;
    size_t line = s->lines[r.query][server];
    if (line != NOT_SENT)
        ask_trace_reply(s->ask, line, &r);
    if (s->replies[r.query].len || s->tcp[r.query].fd >= 0)
        return;
    bool fine = r.brief.rcode == RCODE_NOERROR || r.brief.rcode == RCODE_NXDOMAIN;
    if (r.brief.rcode == RCODE_SERVFAIL && s->again) {
        s->again--;
        send_one(s, r.query, server);
    }
    if (fine && r.tc && s->version->tcp_after_tc)
        start_tcp(s, r.query, server);
    else if (fine)
        accept_reply(s, &r);
}

static void read_datagrams(struct sending *s)
{
    for (;;) {
        struct sockaddr_storage from = { 0 };
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(s->fd, s->ask->buffer, MSG_MAX, 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            return;
        take_datagram(s, (size_t)n, &from);
    }
}

static void end_tcp(struct sending *s, unsigned query, enum stub_fate fate)
{
    ask_trace_end(s->ask, s->tcp_lines[query], fate);
    dial_close(&s->tcp[query]);
    s->broken |= fate != STUB_ANSWERED;
}

static void serve_tcp(struct sending *s, unsigned query, short events)
{
    struct dial *d = &s->tcp[query];
    struct ask_reply r;
    int rc = events & (POLLOUT | POLLERR) ? dial_flush(d) : 0;
    ssize_t n = rc < 0 ? rc : events & POLLIN ? dial_receive(d, s->ask->buffer, MSG_MAX) : 0;
    if (n == 0)
        return;
    if (n < 0) {
        end_tcp(s, query, n == -ECONNREFUSED ? STUB_REFUSED : STUB_BROKEN);
        return;
    }
    if (!read_head(s, (size_t)n, &r) || r.query != query)
        return;
    ask_trace_reply(s->ask, s->tcp_lines[query], &r);
    bool fine = r.brief.rcode == RCODE_NOERROR || r.brief.rcode == RCODE_NXDOMAIN;
    if (fine)
        accept_reply(s, &r);
    end_tcp(s, query, fine ? STUB_ANSWERED : STUB_BROKEN);
}

static void wait_some(struct sending *s, int64_t until_ns)
{
    struct pollfd p[1 + ASK_TYPES_MAX] = { { .fd = s->fd, .events = POLLIN } };
    int64_t left = until_ns - clock_ns();
    for (unsigned i = 0; i < s->ask->n; i++)
        p[1 + i] = (struct pollfd){ .fd = s->tcp[i].fd, .events = dial_events(&s->tcp[i]) };
    int ms = left > 0 ? (int)((left + NS_PER_MS - 1) / NS_PER_MS) : 0;
    if (poll(p, 1 + s->ask->n, ms) <= 0)
        return;
    if (p[0].revents)
        read_datagrams(s);
    for (unsigned i = 0; i < s->ask->n; i++) {
        if (p[1 + i].revents && s->tcp[i].fd >= 0)
            serve_tcp(s, i, p[1 + i].revents);
    }
}

static bool all_answered(const struct sending *s)
{
    unsigned i = 0;
    while (i < s->ask->n && s->replies[i].len)
        i++;
    return i == s->ask->n;
}

/* The time for all attempts together is that of one elsewhere. */
static void run(struct sending *s)
{
    const struct stub_conf *c = s->ask->stub->conf;
    int64_t interval = c->timeout * 1000 * NS_PER_MS / c->attempts;
    int64_t start = clock_ns(), end = start + c->timeout * 1000 * NS_PER_MS, next = start;
    while (!all_answered(s) && !s->broken && clock_ns() < end) {
        if (clock_ns() >= next) {
            send_all(s);
            next = clock_ns() + interval;
        }
        wait_some(s, MIN(next, end));
    }
}

void musl_send(struct ask *a, const struct musl *version, struct musl_reply *replies)
{
    struct sending s = { .ask = a, .version = version, .replies = replies, .fd = -1 };
    for (unsigned i = 0; i < ASK_TYPES_MAX; i++) {
        dial_init(&s.tcp[i]);
        for (unsigned j = 0; j < STUB_SERVERS_MAX; j++)
            s.lines[i][j] = NOT_SENT;
    }
    set_servers(&s);
    if (open_socket(&s))
        run(&s);
    for (unsigned i = 0; i < a->n; i++)
        dial_close(&s.tcp[i]);
    if (!all_answered(&s))
        ask_trace_end_all(a, STUB_TIMED_OUT);
    cleanup_close_fn(&s.fd);
}
