/* How glibc sends and waits for one name (private to client/): attempts, servers in turn, A and
 * AAAA from one socket, one-by-one mode after a lost answer, TCP after a truncated one. */
#pragma once

#include "client/ask.h"

struct glibc {
    struct ask *ask;
    int fds[STUB_SERVERS_MAX]; /* UDP sockets, -1: none */
    unsigned server, attempt;  /* now */
    uint16_t last_rcode;       /* of the latest reply that opened an exchange */
    bool got_somewhere;        /* something came, or a wait ended: someone may be there */
    bool tcp_refused;
};

enum glibc_step { GLIBC_DONE, GLIBC_NEXT_SERVER, GLIBC_OVER_TCP };

enum glibc_step glibc_over_udp(struct glibc *g);
enum glibc_step glibc_over_tcp(struct glibc *g);
