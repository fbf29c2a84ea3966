/* One name being asked for, whoever asks (private to client/): the messages, what left and what
 * came, and the replies that were taken. When to send, to whom, and how long to wait is for the
 * personality (way.h) to say.
 *
 * stub.c fills the first block and owns the arena. Accepted replies stay in `replies` in the order
 * in which they came. */
#pragma once

#include "client/stub.h"
#include "wire/msg.h"

#define ASK_TYPES_MAX 2
#define ASK_QUERY_MAX (NAME_MAX_WIRE + 32)

struct ask_query {
    uint8_t bytes[2 + ASK_QUERY_MAX]; /* the length that TCP wants, then the message */
    size_t len;                       /* of the message */
    uint16_t id, type;
    size_t line; /* its latest line in the result, when sent */
};

struct ask_reply {
    const uint8_t *bytes;
    size_t len;
    struct walk_reply brief;
    unsigned query; /* index of what it answers */
    bool tc;
};

struct ask {
    struct stub *stub;
    struct stub_result *result;
    struct arena *arena;
    int64_t start_ns; /* of the look-up */
    unsigned candidate;
    const char *text; /* of the candidate */
    bool as_is;       /* it is the name as it was given */
    bool address;     /* addresses are wanted, not some other type */
    uint16_t types[ASK_TYPES_MAX];
    unsigned n;
    uint8_t *buffer; /* MSG_MAX bytes */
    void *state;     /* of the personality, for the whole look-up; NULL: none */

    struct ask_query queries[ASK_TYPES_MAX];
    struct ask_reply replies[ASK_TYPES_MAX];
    unsigned n_replies;
    bool took_ips; /* the personality has put the addresses into the result itself */
};

/* The queries for the name; edns_size 0: without OPT. */
void ask_build(struct ask *a, const struct name *name, uint16_t edns_size, bool ad);

/* A line of the result for a query that left; returns its index. */
size_t ask_trace_sent(struct ask *a, unsigned query, unsigned server, unsigned attempt, bool tcp,
                      int fd);
void ask_trace_reply(struct ask *a, size_t line, const struct ask_reply *r);
/* Ends a line that still waits; all of this candidate. */
void ask_trace_end(struct ask *a, size_t line, enum stub_fate fate);
void ask_trace_end_all(struct ask *a, enum stub_fate fate);

/* Reads a message of the buffer; false when it answers none of our queries. */
bool ask_read_reply(struct ask *a, size_t len, struct ask_reply *ret);
void ask_accept(struct ask *a, const struct ask_reply *r);

int64_t ask_now_us(const struct ask *a); /* since the look-up began */
