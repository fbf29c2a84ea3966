/* Why a query gets its answer: one query of the server's own goes the way of a client's and takes
 * down what each plugin does with it.
 *
 * `struct why` is the record. A query that has one (q->why) walks its chain in chain.c's traced
 * variant; others do not notice. The worker fills it while the query runs (why_step.c); when it has
 * ended the control thread adds what plugins know of their objects and hands out rows (why.c). Its
 * look-ups belong to it, fetches in the background (`cache`) do not. Private to the room; plugins
 * see their part in dns/plugin.h, commands theirs in dns/server.h. */
#pragma once

#include "dns/setup.h"

#define WHY_STEPS_MAX                                                                              \
    128 /* plugins asked, those of look-ups included; more are left out, and said so */
#define WHY_WORDS_MAX 32 /* rows of one plugin */

struct why_words {
    struct arena *arena;
    struct why_row *rows;
    unsigned n;
};

/* What one plugin did, on the way in or back. */
struct why_step {
    const struct query *q;       /* to tell look-ups apart; not to be looked into */
    const struct plugin *plugin; /* NULL: the server's own */
    const char *name;
    const void *conf;
    struct question *asked; /* as the plugin saw it */
    const char *what, *detail;
    struct why_words words;
    uint16_t index;
    uint16_t answers; /* before */
    uint16_t rcode;
    uint8_t depth;
    bool back; /* on the way back */
    int64_t start_ns;
};

struct why {
    struct arena arena;
    struct dns_server *server;
    struct why_request request;
    struct why_step *steps;
    unsigned n_steps;
    bool cut;
    const struct dns_listener *listener;
    struct dns_config *config; /* kept from ending meanwhile */
    struct worker *worker;
    const struct route *route; /* NULL: none */
    struct sockaddr_storage peer;
    uint8_t *reply; /* as it would be sent */
    size_t reply_len;
    bool dropped;
    const char *error;
    int64_t start_ns, end_ns;
    _Atomic bool over; /* the worker is done with the record */
    uv_async_t ended;
    why_fn *fn;
    void *ctx;
    struct why *next; /* of the server's */
};

/* The workers have ended: whoever waits for a trace is told nothing. The loop must run on for the
 * handles to be closed. */
void why_stop(struct dns_server *s);

/* ---- why_step.c: on the worker, for a query that has a record ---- */

/* The step at q->step is about to run; it has returned `step` (again, when it has waited). */
void why_begin(struct query *q);
void why_end(struct query *q, enum step step);
/* The same for a hook on the way back. */
void why_back_begin(struct query *q, const struct plugin *p);
void why_back_end(struct query *q);
/* A look-up begins; a query's route is known. */
void why_lookup(struct query *q, const struct query *sub);
void why_routed(struct query *q);
