/* The floor: servers that do nothing but send back what came, with the response bit set.
 *
 * Every DNS server on the same socket interface pays at least this, so it is the unit in which
 * bench/dns.py measures. One thread a worker and kind of socket; each has a socket of its own. */
#pragma once

#include "base/err.h"

#include <openssl/ssl.h>
#include <stdint.h>

#define HEADER_LEN 12
#define BATCH_MAX  1024

/* On 127.0.0.1, so that several share a port. Returns the socket or a negative code. */
int floor_socket(int type, uint16_t port, struct err *e);

/* Both serve until something fails; the code says what. */
int floor_udp(int fd, unsigned batch, struct err *e);
/* tls NULL: plain. */
int floor_stream(int fd, SSL_CTX *tls, struct err *e);
