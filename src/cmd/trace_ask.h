/* A traced request made by ourselves, in the network of a process and with its files: the look-up
 * as one of the personalities does it, then one connection with an HTTP request, or one datagram.
 * For where there is no curl, and for what curl does not do. */
#pragma once

#include "client/way.h"
#include "lab/request.h"

struct trace_ask {
    const struct way *way;
    const char *data; /* of the datagram; NULL: a DNS query to port 53, else a line of text */
};

/* A request_how's `ask`; ctx: a struct trace_ask. */
int trace_ask(void *ctx, struct observer *o, const struct request_how *how, struct asked *ret,
              struct err *e);
