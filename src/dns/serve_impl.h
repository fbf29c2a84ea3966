/* Private to serve*.c: a worker's sockets, and what queries of all transports go through. */
#pragma once

#include "dns/socket.h"

static inline struct dns_worker *serve_worker(const struct query *q)
{
    return container_of(q->worker, struct dns_worker, worker);
}

/* ---- serve.c ---- */

/* Replies to what cannot be a query: the header alone. Returns false when silence is right. */
bool serve_malformed(struct query *q, enum query_form form);
/* Writes the reply; its length. */
size_t serve_encode(struct query *q, uint8_t *out, size_t limit);
/* Counts a query that there was no memory for. */
void serve_no_memory(void);
/* Runs the hooks of those who only look. */
void serve_after(struct query *q);

/* ---- serve_stream.c ---- */

int serve_stream_open(struct dns_socket *s, int fd, struct err *e); /* takes fd over */
/* The socket's listener is another one. */
void serve_stream_update(struct dns_socket *s);
void serve_stream_close(struct dns_socket *s);
/* Ends a query that came on a connection. */
void serve_stream_finish(struct query *q, bool reply);
