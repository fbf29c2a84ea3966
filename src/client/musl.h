/* How musl sends and waits for one name (private to client/): every query to every server from one
 * socket, and whoever answers first is believed. */
#pragma once

#include "client/ask.h"

/* What differs between versions. */
struct musl {
    bool tcp_after_tc;  /* 1.2.4: a truncated reply is asked for again over TCP */
    bool checks_dots;   /* 1.2.4: a name with an empty label at its end is not sent */
    unsigned reply_max; /* bytes of a reply that are read */
    bool typed;         /* 1.2.4: records of the other type are not taken */
    int no_data;        /* EAI_*: the name exists, without addresses */
};

#define MUSL_NO_REPLY (-1)

struct musl_reply {
    const uint8_t *bytes; /* at most reply_max */
    size_t len;           /* 0: none was accepted */
};

/* Fills replies[0..a->n). */
void musl_send(struct ask *a, const struct musl *version, struct musl_reply *replies);
