/* Accepted connections as streams of bytes, plain or under TLS: what DNS over TCP, over TLS and
 * over HTTPS have in common. Whoever frames messages on them is a `struct stream_kind`.
 *
 * One stream_server a worker and listening socket; all of it runs on that worker's loop. A
 * connection has until `first_ms` to finish the handshake and its first message, then `idle_ms`
 * between messages, and each write `write_ms`; while requests are `pending` it is not idle. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "net/accept.h"
#include "net/tls.h"

#include <stdatomic.h>
#include <sys/uio.h>
#include <uv.h>

#define STREAM_CONNS_MAX                                                                           \
    4096                       /* a server (a worker and listener); then the oldest idle one goes  \
                                */
#define STREAM_FIRST_MS   3000 /* until the first message is complete */
#define STREAM_IDLE_MS    10000
#define STREAM_WRITE_MS   5000  /* for the peer to take a reply */
#define STREAM_LINGER_MS  2000  /* for the peer to close its side, once ours is closed */
#define STREAM_RETIRED_MS 3000  /* that a busy connection of a retired server is served */
#define STREAM_GATHER     16384 /* bytes: one record of TLS */

/* What a server was given instead of the times above; 0: that time. */
struct stream_limits {
    uint32_t first_ms, idle_ms, write_ms;
};

/* Connections of several servers that are counted together. */
struct stream_quota {
    _Atomic unsigned refs, open;
    unsigned max;
};

struct stream_quota *stream_quota_new(unsigned max);
struct stream_quota *stream_quota_ref(struct stream_quota *q); /* NULL is fine, here and below */
void stream_quota_free(struct stream_quota *q);

struct stream;

struct stream_kind {
    size_t size; /* of a connection, whose first member is its struct stream; the rest is zeroed */
    /* Where the next bytes are to be put; at least one fits. NULL: there is no memory. */
    void (*room)(struct stream *s, uint8_t **ret, size_t *ret_len);
    /* So many bytes are there. */
    void (*got)(struct stream *s, size_t n);
    /* The peer has taken what one stream_send() gave. NULL: nobody wants to know; what the kernel
     * takes at once is not copied then. */
    void (*sent)(struct stream *s);
    /* The peer has closed its side; NULL: nobody wants to know. */
    void (*left)(struct stream *s);
    /* It has just been closed, by either side; NULL: nobody wants to know. */
    void (*closed)(struct stream *s);
    /* What the connection owns besides itself is to be freed. */
    void (*freed)(struct stream *s);
    /* The server retires: the peer may be told to go elsewhere. NULL: there is no way to tell. */
    void (*retired)(struct stream *s);
};

/* Who has a server: ctx is that of enter, leave and what else its kind calls. */
struct stream_owner {
    void *ctx;
    void (*enter)(void *ctx); /* brackets all work on a connection (RCU sections begin here) */
    void (*leave)(void *ctx);
};

/* First member of a server; malloc'ed, and freed when closed and the last connection has gone. All
 * of it is stream.c's. */
struct stream_server {
    const struct stream_kind *kind;
    struct stream_owner owner;
    struct stream_limits limits; /* none is 0 */
    struct acceptor acceptor;
    uv_timer_t sweep;
    struct tls_config *tls; /* NULL: plain */
    struct stream_quota *quota;
    uint8_t *sealed;       /* TLS_IN_MAX bytes to receive into; what comes is used up at once */
    uint8_t *spare;        /* the kind's: a buffer that no connection needs now, or NULL */
    struct stream *corked; /* whose pieces are gathered; NULL: nobody's */
    uint8_t *gathered;     /* STREAM_GATHER bytes once there was a need */
    size_t n_gathered;
    struct stream *conns; /* all that are open, the newest first */
    struct stream *oldest;
    unsigned n_conns;
    unsigned refs;         /* listener, timer, connections */
    uint64_t serves_until; /* loop time, ms: of a retired one */
    bool closing, retired;
};

struct stream {
    uv_tcp_t tcp;
    struct stream_server *server;
    struct sockaddr_storage peer, local;
    unsigned pending; /* the kind's: requests that are owed a reply; keeps the memory */
    unsigned busy;    /* the kind's: it is at work on this connection, so deep; the same */
    bool begun;       /* the kind's: a message has come */
    bool closed;      /* nothing more can be sent */
    bool ending;      /* no more requests are taken: see stream_end() */
    /* --- the rest is stream.c's --- */
    bool closed_done, paused, pumping;
    bool heard_all; /* the peer sends nothing more */
    bool lingers;   /* our side is closed */
    uv_shutdown_t shutdown;
    struct stream *prev, *next;
    struct stream_quota *quota;
    struct tls *tls;
    uint64_t deadline;       /* loop time, ms */
    uint64_t write_deadline; /* the same, while something is unsent */
    unsigned unsent;         /* writes under way */
};

/* Takes over s (zeroed) and fd, on failure too. */
int stream_server_open(struct stream_server *s, const struct stream_kind *kind,
                       const struct stream_owner *owner, uv_loop_t *loop, int fd, struct err *e);
/* From now on, for open connections too. */
void stream_server_set_limits(struct stream_server *s, const struct stream_limits *limits);
/* From now on, for new connections; both may be NULL and are shared. */
void stream_server_set_tls(struct stream_server *s, struct tls_config *tls,
                           struct stream_quota *quota);
/* Closes listener and connections. */
void stream_server_close(struct stream_server *s);
/* Accepts no more connections; those that are open go on, and end when they are idle or after
 * STREAM_RETIRED_MS. The listening socket lives on if another process has it, too. */
void stream_server_retire(struct stream_server *s);
/* The listening socket; -1: it is closed. */
int stream_server_fd(const struct stream_server *s);
unsigned stream_server_connections(const struct stream_server *s);
/* For how long a connection may be idle, in ms; 0: the server retires. */
uint32_t stream_server_patience(const struct stream_server *s);

/* Sends the parts as one piece (copied). */
void stream_send(struct stream *s, const struct iovec *parts, unsigned n);
/* From now on the pieces that are sent on this connection wait for one another and leave together,
 * up to STREAM_GATHER bytes at a time, until stream_uncork(). The work on one connection may be
 * bracketed so, not more: of two that are nested the inner one is not gathered. */
void stream_cork(struct stream *s);
void stream_uncork(struct stream *s);
/* Bytes that the peer has not taken yet. */
size_t stream_unsent(const struct stream *s);
/* Reading stops, or goes on. */
void stream_pause(struct stream *s, bool pause);
/* A buffer of the size that all of this server's have; NULL: no memory. Most connections need one
 * for a moment, and one after the other the same: from malloc(), other things would settle in its
 * place each time, and the heap would grow for long. */
uint8_t *stream_buffer_take(struct stream *s, size_t size);
void stream_buffer_give(struct stream *s, uint8_t *buffer); /* NULL is fine */
/* It is not idle: counts the time anew. */
void stream_touch(struct stream *s);
void stream_close(struct stream *s);
/* Takes no more requests. When those that are pending have been answered our side is closed, and
 * the connection when the peer has closed its own: closing it while bytes of the peer lie unread
 * would reset it, and what the peer has not read yet would be lost. */
void stream_end(struct stream *s);
/* To be called when `pending` or `busy` has ended; the stream may be gone then. */
void stream_let_go(struct stream *s);
/* The protocol that TLS agreed on; "" for none or plain. */
void stream_alpn(const struct stream *s, char ret[TLS_ALPN_MAX]);
/* Who the peer's certificate is for, as tls_subject(); false: none, or plain. */
bool stream_subject(const struct stream *s, struct tls_subject *ret);
