/* The deadlines of a worker: setting, moving and clearing one costs a few pointers, however many
 * there are.
 *
 * A wheel of WHEEL_SLOTS ticks; a deadline further away stays in its slot for more than one turn.
 * The timer behind it only runs while something is due, and is set to the next slot that is not
 * empty. All of it on one worker's thread; fn is called between worker_enter() and worker_leave().
 */
#pragma once

#include "loop/worker.h"

#include <stdint.h>

#define WHEEL_TICK_NS 10000000LL /* deadlines are met up to this much late */
#define WHEEL_SLOTS   1024

/* Part of what waits; zero is "not set". Owner clears it before the memory goes. */
struct deadline {
    struct deadline *next, **pprev; /* pprev NULL: not set */
    int64_t at_ns;                  /* monotonic */
    void (*fn)(struct deadline *d); /* d is not set any more when this is called */
};

struct wheel {
    uv_timer_t timer;
    struct worker *worker;
    int64_t tick;  /* all slots up to this one have been looked at */
    int64_t armed; /* the tick that the timer is set to; 0: it does not run */
    struct deadline *due;
    uint64_t used[WHEEL_SLOTS / 64]; /* slots that may not be empty */
    struct deadline *slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, struct worker *worker);
/* Deadlines that are set are forgotten. The wheel's memory must stay until the loop has ended. */
void wheel_close(struct wheel *w);
void wheel_set(struct wheel *w, struct deadline *d, int64_t at_ns);
void wheel_clear(struct deadline *d);
