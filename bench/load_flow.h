/* A flow: one connected UDP socket with a window of queries under way.
 *
 * Several flows come from several source ports, so that a server with one SO_REUSEPORT socket a
 * worker gets work on all of them. Each answer frees its place in the window, and a new query takes
 * it: a closed loop, which keeps the server busy and never floods it. */
#pragma once

#include "load_queries.h"

#include <stdbool.h>
#include <sys/socket.h>

#define FLOW_WINDOW_MAX 256 /* the low byte of a query's id is its place */
#define FLOW_ANSWER_MAX 4096

enum { FLOW_RCODES = 16 };

/* What all flows share. */
struct load {
    const struct queries *queries;
    uint64_t left;        /* queries still to send */
    size_t next;          /* index into queries */
    unsigned check_every; /* 0: never */
    int64_t timeout_ns;
    int64_t now_ns;  /* read once a round */
    int64_t busy_ns; /* spent in rounds that brought answers; the rest is spinning */
    bool came;       /* the last round did */
    uint64_t sent, answered, lost, late, nodata, truncated, checked, wrong;
    uint64_t rcodes[FLOW_RCODES];
    const char *first_wrong; /* and which query it was */
    size_t first_wrong_query;
};

struct place {
    bool busy;
    uint16_t id;
    uint32_t query;
    int64_t sent_ns;
};

struct flow {
    int fd;
    unsigned window;
    struct place places[FLOW_WINDOW_MAX];
    uint8_t free[FLOW_WINDOW_MAX]; /* stack of places */
    unsigned n_free;
    struct mmsghdr out[FLOW_WINDOW_MAX], in[FLOW_WINDOW_MAX];
    struct iovec out_iov[FLOW_WINDOW_MAX], in_iov[FLOW_WINDOW_MAX];
    uint8_t answers[FLOW_WINDOW_MAX][FLOW_ANSWER_MAX];
};

int flow_init(struct flow *f, const struct sockaddr *to, socklen_t to_len, unsigned window,
              struct err *e);
void flow_done(struct flow *f);

/* Fills the free places of the window. Returns 0 or a negative code (the server is gone). */
int flow_send(struct flow *f, struct load *l, struct err *e);
/* Takes what has come, without waiting. Returns how much, or a negative code. */
int flow_receive(struct flow *f, struct load *l, struct err *e);
/* Gives up on queries older than the timeout, so that their places are used again. */
void flow_expire(struct flow *f, struct load *l);

static inline bool flow_idle(const struct flow *f)
{
    return f->n_free == f->window;
}
