/* `multisocket [N]`: how many sockets share each of the block's addresses. Every worker has one of
 * its own anyhow; more than that help the kernel to spread few clients. */
#include "dns/plugin.h"

#include "base/str.h"

#define MULTISOCKET_MAX 1024 /* as in the reference */

static int multisocket_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    long n = (long)setup_workers(s);
    dispenser_next_directive(d);
    if (dispenser_next_arg(d)) {
        if (str_to_long(dispenser_val(d), INT32_MIN, INT32_MAX, &n) < 0)
            return dispenser_err(d, e, "invalid num sockets: %s", dispenser_val(d));
        if (n <= 0)
            return dispenser_err(d, e, "num sockets can not be zero or negative: %ld", n);
        if (n > MULTISOCKET_MAX)
            return dispenser_err(d, e, "num sockets exceeds maximum (%d): %ld", MULTISOCKET_MAX, n);
    }
    setup_sockets(s, (unsigned)n);
    return dispenser_end(d, e);
}

const struct plugin plugin_multisocket = { .name = "multisocket", .setup = multisocket_setup };
