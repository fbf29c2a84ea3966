/* One client that writes an object and many that watch it, in one thread: how long until the write
 * is acknowledged, and until every watcher has the event.
 *
 *   watchers PORT TOKEN PATH NAME WATCHERS EVENTS [plain]
 *
 * PATH: a collection of ConfigMaps, in which NAME exists. Prints one line of JSON, milliseconds.
 * HTTP/1.1; certificates are not checked. Each event is written when all have the one before. */
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WATCHERS_MAX 1000
#define EVENTS_MAX   100000
#define READ_BYTES   65536
#define WAIT_MS      60000

struct connection {
    int fd;
    SSL *ssl; /* NULL: plain */
    unsigned seen;
    char last; /* the byte before what is read next */
};

/* All times of one event, ns since its request was sent. */
struct times {
    int64_t acknowledged, first, last, behind; /* behind: the last one after the acknowledgement */
};

struct bench {
    uint16_t port;
    const char *token, *path, *name;
    unsigned n_watchers, n_events;
    SSL_CTX *tls;
    int poll;
    struct connection writer, watchers[WATCHERS_MAX];
    struct times times[EVENTS_MAX];
    char reply[READ_BYTES];
    size_t reply_len;
};

static noreturn_fn void fail(const char *what)
{
    fprintf(stderr, "watchers: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void connection_open(struct bench *b, struct connection *c)
{
    int on = 1;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(b->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!b->tls)
        return;
    c->ssl = SSL_new(b->tls);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || SSL_connect(c->ssl) != 1)
        fail("TLS");
}

static void connection_send(struct connection *c, const char *text, size_t n)
{
    ssize_t sent = c->ssl ? SSL_write(c->ssl, text, (int)n) : write(c->fd, text, n);
    if (sent != (ssize_t)n)
        fail("send");
}

/* 0: there is nothing now. */
static size_t connection_read(struct connection *c, char *buf, size_t size)
{
    ssize_t n = c->ssl ? SSL_read(c->ssl, buf, (int)size) : read(c->fd, buf, size);
    if (n > 0)
        return (size_t)n;
    bool waits =
        c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
    if (!waits)
        fail("a connection has ended");
    return 0;
}

/* Each event is a line of JSON; nothing of the framing has "}" before a line's end. */
static unsigned count_events(struct connection *c, const char *p, size_t n)
{
    unsigned found = 0;
    for (const char *end = p; (end = memchr(end, '\n', n - (size_t)(end - p))); end++)
        found += (end > p ? end[-1] : c->last) == '}';
    c->last = p[n - 1];
    return found;
}

/* How many events came. */
static unsigned read_watcher(struct connection *c)
{
    static char buf[READ_BYTES];
    unsigned before = c->seen;
    for (size_t n; (n = connection_read(c, buf, sizeof buf)) > 0;)
        c->seen += count_events(c, buf, n);
    return c->seen - before;
}

/* True: the reply is complete. */
static bool read_reply(struct bench *b)
{
    size_t n =
        connection_read(&b->writer, b->reply + b->reply_len, sizeof b->reply - 1 - b->reply_len);
    b->reply_len += n;
    b->reply[b->reply_len] = 0;
    const char *end = strstr(b->reply, "\r\n\r\n"),
               *length = strcasestr(b->reply, "content-length:");
    if (!end)
        return false;
    if (!length || (!str_starts(b->reply, "HTTP/1.1 200") && !str_starts(b->reply, "HTTP/1.1 201")))
        fail(b->reply);
    return b->reply_len >= (size_t)(end + 4 - b->reply) + strtoul(length + 15, NULL, 10);
}

static void follow(struct bench *b, struct connection *c, void *data)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = data };
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(b->poll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        fail("epoll");
}

