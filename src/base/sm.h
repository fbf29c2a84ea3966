/* A state machine whose states and allowed transitions are a table: each move is checked against it
 * and reported, so that a wrong edge is an assertion and not a riddle. */
#pragma once

#include <assert.h>
#include <stdint.h>

struct sm_state {
    const char *name;
    uint32_t next; /* bit i set: may move to state i */
};

struct sm {
    const struct sm_state *states;
    unsigned now;
    void (*moved)(void *ctx, const char *from, const char *to); /* may be NULL */
    void *ctx;
};

static inline void sm_move(struct sm *m, unsigned to)
{
    unsigned from = m->now;
    assert(m->states[from].next >> to & 1);
    m->now = to;
    if (m->moved)
        m->moved(m->ctx, m->states[from].name, m->states[to].name);
}
