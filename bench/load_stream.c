#include "load_stream.h"

#include "base/clock.h"
#include "base/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#define HANDSHAKE_SECONDS 5

enum { GONE = -1 }; /* the connection, in place of a count of bytes */

SSL_CTX *stream_tls(void)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    if (c && SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) &&
        SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256")) {
        SSL_CTX_set_read_ahead(c, 1);
        SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return c;
    }
    SSL_CTX_free(c);
    return NULL;
}

/* While it connects, the socket waits; afterwards it never does. */
static int open_socket(struct stream *s, struct err *e)
{
    struct timeval patience = { .tv_sec = HANDSHAKE_SECONDS };
    int on = 1;
    s->fd = socket(s->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return err_set(e, -errno, "socket: %s", strerror(errno));
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(s->fd, (struct sockaddr *)&s->to, s->to_len) < 0)
        return err_set(e, -errno, "connect: %s", strerror(errno));
    return 0;
}

static int shake_hands(struct stream *s, struct err *e)
{
    s->ssl = SSL_new(s->tls);
    if (!s->ssl || !SSL_set_fd(s->ssl, s->fd) || SSL_connect(s->ssl) != 1)
        return err_set(e, ERR_REFUSED, "the server does not speak TLS with us");
    return 0;
}

static int open_connection(struct stream *s, struct err *e)
{
    if (open_socket(s, e) < 0 || (s->tls && shake_hands(s, e) < 0))
        return e->code;
    if (fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0)
        return err_set(e, -errno, "O_NONBLOCK: %s", strerror(errno));
    return 0;
}

int stream_init(struct stream *s, const struct sockaddr *to, socklen_t to_len, SSL_CTX *tls,
                unsigned window, struct err *e)
{
    window_init(&s->window, window);
    s->tls = tls;
    s->to_len = to_len;
    memcpy(&s->to, to, to_len);
    return open_connection(s, e);
}

void stream_done(struct stream *s)
{
    SSL_free(s->ssl);
    ERR_clear_error(); /* a later SSL_get_error() looks at all that is left there */
    if (s->fd > 0)
        close(s->fd);
    s->ssl = NULL;
    s->fd = 0;
}

static int open_again(struct stream *s, struct load *l, struct err *e)
{
    stream_done(s);
    window_abandon(&s->window, l);
    s->n_in = s->n_out = 0;
    l->reconnects++;
    return open_connection(s, e);
}

static ssize_t tls_outcome(struct stream *s, int n)
{
    if (n > 0)
        return n;
    int why = SSL_get_error(s->ssl, n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : GONE;
}

static ssize_t plain_outcome(ssize_t n)
{
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : GONE;
}

/* 0: not now. */
static ssize_t read_some(struct stream *s)
{
    size_t room = sizeof s->in - s->n_in;
    if (s->ssl)
        return tls_outcome(s, SSL_read(s->ssl, s->in + s->n_in, (int)room));
    return plain_outcome(recv(s->fd, s->in + s->n_in, room, 0));
}

static ssize_t write_some(struct stream *s)
{
    if (s->ssl)
        return tls_outcome(s, SSL_write(s->ssl, s->out, (int)s->n_out));
    return plain_outcome(send(s->fd, s->out, s->n_out, MSG_NOSIGNAL));
}

/* Every place's query has room: what is in the buffer is under way. */
static void fill(struct stream *s, struct load *l)
{
    while (window_may_send(&s->window, l) && sizeof s->out - s->n_out >= 2 + QUERY_LEN_MAX) {
        uint16_t id;
        const struct query *q = window_next(&s->window, l, &id);
        uint8_t *at = s->out + s->n_out;
        put_u16(at, q->len);
        memcpy(at + 2, query_packet(l->queries, q), q->len);
        put_u16(at + 2, id);
        s->n_out += 2 + (size_t)q->len;
    }
}

int stream_send(struct stream *s, struct load *l, struct err *e)
{
    fill(s, l);
    while (s->n_out) {
        ssize_t n = write_some(s);
        if (n == GONE)
            return open_again(s, l, e);
        if (n == 0)
            break;
        s->n_out -= (size_t)n;
        memmove(s->out, s->out + n, s->n_out);
    }
    return 0;
}

static int take_messages(struct stream *s, struct load *l)
{
    struct cursor c = cursor_of(s->in, s->n_in);
    size_t done = 0;
    int came = 0;
    for (;;) {
        uint16_t len = cursor_u16(&c);
        const uint8_t *message = cursor_take(&c, len);
        if (c.bad)
            break;
        window_take(&s->window, l, message, len);
        done = c.pos;
        came++;
    }
    s->n_in -= done;
    memmove(s->in, s->in + done, s->n_in);
    return came;
}

int stream_receive(struct stream *s, struct load *l, struct err *e)
{
    int came = 0;
    for (;;) {
        ssize_t n = read_some(s);
        if (n == GONE)
            return open_again(s, l, e) < 0 ? e->code : came;
        if (n == 0)
            return came;
        l->now_ns = clock_ns();
        s->n_in += (size_t)n;
        came += take_messages(s, l);
        if (!s->ssl)
            return came;
    }
}