static void open_all(struct bench *b)
{
    char request[2048];
    int n =
        snprintf(request, sizeof request,
                 "GET %s?watch=1&fieldSelector=metadata.name%%3D%s HTTP/1.1\r\nHost: localhost\r\n"
                 "Authorization: Bearer %s\r\nAccept: application/json\r\n\r\n",
                 b->path, b->name, b->token);
    connection_open(b, &b->writer);
    follow(b, &b->writer, &b->writer);
    for (unsigned i = 0; i < b->n_watchers; i++) {
        struct connection *c = &b->watchers[i];
        connection_open(b, c);
        connection_send(c, request, (size_t)n);
        follow(b, c, c);
    }
}

static void send_write(struct bench *b, unsigned number)
{
    char body[512], request[2048];
    int n = snprintf(body, sizeof body,
                     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},"
                     "\"data\":{\"n\":\"%u\"}}",
                     b->name, number);
    int m = snprintf(request, sizeof request,
                     "PUT %s/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                     "Content-Type: application/json\r\nAccept: application/json\r\n"
                     "Content-Length: %d\r\n\r\n%s",
                     b->path, b->name, b->token, n, body);
    b->reply_len = 0;
    connection_send(&b->writer, request, (size_t)m);
}

/* Until each watcher has seen `number` events and, if `write`, the reply is there. */
static void wait_all(struct bench *b, unsigned number, bool write, struct times *t)
{
    struct epoll_event ready[64];
    int64_t start = clock_ns();
    unsigned missing = 0;
    for (unsigned i = 0; i < b->n_watchers; i++)
        missing += b->watchers[i].seen < number;
    *t = (struct times){ .acknowledged = write ? -1 : 0 };
    while (missing || t->acknowledged < 0) {
        int n = epoll_wait(b->poll, ready, ARRAY_SIZE(ready), WAIT_MS);
        if (n <= 0)
            fail("no event came");
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (c == &b->writer) {
                if (read_reply(b) && t->acknowledged < 0)
                    t->acknowledged = clock_ns() - start;
            } else if (c->seen < number && read_watcher(c) && c->seen >= number) {
                t->last = clock_ns() - start;
                t->first = t->first ? t->first : t->last;
                missing--;
            }
        }
    }
    t->behind = t->last - t->acknowledged;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void tell(const struct bench *b, const char *name, size_t offset, const char *end)
{
    static int64_t all[EVENTS_MAX];
    for (unsigned i = 0; i < b->n_events; i++)
        all[i] = *(const int64_t *)(const void *)((const char *)&b->times[i] + offset);
    qsort(all, b->n_events, sizeof *all, compare);
    printf("\"%s\": {\"median\": %.3f, \"p99\": %.3f}%s", name, (double)all[b->n_events / 2] / 1e6,
           (double)all[(size_t)b->n_events * 99 / 100] / 1e6, end);
}

int main(int argc, char **argv)
{
    static struct bench b;
    long port = argc > 6 ? atol(argv[1]) : 0, watchers = argc > 6 ? atol(argv[5]) : -1;
    long events = argc > 6 ? atol(argv[6]) : 0;
    if (port < 1 || port > 65535 || watchers < 0 || watchers > WATCHERS_MAX || events < 1 ||
        events > EVENTS_MAX) {
        fprintf(stderr, "watchers PORT TOKEN PATH NAME WATCHERS EVENTS [plain]\n");
        return 2;
    }
    b = (struct bench){
        .port = (uint16_t)port, .token = argv[2], .path = argv[3], .name = argv[4]
    };
    b.n_watchers = (unsigned)watchers;
    b.n_events = (unsigned)events;
    b.tls = argc > 7 ? NULL : SSL_CTX_new(TLS_client_method());
    b.poll = epoll_create1(EPOLL_CLOEXEC);
    open_all(&b);
    struct times first;
    wait_all(&b, 1, false, &first); /* the object as it is */
    for (unsigned i = 0; i < b.n_events; i++) {
        send_write(&b, i);
        wait_all(&b, i + 2, true, &b.times[i]);
    }
    printf("{");
    tell(&b, "acknowledged", offsetof(struct times, acknowledged), ", ");
    tell(&b, "first", offsetof(struct times, first), ", ");
    tell(&b, "last", offsetof(struct times, last), ", ");
    tell(&b, "behind", offsetof(struct times, behind), "}\n");
    return 0;
}
