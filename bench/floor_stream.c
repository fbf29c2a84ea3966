#include "floor.h"

#include "base/cursor.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER      (2 + 65535) /* the largest message with its length */
#define EVENTS      64
#define BACKLOG     128
#define PATIENCE_MS 5000 /* for a client to take what it asked for */

enum { GONE = -1, LATER = 0 }; /* in place of a count of bytes */

struct connection {
    int fd;
    SSL *ssl;
    size_t n;
    uint8_t data[BUFFER];
};

static void connection_free(struct connection *c)
{
    SSL_free(c->ssl);
    ERR_clear_error(); /* a later SSL_get_error() looks at all that is left there */
    close(c->fd);
    free(c);
}

static void accept_one(int listener, int epoll, SSL_CTX *tls)
{
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* the client went; epoll tells again of others */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = xcalloc(1, sizeof *c);
    c->fd = fd;
    if (tls && (c->ssl = SSL_new(tls)) && SSL_set_fd(c->ssl, fd))
        SSL_set_accept_state(c->ssl);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    if ((tls && !c->ssl) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        connection_free(c);
}

static ssize_t outcome(const struct connection *c, ssize_t n)
{
    if (n > 0)
        return n;
    if (!c->ssl)
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? LATER : GONE;
    int why = SSL_get_error(c->ssl, (int)n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? LATER : GONE;
}

static ssize_t read_some(struct connection *c)
{
    size_t room = sizeof c->data - c->n;
    if (c->ssl)
        return outcome(c, SSL_read(c->ssl, c->data + c->n, (int)room));
    return outcome(c, recv(c->fd, c->data + c->n, room, 0));
}

static ssize_t write_some(struct connection *c, size_t from, size_t n)
{
    if (c->ssl)
        return outcome(c, SSL_write(c->ssl, c->data + from, (int)n));
    return outcome(c, send(c->fd, c->data + from, n, MSG_NOSIGNAL));
}

static bool write_all(struct connection *c, size_t n)
{
    for (size_t done = 0; done < n;) {
        struct pollfd p = { .fd = c->fd, .events = POLLOUT };
        ssize_t wrote = write_some(c, done, n - done);
        if (wrote == GONE || (wrote == LATER && poll(&p, 1, PATIENCE_MS) <= 0))
            return false;
        done += (size_t)wrote;
    }
    return true;
}

/* Sets the response bit of all whole messages; returns where they end. */
static size_t reflect(struct connection *c)
{
    size_t at = 0;
    while (c->n - at >= 2) {
        size_t len = get_u16(c->data + at);
        if (c->n - at < 2 + len)
            break;
        if (len >= HEADER_LEN)
            c->data[at + 4] |= 0x80;
        at += 2 + len;
    }
    return at;
}

/* All that has come goes back in one write. False: the connection is over. */
static bool serve(struct connection *c)
{
    do {
        ssize_t n = read_some(c);
        if (n <= 0)
            return n == LATER;
        c->n += (size_t)n;
    } while (c->ssl && SSL_pending(c->ssl) && c->n < sizeof c->data);
    size_t whole = reflect(c);
    if (!write_all(c, whole))
        return false;
    c->n -= whole;
    memmove(c->data, c->data + whole, c->n);
    return true;
}

static int watch_listener(int epoll, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int floor_stream(int fd, SSL_CTX *tls, struct err *e)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int code = epoll < 0 ? -errno : watch_listener(epoll, fd);
    while (code == 0) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            code = -errno;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c)
                accept_one(fd, epoll, tls);
            else if (!serve(c))
                connection_free(c);
        }
    }
    if (epoll >= 0)
        close(epoll);
    return err_set(e, code, "connections: %s", strerror(-code));
}
