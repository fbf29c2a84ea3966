/* A worker's sockets for one place of one listener. Private to serve.c and what hands sockets over.
 */
#pragma once

#include "dns/serve.h"

struct dns_socket {
    uv_poll_t poll;
    int fd;
    bool wildcard, open;
    struct ip ip; /* as the listener's */
    uint16_t port;
    unsigned place; /* of this listener's sockets of the worker */
    struct dns_worker *w;
    const struct dns_listener *listener; /* of the configuration that serves */
    struct tcp_server *tcp;
    struct tcp_handler tcp_handler;
    struct query *slots[UDP_BATCH];
    struct udp_in in;
    struct udp_out out;
    size_t out_pos;
    uint8_t *out_bytes; /* SERVE_OUT_BYTES and room for one more reply */
};
