/* A stream: one TCP connection, over TLS or not, with a window of queries under way, each behind
 * its length in two octets (RFC 1035 section 4.2.2, RFC 7858).
 *
 * All queries that may be sent go in one write, as clients that pipeline do. A connection that the
 * server closes is opened again; what was under way on it is lost. */
#pragma once

#include "load_window.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#define STREAM_BUFFER (2 + 65535) /* the largest message */

struct stream {
    int fd;
    SSL_CTX *tls; /* NULL: plain; the caller's */
    SSL *ssl;
    struct sockaddr_storage to;
    socklen_t to_len;
    struct window window;
    size_t n_out, n_in;
    uint8_t out[WINDOW_MAX * (2 + QUERY_LEN_MAX)], in[STREAM_BUFFER];
};

/* What clients agree to: TLS 1.3, one cipher for all servers, certificates unchecked. NULL when
 * OpenSSL cannot. */
SSL_CTX *stream_tls(void);

/* Connects. The stream's memory is all zero before; stream_done() is due even when this fails. */
int stream_init(struct stream *s, const struct sockaddr *to, socklen_t to_len, SSL_CTX *tls,
                unsigned window, struct err *e);
void stream_done(struct stream *s);

/* Like those of a flow. */
int stream_send(struct stream *s, struct load *l, struct err *e);
int stream_receive(struct stream *s, struct load *l, struct err *e);
