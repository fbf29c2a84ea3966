/* `cancel [DURATION]`: a query that has no answer by then is given up. Those who wait for others
 * keep to q->deadline_ns. */
#include "dns/plugin.h"

/* A little more than the 5 s that clients' resolvers wait. */
#define CANCEL_DEFAULT_NS 5001000000LL

static enum step cancel_in(struct query *q, void *conf)
{
    int64_t deadline = q->start_ns + *(const long long *)conf;
    if (!q->deadline_ns || deadline < q->deadline_ns)
        q->deadline_ns = deadline;
    return STEP_NEXT;
}

static int cancel_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    long long *ns = arena_alloc(setup_arena(s), sizeof *ns);
    *ns = CANCEL_DEFAULT_NS;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        if (str_to_duration(dispenser_val(d), ns) < 0)
            return dispenser_err(d, e, "invalid duration: \"%s\"", dispenser_val(d));
        if (*ns <= 0)
            return dispenser_err(d, e, "the duration must be above zero: \"%s\"", dispenser_val(d));
    }
    setup_in(s, cancel_in, ns);
    return dispenser_end(d, e);
}

const struct plugin plugin_cancel = { .name = "cancel", .setup = cancel_setup };
