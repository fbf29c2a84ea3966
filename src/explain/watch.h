/* The flows of a network namespace, from the packets that begin and end them: each query with its
 * answer, each connection with what came of it, joined to the name that was just looked up.
 *
 * Pure: packets and the time come from the caller (kernel/capture.h), lines go to it. The tables
 * are bounded; what had to be forgotten before its end was known is counted. */
#pragma once

#include "kernel/capture.h"
#include "kernel/conntrack.h"

#define WATCH_FLOWS_MAX 8192
#define WATCH_NAMES_MAX 1024          /* addresses that were looked up */
#define WATCH_NAME_NS   60000000000LL /* "just": so long ago at most */
#define WATCH_KEEP_NS                                                                              \
    60000000000LL                    /* a flow that was told of, to tell what still belongs to it  \
                                      */
#define WATCH_OPEN_NS 600000000000LL /* a connection, to tell of its reset */

enum watch_kind { WATCH_DNS, WATCH_TCP, WATCH_UDP };

enum watch_result {
    WATCH_OK,          /* a query: there is an answer, `rcode` says which */
    WATCH_REFUSED,     /* by RST, or by ICMP "port unreachable" */
    WATCH_UNREACHABLE, /* by any other ICMP error */
    WATCH_NO_ANSWER,   /* within the patience */
    WATCH_RESET,       /* by the other side, after it was connected; told in a second line */
    WATCH_ABORTED,     /* the same by this side */
};

/* Pointers until the call returns. */
struct watch_line {
    enum watch_kind kind;
    enum watch_result result;
    bool incoming;      /* somebody asks this namespace */
    bool tcp;           /* a query over TCP */
    struct tuple asked; /* as the first packet had it */
    struct tuple reply; /* of the connection table, from.family 0: nothing known */
    int64_t time_ns;    /* CLOCK_REALTIME, of the first packet */
    int64_t took_ns;    /* until the result; -1: there was none */
    unsigned attempts;  /* packets that asked, 1 or more */
    const char *name; /* a query's; else what was looked up for this address just before, or NULL */
    uint16_t type;    /* of the query, or of that look-up */
    uint16_t rcode;
    const char *answer; /* of a query: "A 10.96.0.20", or "" */
    unsigned n_records;
};

struct watch_to {
    void (*tell)(void *ctx, const struct watch_line *l);
    /* What the connection table has for that original tuple; false: nothing. */
    bool (*translated)(void *ctx, const struct tuple *asked, struct tuple *ret_reply);
    void *ctx;
    int64_t patience_ns;
};

struct watch;

struct watch *watch_new(const struct watch_to *to);
void watch_free(struct watch *w);
void watch_packet(struct watch *w, const struct packet *p);
/* Tells of what has waited long enough; now: CLOCK_REALTIME. */
void watch_time(struct watch *w, int64_t now_ns);
/* Flows, and names, that were forgotten to make room. */
uint64_t watch_lost(const struct watch *w);
size_t watch_flows(const struct watch *w);

const char *watch_result_text(enum watch_result r); /* "ok", "refused", "no answer", ... */
