/* A worker's sockets for one place of one listener. Private to serve*.c and to what hands them
 * over. */
#pragma once

#include "dns/serve.h"
#include "net/doh.h"

#define HTTPS_STATUSES 10 /* that a response may have */

struct dns_socket {
    uv_poll_t poll;
    int fd; /* UDP; -1: none, as with all schemes but dns:// */
    bool wildcard, open;
    struct ip ip; /* as the listener's */
    uint16_t port;
    enum scheme scheme;
    unsigned place; /* of this listener's sockets of the worker */
    struct dns_worker *w;
    const struct dns_listener *listener; /* of the configuration that serves */
    struct tcp_server *tcp;              /* one of the two */
    struct doh_server *doh;
    metric https_responses[HTTPS_STATUSES]; /* 0: not counted yet */
    struct query *slots[UDP_BATCH];
    struct udp_in in;
    struct udp_out out;
    size_t out_pos;
    uint8_t *out_bytes; /* SERVE_OUT_BYTES and room for one more reply */
};

/* Accepts connections for it; NULL: nobody does. */
struct stream_server *socket_stream(const struct dns_socket *s);
