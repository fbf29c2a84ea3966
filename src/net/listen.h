/* Server sockets. Every worker opens its own, with SO_REUSEPORT, so that the kernel spreads
 * clients. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

/* A non-blocking, bound UDP socket. ip.family 0: the wildcard of both families ([::], or 0.0.0.0
 * where there is no IPv6). A wildcard socket delivers IP_PKTINFO, so that replies leave from the
 * address that was asked. Returns the descriptor or a negative code with e set ("listen udp
 * 127.0.0.1:53: ..."). */
int listen_udp(const struct ip *ip, uint16_t port, struct err *e);
/* A non-blocking, bound and listening TCP socket. */
int listen_tcp(const struct ip *ip, uint16_t port, struct err *e);
