/* DNS over TCP (RFC 7766) and over TLS (RFC 7858): length-prefixed messages, many at a time on one
 * connection, replies in the order in which they become ready.
 *
 * One tcp_server a worker and listening socket; all of it runs on that worker's loop. Each message
 * handed to the handler is owed exactly one tcp_reply() or tcp_no_reply(); until then the
 * connection object stays alive, even when the peer has gone. */
#pragma once

#include "net/stream.h"

#define TCP_PENDING_MAX 128   /* unanswered messages of a connection; reading pauses meanwhile */
#define TCP_UNSENT_MAX  65536 /* bytes of replies that the peer does not take; the same */
#define TCP_BUFFER      (2 + 65535)

struct tcp_server;
struct tcp_conn;

/* 0: the usual times (net/stream.h). */
struct tcp_limits {
    struct stream_limits times;
    uint32_t messages; /* of one connection, which is closed after the last reply; 0: any number */
};

struct tcp_handler {
    struct stream_owner owner;
    /* data is valid during the call only; at least 1 byte. */
    void (*message)(void *ctx, struct tcp_conn *c, const uint8_t *data, size_t len);
};

/* Takes over fd. */
int tcp_server_open(uv_loop_t *loop, int fd, const struct tcp_handler *handler,
                    struct tcp_server **ret, struct err *e);
/* From now on, for new messages of open connections too. */
void tcp_server_set_limits(struct tcp_server *s, const struct tcp_limits *limits);
/* From now on, for new connections. NULL: plain. */
void tcp_server_set_tls(struct tcp_server *s, struct tls_config *tls);
/* Closes listener and connections; the server is freed when the last message has been answered. */
void tcp_server_close(struct tcp_server *s);

/* What it stands on, for stream_server_retire() and its like. */
struct stream_server *tcp_server_stream(struct tcp_server *s);

const struct sockaddr *tcp_peer(const struct tcp_conn *c);
const struct sockaddr *tcp_local(const struct tcp_conn *c);
/* Sends one message (len <= 65535, copied). */
void tcp_reply(struct tcp_conn *c, const uint8_t *data, size_t len);
void tcp_no_reply(struct tcp_conn *c);
/* Sends one of several messages that answer one; the last of them is tcp_reply()'s. All that the
 * peer has not taken yet is held in memory: a paused connection hands over no further message
 * meanwhile. */
void tcp_send_part(struct tcp_conn *c, const uint8_t *data, size_t len);
