/* Private to upstream*.c: channels (sockets and connections) and the questions under way on them.
 */
#pragma once

#include "base/cleanup.h"
#include "dns/upstream.h"
#include "net/udp.h"

#define CHANNEL_BUCKETS  256 /* of the table by id */
#define CHANNEL_IN_BYTES (2 + MSG_MAX)
#define UDP_IN_BATCH     16 /* datagrams received at once */
#define SLAB_EXCHANGES   64
#define RANDOM_IDS       128 /* drawn from the kernel at once; 256 bytes come whole */

/* A question under way. */
struct exchange {
    struct deadline deadline;
    struct exchange *next; /* in a bucket, in the free list */
    struct channel *channel;
    const struct question *q;
    upstream_done_fn *done;
    void *ctx;
    int64_t start_ns, read_ns, limit_ns;
    uint16_t id;
    bool reused; /* the channel had brought replies before */
};

/* A connected UDP socket, or a TCP connection, plain or with TLS. */
struct channel {
    uv_poll_t poll;
    int fd; /* -1: closed; the memory goes when the loop has let go of it */
    uint8_t kind;
    bool connecting, retired, counted_idle; /* connecting: the handshake of TLS included */
    int error; /* that a send was told, and that belongs to what had been sent before */
    struct upstream_link *link;
    unsigned n; /* questions under way */
    uint32_t uses;
    int64_t opened_ns, used_ns, heard_ns;
    struct deadline expire; /* while connecting: that must have ended by then */
    struct sockaddr_storage local;
    struct exchange *by_id[CHANNEL_BUCKETS];
    /* TCP and TLS only; the bytes before they are sealed and after */
    uint8_t *in, *out;
    size_t in_len, out_pos, out_len;
    struct tls *tls; /* from when the connection stands */
};

/* One upstream as one worker sees it. */
struct upstream_link {
    struct upstream_worker *worker;
    struct upstream *upstream;
    struct channel *channels[CHANNEL_KINDS][UPSTREAM_CHANNELS];
    unsigned n;      /* questions under way */
    int64_t dial_ns; /* average time to connect; 0: unknown */
    struct tls_ticket ticket;
    struct deadline check;
    struct question check_q;
    bool has_duration[UPSTREAM_RCODES + 1];
    struct histogram durations[UPSTREAM_RCODES + 1];
};

struct slab {
    struct slab *next;
    struct exchange items[SLAB_EXCHANGES];
};

struct upstream_worker {
    struct worker *worker;
    struct wheel wheel;
    struct upstream_link **links; /* by upstream id */
    unsigned n_links;
    struct exchange *free;
    struct slab *slabs;
    uint16_t ids[RANDOM_IDS];
    unsigned ids_left;
    bool closed;
    struct udp_in udp_in;
    uint8_t *in; /* UDP_IN_BATCH buffers of MSG_MAX bytes */
};

/* ---- upstream.c ---- */

extern metric upstream_m_ignored;

uint16_t upstream_random(struct upstream_worker *uw);
/* A message has come: ends the exchange that it answers, or counts it as ignored. */
void channel_message(struct channel *c, const uint8_t *msg, size_t len);
/* Ends everything under way on the channel. */
void channel_fail(struct channel *c, int error);
/* "read udp A->B: i/o timeout" */
void channel_error(const struct channel *c, int error, char *text, size_t cap);

/* ---- upstream_channel.c ---- */

/* The channel for one more message of len bytes, opened if need be; NULL: *ret_error says why. */
struct channel *channel_pick(struct upstream_link *l, int kind, size_t len, int *ret_error);
void channel_close(struct channel *c);
void channel_want_write(struct channel *c);
/* The last exchange on it has ended: retires, or waits for its expiry. */
void channel_idle(struct channel *c);

/* ---- upstream_udp.c, upstream_tcp.c ---- */

void udp_channel_readable(struct channel *c);
int udp_channel_send(struct channel *c, uint16_t id, const uint8_t *msg, size_t len);
void tcp_channel_events(struct channel *c, int events);
int tcp_channel_send(struct channel *c, uint16_t id, const uint8_t *msg, size_t len);
bool tcp_channel_has_room(const struct channel *c, size_t len);
/* Waits for the socket to take bytes. */
bool tcp_channel_wants_write(const struct channel *c);
void tcp_channel_dial_timeout(struct channel *c);
