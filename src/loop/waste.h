/* What a loop's thread retires (base/rcu.h) is gathered and handed over a moment later: each time
 * that something is handed over wakes a thread up. */
#pragma once

#include <uv.h>

#define WASTE_MS 100 /* that it waits at most, for more to come; many are handed over at once */

struct waste {
    uv_prepare_t prepare;
    uv_timer_t timer;
};

/* On the loop's thread. Its handles are closed with the loop's (loop_done()). */
void waste_open(struct waste *w, uv_loop_t *loop);
