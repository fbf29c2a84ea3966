/* One request of the client, and its way told from what was seen. */
#pragma once

#include "explain/journey.h"
#include "explain/outcome.h"
#include "lab/dns_seen.h"

#include <stdio.h>

#define REQUEST_WAIT_S     10
#define REQUEST_WAIT_MAX_S 60

/* What the client itself says of it. Texts are malloc'ed, never NULL. */
struct asked {
    char *by;      /* "curl http://bar/" */
    bool complete; /* it has all that it wanted */
    int status;    /* of HTTP, 0: none */
    int64_t name_ns, connect_ns,
        total_ns;           /* since it began: the name was known, connected, ended */
    char *said;             /* first line of the answer */
    char *error;            /* why it ended without one */
    bool by_ports;          /* its queries came from these */
    struct dns_ports ports; /* else whatever asks is taken for it */
    struct tuple tuple; /* of the connection, or datagrams, if it told observer_mark() of it; else
                         * from.family 0 */
};

void asked_done(struct asked *a);

struct request_how {
    const char *typed; /* "bar", "bar:8080", "10.96.0.20:80" */
    unsigned wait_s;   /* for the whole of it, 1 to REQUEST_WAIT_MAX_S */
    uint8_t protocol;  /* IPPROTO_TCP, IPPROTO_UDP */
    const char *as;    /* whose ways the look-up follows, as `signpost lookup` takes it; NULL: those
                        * of the client's own library */
    /* Makes it, within the client's network. Fails only when it could not be made. */
    int (*ask)(void *ctx, struct observer *o, const struct request_how *how, struct asked *ret,
               struct err *e);
    void *ctx;
};

/* By an unmodified curl, in a pod of a lab: a web request. */
int request_by_curl(void *ctx, struct observer *o, const struct request_how *how, struct asked *ret,
                    struct err *e);

struct request {
    struct observer *o;
    const char *typed, *as;
    uint8_t protocol;
    bool literal; /* an address was typed */
    struct asked asked;
    struct dns_seen_list dns;
    const struct dns_seen *winner; /* the query that gave the address */
    const struct packet *syn;      /* of the client, or its datagram; the rest follows from it */
    const struct flow *flow;       /* its latest state; in `table` */
    struct flow table;
    bool flow_of_table;     /* it stood before */
    struct flow query_flow; /* of the query that gave the address, else of the last one */
    bool has_query_flow, query_flow_of_table;
    bool server_is_local, server_is_bound; /* the name server's address is the client's node's own;
                                              somebody of the node listens there */
    unsigned insert_failed; /* entries that the node's connection table did not take meanwhile */
    size_t search_bytes;    /* of the search line of the client's resolv.conf */
    const struct sighting *arrival; /* the same connection attempt at a pod */
    int64_t start_ns;               /* of the first packet */
};

/* Makes it and collects what was seen. Fails only when it could not be made. The texts of `how`
 * outlive the request. */
int request_make(struct observer *o, const struct request_how *how, struct request *ret,
                 struct err *e);
void request_done(struct request *r);
/* Every step from the name to the reply, each with what was observed. */
void request_tell(struct request *r, struct journey *j);
/* How far it came. Texts lie in the observer's arena, until its next collection. */
void request_sightings(struct request *r, struct sightings *ret);
/* All of it for one web request in a lab: prints the walk. Fails, naming the step, when one was not
 * observed. */
int request_show(struct observer *o, const char *name, FILE *out, struct err *e);
