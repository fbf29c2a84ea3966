/* Taking connections from a listening socket, and how many the process may hold.
 *
 * libuv's own uv_listen() goes round in circles when there are no descriptors left and several
 * threads accept. Here the listener rests for ACCEPT_PAUSE_MS then: clients wait in the kernel's
 * queue, and everything else on the loop goes on. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <uv.h>

#define ACCEPT_BATCH    64  /* connections taken in a row before other events get their turn */
#define ACCEPT_PAUSE_MS 100 /* until the next try when the kernel has no descriptor or memory */
#define SEATS_SPARE     4  /* one descriptor in so many is kept for all that is not a connection, */
#define SEATS_SPARE_MIN 64 /* and at least so many, as long as that is not more than half */

struct acceptor {
    uv_poll_t poll;
    uv_timer_t again;
    int fd;
    unsigned refs; /* the two handles */
    void *ctx;
    void (*take)(void *ctx, int fd); /* a non-blocking connection, which it owns */
    bool (*make_room)(void *ctx);    /* closes an idle connection; false: there is none */
    void (*closed)(void *ctx);       /* after acceptor_close(): the memory may be freed */
};

/* Raises the process's limit of descriptors as far as it may, registers the metrics. Before the
 * first server. */
void accept_init(void);

/* Takes over fd, on failure too. On success acceptor_close() is owed; after a failure closed() is
 * called from the loop all the same. */
int acceptor_open(struct acceptor *a, uv_loop_t *loop, int fd);
void acceptor_close(struct acceptor *a);

/* Every server has the same share of the connections that the process may hold: of the descriptors
 * that are not in use when the latest server is opened, without the spare ones. One is always
 * allowed. */
void seats_open(void);
void seats_close(void);
/* A seat for one more connection of a server that has n; false: its share is used up, or memory is
 * short. Any thread. */
bool seat_take(unsigned n);
void seat_leave(void);
/* Counts a connection that was closed at once, one that had to make room for another, and one that
 * is not read from for a while because too much of it is unanswered. */
void seat_refused(void);
void seat_evicted(void);
void seat_paused(void);
