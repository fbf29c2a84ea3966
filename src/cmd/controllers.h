/* The endpoint controllers (endpoints/reconcile.h) on a loop, and who writes for them: to an API
 * server, or to the registry of this process. Control thread only. */
#pragma once

#include "cmd/api_writer.h"
#include "cmd/controller_options.h"
#include "cmd/event_writer.h"

#include <uv.h>

#define CONTROLLERS_RATE_MAX 1000000 /* writes a second: more is no limit any more */

struct controllers {
    struct reconcile *reconcile;
    struct api_writer *writer;
    struct event_writer *events;
    uv_timer_t work;
    bool poked;
};

/* Nothing is written before controllers_start(). The store must outlive them; qps and burst as in
 * struct reconcile_options. */
void controllers_open(struct controllers *c, uv_loop_t *loop, struct store *store,
                      const struct write_target *to, const struct controller_options *o,
                      unsigned qps, unsigned burst);
void controllers_start(struct controllers *c); /* the store is synced */
void controllers_stop(struct controllers *c);  /* what is under way is given up */
/* Fine when it was not opened. The loop must turn once more for the timer to be closed. */
void controllers_close(struct controllers *c);
