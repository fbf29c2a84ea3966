/* One socket to one server of the stub resolver: UDP, or TCP with its messages behind two bytes of
 * length. Nothing blocks; the caller polls (private to client/).
 *
 * Owner: the caller. Memory for what comes in lies in the arena and is used again when the same
 * struct is opened again. Failures are negated errno. */
#pragma once

#include "client/ask.h"

#define DIAL_OUT_MAX (ASK_TYPES_MAX * (2 + ASK_QUERY_MAX)) /* bytes that wait, over TCP */

struct dial {
    int fd; /* -1: closed */
    bool tcp;
    uint8_t out[DIAL_OUT_MAX];
    size_t n_out;
    uint8_t *in; /* TCP: length and message so far */
    size_t n_in;
};

void dial_init(struct dial *d);
/* Connected; over TCP perhaps not yet. */
int dial_open(struct dial *d, const struct stub_server *s, bool tcp, struct arena *a);
void dial_close(struct dial *d);

/* UDP: sends now. TCP: sends as soon as it can. */
int dial_send(struct dial *d, const struct ask_query *q);
short dial_events(const struct dial *d); /* for poll() */
/* Sends what waits: when poll() says that the socket is writable. */
int dial_flush(struct dial *d);
/* > 0: the length of a message, now in buffer[0..size); 0: none is there yet. The end of a TCP
 * connection is -EPIPE. Longer datagrams are cut. */
ssize_t dial_receive(struct dial *d, uint8_t *buffer, size_t size);
