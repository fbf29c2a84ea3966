/* A small web server that says who it is and whom it saw: what requests in a lab arrive at.
 *
 *   GET /       {"pod": "bar-1", "client": "10.244.1.7:41234", "local": ..., "host": "bar", ...}
 *   GET /ready  200, or 503 while the file /tmp/unready exists
 *
 * Each answer closes its connection, so that each request is a new choice of the proxy. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct backend_options {
    uint16_t port;
    const char *name; /* NULL: $HOSTNAME */
};

/* Serves until SIGTERM or SIGINT. */
int backend_run(const struct backend_options *o, struct err *e);
