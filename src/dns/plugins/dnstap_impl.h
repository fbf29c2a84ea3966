/* `dnstap`: shared by its files only. Workers write messages into rings, one each; the sender, on
 * the control thread, writes them to whoever is connected. */
#pragma once

#include "dns/plugins/dnstap.h"
#include "dns/plugins/dnstap_message.h"
#include "dns/plugins/dnstap_ring.h"
#include "dns/plugins/log_format.h"

#include "base/vec.h"
#include "net/tls.h"

#define TAP_QUEUE         10000  /* messages, times what the line says; as bytes: */
#define TAP_MESSAGE_BYTES 256    /* of room for each */
#define TAP_RING_MIN      262144 /* bytes of a worker's ring: some messages of full size fit */
#define TAP_BATCH         262144 /* bytes of one write */
#define TAP_CLIENTS_MAX   16     /* of a line that listens; more are closed at once */
#define TAP_DRAIN_MS      50     /* between looks at the rings while messages come */
#define TAP_TICK_MS       1000   /* between looks at the rest */
#define TAP_REPORT_NS     10000000000LL /* between log lines about what was dropped */
#define TAP_TIMEOUT_MS    4000 /* for connecting and greeting together, and for each write */
#define TAP_REDIAL_MAX    10   /* ticks; from 1, doubled */
#define TAP_LAST_MS       500  /* for the last messages at the end */
#define TAP_CONTENT       "protobuf:dnstap.Dnstap"

enum tap_kind { TAP_UNIX, TAP_TCP };

/* Where messages go; the text is the set-up's. */
struct tap_endpoint {
    enum tap_kind kind;
    bool listen;
    char host[256]; /* or a socket's path */
    char port[8];
    const char *text;            /* as it was written */
    int send_buffer;             /* bytes; TCP */
    bool secure;                 /* TLS on top of TCP */
    bool skip_verify;            /* clients: any certificate; listeners: none is needed */
    const char *cert, *key, *ca; /* of a listener; or NULL */
    struct tls_config *tls;
};

struct tap_sender;

/* ---- dnstap_stream.c: one connection ---- */

union tap_handle {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

enum tap_state { TAP_CONNECTING, TAP_GREETING, TAP_FLOWING };

struct tap_stream {
    union tap_handle conn;
    uv_timer_t timer; /* until the peer must have done its part */
    uv_connect_t connect;
    uv_write_t write;
    uv_getaddrinfo_t resolve;
    unsigned open; /* handles, the look-up and sealed writes under way */
    bool ended, writing;
    enum tap_state state;
    struct tap_sender *sender;
    struct tls *tls; /* NULL: plain */
    size_t in_len, out_len;
    unsigned out_frames;
    uint8_t in[768];
    uint8_t out[TAP_BATCH];
};

/* Not NULL; ends by itself when it fails, and tells the sender. */
struct tap_stream *tap_stream_dial(struct tap_sender *s);
struct tap_stream *tap_stream_accept(struct tap_sender *s, uv_stream_t *server);
/* May frames be put? */
static inline bool tap_stream_is_ready(const struct tap_stream *st)
{
    return st->state == TAP_FLOWING && !st->writing;
}
static inline bool tap_stream_has_room(const struct tap_stream *st, size_t len)
{
    return len + 4 <= sizeof st->out - st->out_len;
}
void tap_stream_put(struct tap_stream *st, const uint8_t *message, size_t len);
void tap_stream_flush(struct tap_stream *st);
void tap_stream_end(struct tap_stream *st);
/* A write that the kernel has taken is done, before the loop has told so. */
void tap_stream_settle(struct tap_stream *st);
/* Waits for at most TAP_LAST_MS, for the end of the server: what was put, and that it is the last.
 */
void tap_stream_last(struct tap_stream *st);

/* For dnstap_tls.c: the end with a reason; the greeting; what has been read. */
void tap_stream_fail(struct tap_stream *st, const char *why);
void tap_stream_greet(struct tap_stream *st);
void tap_stream_take(struct tap_stream *st);
/* What was put has been written, or not. */
void tap_stream_written(struct tap_stream *st, int status);
/* One user of its memory less. */
void tap_stream_release(struct tap_stream *st);

/* ---- dnstap_tls.c: the same under TLS ---- */

/* Begins the handshake; the greeting follows it. */
void tap_tls_begin(struct tap_stream *st);
/* Bytes from the peer. */
void tap_tls_feed(struct tap_stream *st, const uint8_t *data, size_t len);
/* Writes what was put; 0 or a negative code. */
int tap_tls_flush(struct tap_stream *st);

/* ---- dnstap_send.c ---- */

struct tap_sender {
    const struct tap_endpoint *endpoint;
    uv_loop_t *loop;
    struct tap_ring *rings; /* the line's */
    unsigned n_rings;
    _Atomic bool awake;       /* workers: no need to wake it */
    _Atomic uint64_t dropped; /* since the last report */
    metric m_sent, m_dropped;
    /* Of the control thread: */
    uv_async_t *wake; /* these four on the heap: they outlive us until the loop has closed them */
    uv_timer_t *drain, *tick;
    union tap_handle *server;
    VEC(struct tap_stream *) streams;
    unsigned redial, redial_left; /* ticks */
    unsigned turn;                /* the ring that is first */
    bool failing;                 /* that was said */
    bool ending;
    int64_t report_ns;
};

int tap_sender_start(struct tap_sender *s, struct err *e);
void tap_sender_stop(struct tap_sender *s);
/* A worker has put a message into its ring. */
void tap_sender_wake(struct tap_sender *s);
/* Any thread. */
void tap_sender_drop(struct tap_sender *s, uint64_t n);

/* From streams. */
void tap_sender_pump(struct tap_sender *s);
void tap_sender_ended(struct tap_sender *s, struct tap_stream *st, const char *why, bool flowed);
