/* One web request of the client pod, made by an unmodified curl, and its way told from what was
 * seen. */
#pragma once

#include "explain/journey.h"
#include "lab/dns_seen.h"
#include "lab/enter.h"

#include <stdio.h>

struct request {
    struct observer *o;
    const char *typed; /* "bar" */
    struct ran ran;    /* of curl */
    struct dns_seen_list dns;
    const struct dns_seen *winner;  /* the query that gave the address */
    const struct packet *syn;       /* of the client; the rest follows from it */
    const struct flow *flow;        /* its latest state */
    const struct sighting *arrival; /* the same connection attempt at a pod */
    int64_t start_ns;               /* of the first packet */
};

/* Runs it and collects what was seen. Fails only when it could not be run. */
int request_make(struct observer *o, const char *name, struct request *ret, struct err *e);
void request_done(struct request *r);
/* Every step from the name to the reply, each with what was observed. */
void request_tell(struct request *r, struct journey *j);
/* All of it for one request: prints the walk. Fails, naming the step, when one was not observed. */
int request_show(struct observer *o, const char *name, FILE *out, struct err *e);
