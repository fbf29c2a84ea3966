/* `https { max_connections N }`: limits of the block's https:// listeners. */
#include "dns/plugin.h"

#include "base/str.h"

#include <string.h>

static int read_number(struct dispenser *d, unsigned *ret, struct err *e)
{
    long n;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), 0, INT32_MAX, &n) < 0)
        return dispenser_err(d, e, "max_connections must be a non-negative integer: %s",
                             dispenser_val(d));
    *ret = (unsigned)n;
    return dispenser_end(d, e);
}

static int https_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    bool given = false;
    unsigned max = 0;
    int ret = 0;
    while (ret == 0 && dispenser_next_directive(d)) {
        if (dispenser_next_arg(d))
            return dispenser_arg_err(d, e);
        while (ret == 0 && dispenser_next_block(d)) {
            if (strcmp(dispenser_val(d), "max_connections") != 0)
                return dispenser_unknown(d, e);
            if (given)
                return dispenser_err(d, e, "max_connections already defined for this server block");
            ret = read_number(d, &max, e);
            given = true;
        }
    }
    if (ret == 0 && given)
        setup_https_conns(s, max);
    return ret;
}

const struct plugin plugin_https = { .name = "https", .setup = https_setup, .repeatable = true };
