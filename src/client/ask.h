/* One name asked of all servers, as glibc sends and waits (private to client/): attempts, servers
 * in turn, A and AAAA from one socket, one-by-one mode after a lost answer, TCP after a truncated
 * one.
 *
 * The caller fills the first block and owns the arena; what left and what came is added to
 * `result`, the accepted replies stay in `replies` in the order in which they came. */
#pragma once

#include "client/stub.h"
#include "wire/msg.h"

#define ASK_TYPES_MAX 2
#define ASK_QUERY_MAX (NAME_MAX_WIRE + 32)
#define ASK_EDNS_SIZE 1200 /* what glibc announces with edns0 */

struct ask_query {
    uint8_t bytes[2 + ASK_QUERY_MAX]; /* the length that TCP wants, then the message */
    size_t len;                       /* of the message */
    uint16_t id, type;
    size_t trace; /* its latest line in the result, when sent */
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
    uint16_t types[ASK_TYPES_MAX];
    unsigned n;
    uint8_t *buffer; /* MSG_MAX bytes */

    struct ask_query queries[ASK_TYPES_MAX];
    struct ask_reply replies[ASK_TYPES_MAX];
    unsigned n_replies;

    int fds[STUB_SERVERS_MAX]; /* UDP sockets, -1: none */
    unsigned server, attempt;  /* now */
    uint16_t last_rcode;       /* of the latest reply that opened an exchange */
    bool got_somewhere;        /* something came, or a wait ended: someone may be there */
    bool tcp_refused;
};

enum ask_step { ASK_DONE, ASK_NEXT_SERVER, ASK_OVER_TCP };

enum walk_outcome ask_run(struct ask *a, const struct name *name);

/* For the two transports. */
void ask_trace_sent(struct ask *a, unsigned query, bool tcp, int fd);
void ask_trace_reply(struct ask *a, const struct ask_reply *r);
/* Ends all lines of this exchange that still wait. */
void ask_trace_end(struct ask *a, enum stub_fate fate);
/* Reads a message of the buffer; false when it answers none of our queries. */
bool ask_read_reply(struct ask *a, size_t len, struct ask_reply *ret);
void ask_accept(struct ask *a, const struct ask_reply *r);
socklen_t ask_server_address(const struct ask *a, struct sockaddr_storage *ret);
enum ask_step ask_over_udp(struct ask *a);
enum ask_step ask_over_tcp(struct ask *a);
