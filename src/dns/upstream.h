/* Asking other DNS servers over UDP, TCP and TLS, for plugins that forward.
 *
 * `struct upstream` is one server's address with its health and metrics, shared by all workers.
 * Sockets, connections and the questions under way belong to one worker each (`struct
 * upstream_worker`) and are only touched on its thread.
 *
 * UDP: a few connected sockets an upstream and worker, each on a port that the kernel chose at
 * random, ids from the kernel's generator; a socket serves many questions at once and is given up
 * after UPSTREAM_USES of them. TCP (RFC 7766): pipelined connections with replies in any order. TLS
 * (RFC 7858): the same on connections that begin with a handshake, which counts as connecting. A
 * reply counts only when it comes from the upstream's address with the id and the question of what
 * was sent; all else is passed over while waiting on (RFC 5452). Nothing is allocated per question.
 */
#pragma once

#include "base/ip.h"
#include "base/metric.h"
#include "dns/wheel.h"
#include "net/tls.h"
#include "wire/msg.h"

#define UPSTREAM_OUTSTANDING 4096 /* questions under way, an upstream and worker */
#define UPSTREAM_CHANNELS    8    /* sockets, and connections, an upstream and worker */
#define UPSTREAM_PER_SOCKET  1024 /* questions under way on one UDP socket */
#define UPSTREAM_PER_CONN    256  /* on one TCP or TLS connection */
#define UPSTREAM_USES        4096 /* questions after which a UDP socket makes room for a new port */
#define UPSTREAM_OUT_BYTES   (128 << 10) /* not yet sent on a TCP connection */
#define UPSTREAM_DIAL_MIN_NS 1000000000LL
#define UPSTREAM_DIAL_MAX_NS 2000000000LL /* so that the next upstream has its turn within 5 s */
#define UPSTREAM_CHECK_NS    1000000000LL /* a health check's time */
#define UPSTREAM_NAME        (IP_TEXT_MAX + 24)
#define UPSTREAM_RCODES      24 /* with a series of their own; beyond: "OTHER" */

struct upstream_options {
    int64_t expire_ns;  /* a channel that lies idle that long is closed */
    int64_t max_age_ns; /* of a channel; 0: any */
    unsigned max_idle;  /* channels of a kind that are kept open while idle, all workers; 0: any */
    unsigned max_fails; /* health checks that must fail before the upstream is down; 0: never, no
                           checks */
    int64_t check_ns;   /* between health checks */
    bool check_tcp, check_no_rec;
    struct name check_name;
    struct sockaddr_storage source; /* family 0: any */
    struct tls_config *tls;         /* of upstreams that are asked over TLS */
};

/* Ways to ask; the first two are chosen question by question, the last one for all of an upstream.
 */
enum { CHANNEL_UDP, CHANNEL_TCP, CHANNEL_TLS, CHANNEL_KINDS };

struct upstream {
    struct sockaddr_storage addr;
    char name[UPSTREAM_NAME]; /* "10.0.0.1:53", "[fd00::1]:53" */
    const struct upstream_options *options;
    const char *proxy;      /* proxy_name of the metrics; static */
    unsigned id;            /* 0, 1, ... among those of one struct upstream_worker */
    _Atomic uint32_t fails; /* health checks in a row */
    const char *tls_name;   /* asked over TLS, and the certificate is to be for this; NULL: not */
    _Atomic uint32_t idle[CHANNEL_KINDS]; /* channels, when max_idle counts them */
    _Atomic bool checking;                /* some worker is at it */
    _Atomic bool gone;                    /* not in use any more: no checks */
    metric hits[CHANNEL_KINDS], misses[CHANNEL_KINDS], check_failures, full;
};

/* Fills *ret. tls_name: see there; not copied. proxy is the metrics' proxy_name. */
void upstream_init(struct upstream *ret, unsigned id, const struct sockaddr_storage *addr,
                   const char *tls_name, const struct upstream_options *options, const char *proxy);
bool upstream_down(const struct upstream *u);

/* What one worker has opened. The memory of upstreams must outlive it. */
struct upstream_worker;

struct upstream_worker *upstream_worker_new(struct worker *w);
/* On the worker's thread: closes everything; each question under way ends with -ECANCELED. */
void upstream_worker_close(struct upstream_worker *uw);
/* After the thread has ended. NULL is fine. */
void upstream_worker_free(struct upstream_worker *uw);

struct upstream_request {
    const uint8_t *msg; /* its id is not looked at; only read during the call */
    size_t len;
    const struct question *q; /* must stay until done */
    bool tcp;                 /* rather than UDP; nothing to those that are asked over TLS */
    int64_t read_ns;          /* for the reply */
    int64_t limit_ns;         /* monotonic: the latest end, whatever read_ns says */
};

struct upstream_reply {
    int error;  /* 0, or a negated errno: then there is no message */
    bool stale; /* the error is that of a connection that had lain idle: worth another try */
    const uint8_t *msg; /* valid during the call */
    size_t len;
    int64_t elapsed_ns;
    const struct sockaddr *local; /* of the socket; NULL: there was none; valid during the call */
    char text[2 * UPSTREAM_NAME + 64 + TLS_ERROR_MAX]; /* "read udp A->B: i/o timeout" */
};

struct exchange;
typedef void upstream_done_fn(void *ctx, const struct upstream_reply *reply);

/* Sends a question. Later done(ctx, reply) is called exactly once, on this thread between
 * worker_enter() and worker_leave(), never from within this call. On failure ret_error is filled
 * and NULL returned. */
struct exchange *upstream_ask(struct upstream_worker *uw, struct upstream *u,
                              const struct upstream_request *r, upstream_done_fn *done, void *ctx,
                              struct upstream_reply *ret_error);
/* done will not be called. */
void upstream_cancel(struct exchange *x);

/* After a failed question: checks the upstream's health until it answers, unless that is under way.
 */
void upstream_check(struct upstream_worker *uw, struct upstream *u);
/* Counts a reply in the duration metric. */
void upstream_observe(struct upstream_worker *uw, const struct upstream *u, uint16_t rcode,
                      int64_t elapsed_ns);
