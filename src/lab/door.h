/* A way from this machine into a lab: a port on the loopback of the world outside, whose
 * connections are passed on to one address of the lab, byte by byte. So a kubectl outside reaches
 * the API of the lab, which has no way out itself.
 *
 * On the lab's loop. Lives as long as the lab. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <uv.h>

#define DOOR_PASSAGES_MAX 256 /* connections at a time; more are closed at once */

struct door;

/* A listening socket on a free port of 127.0.0.1, made in the world outside: sockets stay in the
 * network namespace that they were made in. *ret_port is where. */
int door_socket(int *ret_fd, uint16_t *ret_port, struct err *e);
/* Takes fd over, on failure too. */
int door_open(uv_loop_t *loop, int fd, const struct ip *to, uint16_t port, struct door **ret,
              struct err *e);
