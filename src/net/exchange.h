/* An HTTP/1.1 server on a libuv loop for request bodies of some size and responses that may go on
 * for hours: what an API with watches needs, and http.h's small pages do not. Plain or under TLS
 * (net/stream.h); everything happens on the loop's thread.
 *
 * An exchange is one request and its response. It is handed over when the whole body has come, may
 * be answered later, and is over with exchange_reply() or exchange_end(), or when the peer goes
 * away: then `gone` is called, if set, and the exchange must not be touched any more. A connection
 * carries one exchange at a time. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define EXCHANGE_HEAD_MAX   65536 /* bytes of a request's line and headers; more: 431 */
#define EXCHANGE_FIRST_MS   10000 /* until the first request is complete */
#define EXCHANGE_IDLE_MS    120000
#define EXCHANGE_WRITE_MS   60000               /* for the peer to take a response */
#define EXCHANGE_UNSENT_MAX ((size_t)256 << 20) /* bytes of a stream that a peer may owe */

struct exchange_server;
struct exchange;

struct exchange_options {
    uv_loop_t *loop;
    struct ip ip;
    uint16_t port;
    struct tls_config *tls; /* NULL: plain */
    size_t body_max;        /* more: 413 */
    void (*handle)(void *ctx, struct exchange *x);
    void *ctx;
};

int exchange_server_open(const struct exchange_options *o, struct exchange_server **ret,
                         struct err *e);
/* Ends all exchanges as if the peers had gone. NULL is fine. */
void exchange_server_close(struct exchange_server *s);
uint16_t exchange_server_port(const struct exchange_server *s);

/* The request. Texts and body live until the exchange is over. */
const char *exchange_method(const struct exchange *x);
const char *exchange_target(const struct exchange *x); /* "/path?query" */
/* Value of a header field (name in lower case), or NULL. */
const char *exchange_header(const struct exchange *x, const char *name);
const char *exchange_body(const struct exchange *x, size_t *ret_len);
/* Who the peer's certificate, which was checked, is for; false: it has shown none. */
bool exchange_subject(const struct exchange *x, struct tls_subject *ret);

struct exchange_header {
    const char *name, *value;
};

/* The whole response. */
void exchange_reply(struct exchange *x, int status, const struct exchange_header *headers, size_t n,
                    const void *body, size_t len);
/* A response in pieces. Each piece is sent at once. */
void exchange_begin(struct exchange *x, int status, const struct exchange_header *headers,
                    size_t n);
void exchange_piece(struct exchange *x, const void *p, size_t len);
/* A piece that several exchanges send: it is framed once. A frame may hold more than one piece. */
void exchange_frame(const void *p, size_t len, struct strbuf *out);
void exchange_send_frame(struct exchange *x, const struct strbuf *frame);
/* Between these, pieces wait for one another and leave together. Not for two exchanges at a time.
 */
void exchange_cork(struct exchange *x);
void exchange_uncork(struct exchange *x);
void exchange_end(struct exchange *x);
/* Breaks the connection off: the peer owes us too much, or we cannot go on. `gone` is called. */
void exchange_abort(struct exchange *x);
/* Bytes that the peer has not taken yet. */
size_t exchange_unsent(const struct exchange *x);
void exchange_on_gone(struct exchange *x, void (*gone)(void *ctx), void *ctx);
