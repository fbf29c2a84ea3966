/* A server block compiled into flat arrays of steps; running a query is walking an index.
 *
 * `in` holds the steps in plugin order. A step that ends the chain at index i is followed by the
 * `out` hooks of the plugins outside it: out[out_from[i]] to the end. One of them may wait, too. */
#pragma once

#include "dns/plugin.h"

struct chain_step {
    step_fn *run;
    void *conf;
    const struct plugin *plugin;
    uint16_t out_from;
    uint8_t id;               /* 1 + position in plugins[] */
    at_once_fn *next_at_once; /* of the next step, when no hook stands in between; or NULL */
};

struct chain_ahead {
    ahead_fn *run;
    const void *conf;
};

struct chain_hook {
    hook_fn *run;
    step_fn *step; /* instead of run, for those that may wait */
    void *conf;
    const struct plugin *plugin;
    bool always; /* for bare replies and drops, too */
};

struct chain {
    const struct chain_step *in;
    const struct chain_hook *out;   /* innermost first */
    const struct chain_hook *after; /* in plugin order */
    uint16_t n_in, n_out, n_after;
    bool any_class;
    const struct block *block;
    struct chain_ahead ahead[QUERY_AHEAD];
    unsigned n_ahead;
};

/* What plugins registered: one part for each of plugins[], in that order. */
struct chain_part {
    const struct plugin *plugin;
    step_fn *in, *out_step; /* one of out and out_step */
    hook_fn *out, *after;
    at_once_fn *at_once; /* of `in`; or NULL */
    void *in_conf, *out_conf, *after_conf;
    bool out_always;
};

struct chain *chain_build(struct arena *a, const struct chain_part *parts, size_t n,
                          const struct block *block, bool any_class);

/* Runs q from q->step on. STEP_DONE: q->reply is final; STEP_DROP; STEP_WAIT: the query is
 * suspended. */
enum step chain_run(const struct chain *c, struct query *q);
/* The same for what lies further in than the step `base`: steps and hooks of the plugins behind it.
 */
enum step chain_run_below(const struct chain *c, struct query *q, uint16_t base);
/* Goes on after the step or the out hook that waited, with what its resume function returned. */
enum step chain_continue(const struct chain *c, struct query *q, enum step step);
