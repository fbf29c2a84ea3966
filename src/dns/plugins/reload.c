/* `reload [INTERVAL] [JITTER]`: looks every so often whether the Corefile has changed, and serves
 * the new one without losing a query. One setting a process: the last one counts. */
#include "dns/plugin.h"

#define INTERVAL_DEFAULT 30000000000LL /* ns */
#define INTERVAL_MIN     2000000000LL
#define JITTER_DEFAULT   15000000000LL
#define JITTER_MIN       1000000000LL

static int duration_arg(struct dispenser *d, const char *what, long long min, bool zero_allowed,
                        long long *ret_ns, struct err *e)
{
    if (str_to_duration(dispenser_val(d), ret_ns) < 0)
        return dispenser_err(d, e, "%s is not a duration: %s", what, dispenser_val(d));
    if (*ret_ns < min && !(zero_allowed && *ret_ns == 0))
        return dispenser_err(d, e, "%s value must be greater or equal to %llds", what,
                             min / 1000000000);
    return 0;
}

static int reload_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    long long interval = INTERVAL_DEFAULT, jitter = JITTER_DEFAULT;
    int ret = 0;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        ret = duration_arg(d, "interval", INTERVAL_MIN, false, &interval, e);
    if (ret == 0 && dispenser_next_arg(d))
        ret = duration_arg(d, "jitter", JITTER_MIN, true, &jitter, e);
    if (ret == 0 && dispenser_next_arg(d))
        ret = dispenser_arg_err(d, e);
    if (ret == 0)
        ret = dispenser_end(d, e);
    if (ret == 0)
        setup_reload(s, interval, MIN(jitter, interval / 2));
    return ret;
}

const struct plugin plugin_reload = { .name = "reload", .setup = reload_setup };
