/* One web request of the client pod, made by an unmodified curl, and its way told from what was
 * seen. */
#pragma once

#include "explain/journey.h"
#include "explain/outcome.h"
#include "lab/dns_seen.h"
#include "lab/enter.h"

#include <stdio.h>

#define REQUEST_WAIT_S     10
#define REQUEST_WAIT_MAX_S 60

struct request {
    struct observer *o;
    const char *typed; /* "bar", "bar:8080", "10.96.0.20:80" */
    const char *as;    /* whose ways the look-up followed; NULL: curl's own library's */
    struct ran ran;    /* of curl */
    struct dns_seen_list dns;
    const struct dns_seen *winner; /* the query that gave the address */
    const struct packet *syn;      /* of the client; the rest follows from it */
    const struct flow *flow;       /* its latest state, or NULL */
    struct flow found;             /* what `flow` points to */
    bool flow_of_table;            /* no event told of it: it was read from the table */
    struct flow query_flow;        /* of the query that gave the address, else of the last one */
    bool has_query_flow, query_flow_of_table;
    bool server_is_local, server_is_bound; /* the name server's address is the client's node's own;
                                              somebody of the node listens there */
    unsigned insert_failed; /* entries that the node's connection table did not take meanwhile */
    size_t search_bytes;    /* of the search line of the client's resolv.conf */
    const struct sighting *arrival; /* the same connection attempt at a pod */
    int64_t start_ns;               /* of the first packet */
};

/* Runs it and collects what was seen. Fails only when it could not be run. name: as it stands in a
 * URL, with or without a port; it outlives the request. as: whose ways the look-up follows, as
 * `signpost lookup` takes it; NULL: those of curl's own library.
 * wait_s: how long for the whole of it, 1 to REQUEST_WAIT_MAX_S. */
int request_make(struct observer *o, const char *name, const char *as, unsigned wait_s,
                 struct request *ret, struct err *e);
void request_done(struct request *r);
/* request_client.c: the client of request_make(), and what is around it. */
int request_run(const struct request *r, const char *as, unsigned wait_s, struct ran *ret,
                struct err *e);
size_t request_search_bytes(const struct request *r);
/* Does a process of the client's node listen at that address, over UDP? */
bool request_is_bound(const struct request *r, const struct ip *ip, uint16_t port);
unsigned long request_insert_failed(const struct request *r); /* since the node is there */
/* Every step from the name to the reply, each with what was observed. */
void request_tell(struct request *r, struct journey *j);
/* Did the request's connection attempt meet this? */
bool request_met(const struct request *r, const struct nft_trace *t);
/* How far it came. Texts lie in the observer's arena, until its next collection. */
void request_sightings(struct request *r, struct sightings *ret);
/* All of it for one request: prints the walk. Fails, naming the step, when one was not observed. */
int request_show(struct observer *o, const char *name, FILE *out, struct err *e);
