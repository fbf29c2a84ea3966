/* `debug`: lines of level debug are printed, for the whole process, as long as some block has it.
 */
#include "dns/plugin.h"

struct debug {
    bool started;
};

static unsigned users; /* started ones of all configurations; control thread only */

static int debug_start(void *conf, struct err *e)
{
    struct debug *g = conf;
    (void)e;
    g->started = true;
    users++;
    log_set_level(LOG_DEBUG);
    return 0;
}

static void debug_stop(void *conf)
{
    const struct debug *g = conf;
    if (g->started && --users == 0)
        log_set_level(LOG_INFO);
}

static int debug_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct debug *g = arena_zalloc(setup_arena(s), sizeof *g);
    int ret = 0;
    while (ret == 0 && dispenser_next_directive(d))
        ret = dispenser_end(d, e);
    setup_start(s, debug_start, g);
    setup_stop(s, debug_stop, g);
    return ret;
}

const struct plugin plugin_debug = { .name = "debug", .setup = debug_setup, .repeatable = true };
