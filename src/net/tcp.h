/* DNS over TCP (RFC 7766): length-prefixed messages, many at a time on one connection, replies in
 * the order in which they become ready.
 *
 * One tcp_server a worker and listening socket; all of it runs on that worker's loop. Each message
 * handed to the handler is owed exactly one tcp_reply() or tcp_no_reply(); until then the
 * connection object stays alive, even when the peer has gone. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <uv.h>

#define TCP_CONNS_MAX   4096  /* a server (a worker and listener); then the oldest idle one goes */
#define TCP_PENDING_MAX 128   /* unanswered messages of a connection; reading pauses meanwhile */
#define TCP_UNSENT_MAX  65536 /* bytes of replies that the peer does not take; the same */
#define TCP_FIRST_MS    3000  /* until the first message is complete */
#define TCP_IDLE_MS     10000
#define TCP_WRITE_MS    5000 /* for the peer to take a reply */
#define TCP_BUFFER      (2 + 65535)

struct tcp_server;
struct tcp_conn;

/* What a server was given instead of the times above; 0: that time. */
struct tcp_limits {
    uint32_t first_ms, idle_ms, write_ms;
    uint32_t messages; /* of one connection, which is closed after the last reply; 0: any number */
};

struct tcp_handler {
    void *ctx;
    /* data is valid during the call only; at least 1 byte. */
    void (*message)(void *ctx, struct tcp_conn *c, const uint8_t *data, size_t len);
    /* Brackets all work on a connection (the server enters its RCU section here). */
    void (*enter)(void *ctx);
    void (*leave)(void *ctx);
};

/* Takes over fd. */
int tcp_server_open(uv_loop_t *loop, int fd, const struct tcp_handler *handler,
                    struct tcp_server **ret, struct err *e);
/* From now on, for new messages of open connections too. */
void tcp_server_set_limits(struct tcp_server *s, const struct tcp_limits *limits);
/* Closes listener and connections; the server is freed when the last message has been answered. */
void tcp_server_close(struct tcp_server *s);

/* Accepts no more connections; those that are open go on, and end when they are idle. The listening
 * socket lives on if another process has it, too. */
void tcp_server_retire(struct tcp_server *s);
/* The listening socket; -1: it is closed. */
int tcp_server_fd(const struct tcp_server *s);
unsigned tcp_server_connections(const struct tcp_server *s);

const struct sockaddr *tcp_peer(const struct tcp_conn *c);
const struct sockaddr *tcp_local(const struct tcp_conn *c);
/* Sends one message (len <= 65535, copied). */
void tcp_reply(struct tcp_conn *c, const uint8_t *data, size_t len);
void tcp_no_reply(struct tcp_conn *c);
/* Sends one of several messages that answer one; the last of them is tcp_reply()'s. All that the
 * peer has not taken yet is held in memory: a paused connection hands over no further message
 * meanwhile. */
void tcp_send_part(struct tcp_conn *c, const uint8_t *data, size_t len);
