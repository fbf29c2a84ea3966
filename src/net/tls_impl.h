/* Private to tls*.c. */
#pragma once

#include "net/tls.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

struct tls_config {
    SSL_CTX *ctx;
    _Atomic unsigned refs;
    bool server, alpn_strict;
    int keylog_fd; /* -1: none */
    uint8_t alpn[TLS_ALPN_MAX];
    unsigned alpn_len;
};

/* The oldest error of this thread's queue as text; empties the queue. */
const char *tls_reason(char *buf, size_t cap);
/* OpenSSL's callback for a session that may be resumed. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);
