/* A window: the queries that one socket has under way, and what all windows share.
 *
 * In a closed loop each answer frees its place, and a new query takes it: the server is kept busy
 * and never flooded. In an open loop (rate > 0) queries are due at fixed times, whatever the server
 * does; a query's latency counts from when it was due, not from when it could be sent, so that a
 * server that stalls is charged for every query that it kept waiting. */
#pragma once

#include "load_latency.h"
#include "load_queries.h"

#include <stdbool.h>

#define WINDOW_MAX 256 /* the low byte of a query's id is its place */
#define ANSWER_MAX 4096

enum { LOAD_RCODES = 16 };

/* What all windows share. */
struct load {
    const struct queries *queries;
    uint64_t left;        /* queries still to send */
    size_t next;          /* index into queries */
    unsigned check_every; /* 0: never */
    int64_t timeout_ns;
    int64_t rate;     /* queries a second; 0: a closed loop */
    int64_t begin_ns; /* when the first query of an open loop is due */
    int64_t now_ns;   /* read once a round, and when answers have come */
    int64_t busy_ns;  /* spent in rounds that brought answers; the rest is spinning */
    uint64_t sent, answered, lost, late, nodata, truncated, checked, wrong, reconnects;
    uint64_t rcodes[LOAD_RCODES];
    const char *first_wrong; /* and which query it was */
    size_t first_wrong_query;
    struct latency latency;
    struct latency behind; /* how late the generator itself sent what was due */
};

struct place {
    bool busy;
    uint16_t id;
    uint32_t query;
    int64_t since_ns; /* sent, or due in an open loop */
    int64_t sent_ns;
};

struct window {
    unsigned size, n_free;
    struct place places[WINDOW_MAX];
    uint8_t free[WINDOW_MAX]; /* stack of places */
};

void window_init(struct window *w, unsigned size);

/* A place is free and a query may be sent now. */
bool window_may_send(const struct window *w, const struct load *l);
/* Takes a place for the next query. Its packet still needs the id. */
const struct query *window_next(struct window *w, struct load *l, uint16_t *ret_id);
/* Of an answer of len bytes that came; it may be anything. */
void window_take(struct window *w, struct load *l, const uint8_t *answer, size_t len);
/* Gives up on queries older than the timeout, so that their places are used again. */
void window_expire(struct window *w, struct load *l);
/* Gives up on all: their connection is gone. */
void window_abandon(struct window *w, struct load *l);

static inline bool window_idle(const struct window *w)
{
    return w->n_free == w->size;
}
