/* DNS over HTTPS (RFC 8484): messages as bodies or in the path of HTTP requests, over HTTP/2 where
 * TLS has agreed on it, else over HTTP/1.1.
 *
 * One doh_server a worker and listening socket; all of it runs on that worker's loop. Requests of
 * one HTTP/2 connection are answered in the order in which their replies become ready, those of an
 * HTTP/1.1 connection one after the other. Each request handed to the handler is owed exactly one
 * doh_reply() or doh_fail(); until then its connection's memory stays, even when the peer has gone.
 */
#pragma once

#include "net/stream.h"

#define DOH_HEAD_MAX    16384       /* bytes of a request's line and headers; more: 431 */
#define DOH_BODY_MAX    65535       /* bytes of a request's body; more: 413 */
#define DOH_STREAMS_MAX 128         /* requests at a time on an HTTP/2 connection */
#define DOH_BODIES_MAX  (256 << 10) /* bytes of incomplete bodies of a connection */
#define DOH_HELD_MAX    (1 << 20)   /* bytes of replies of a connection; above it no new requests */
#define DOH_UNSENT_MAX  65536       /* bytes given to the socket that the peer does not take */

struct doh_server;
struct doh_request;

struct doh_handler {
    struct stream_owner owner;
    /* data is valid during the call only. */
    void (*message)(void *ctx, struct doh_request *r, const uint8_t *data, size_t len);
    /* A response with that status has been given, also for what never was a message. */
    void (*answered)(void *ctx, int status);
};

/* Takes over fd. */
int doh_server_open(uv_loop_t *loop, int fd, const struct doh_handler *handler,
                    struct doh_server **ret, struct err *e);
/* See stream_server_set_limits() and stream_server_set_tls(). */
void doh_server_set_limits(struct doh_server *s, const struct stream_limits *limits);
void doh_server_set_tls(struct doh_server *s, struct tls_config *tls, struct stream_quota *quota);
/* Closes listener and connections; the server is freed when the last request has been answered. */
void doh_server_close(struct doh_server *s);
struct stream_server *doh_server_stream(struct doh_server *s); /* what it stands on */

const struct sockaddr *doh_peer(const struct doh_request *r);
const struct sockaddr *doh_local(const struct doh_request *r);
/* 200 with the message (copied), which may be kept for max_age seconds. r is gone. */
void doh_reply(struct doh_request *r, const uint8_t *data, size_t len, uint32_t max_age);
/* Another status, without a message. r is gone. */
void doh_fail(struct doh_request *r, int status);
