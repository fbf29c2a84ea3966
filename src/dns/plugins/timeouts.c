/* `timeouts { read D ; write D ; idle D ; maxtcpqueries N }`: how long TCP connections are kept. */
#include "dns/plugin.h"

#include "base/str.h"
#include "net/tcp.h"

#include <string.h>

#define TIMEOUT_MIN_NS 1000000000LL           /* 1s */
#define TIMEOUT_MAX_NS (24 * 3600000000000LL) /* 24h */
#define NS_PER_MS      1000000

static int read_time(struct dispenser *d, uint32_t *ret_ms, struct err *e)
{
    long long ns;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_duration(dispenser_val(d), &ns) < 0)
        return dispenser_err(d, e, "invalid duration: \"%s\"", dispenser_val(d));
    if (ns < TIMEOUT_MIN_NS || ns > TIMEOUT_MAX_NS)
        return dispenser_err(d, e, "timeout provided '%s' needs to be between 1s and 24h",
                             dispenser_val(d));
    *ret_ms = (uint32_t)(ns / NS_PER_MS);
    return dispenser_end(d, e);
}

static int read_number(struct dispenser *d, uint32_t *ret, struct err *e)
{
    long n;
    if (!dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    if (str_to_long(dispenser_val(d), -1, INT32_MAX, &n) < 0 || n == 0)
        return dispenser_err(d, e, "maxtcpqueries must be above zero, or -1 for any number: '%s'",
                             dispenser_val(d));
    *ret = n < 0 ? 0 : (uint32_t)n;
    return dispenser_end(d, e);
}

static int read_option(struct dispenser *d, struct tcp_limits *l, struct err *e)
{
    const char *name = dispenser_val(d);
    if (strcmp(name, "read") == 0)
        return read_time(d, &l->times.first_ms, e);
    if (strcmp(name, "write") == 0)
        return read_time(d, &l->times.write_ms, e);
    if (strcmp(name, "idle") == 0)
        return read_time(d, &l->times.idle_ms, e);
    if (strcmp(name, "maxtcpqueries") == 0)
        return read_number(d, &l->messages, e);
    return dispenser_unknown(d, e);
}

static int timeouts_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    struct tcp_limits limits = { 0 };
    int ret = 0;
    bool any = false;
    dispenser_next_directive(d);
    if (dispenser_next_arg(d))
        return dispenser_arg_err(d, e);
    for (; ret == 0 && dispenser_next_block(d); any = true)
        ret = read_option(d, &limits, e);
    if (ret == 0 && !any)
        ret = dispenser_err(d, e, "timeouts block with no timeouts specified");
    if (ret == 0)
        setup_tcp_limits(s, &limits);
    return ret;
}

const struct plugin plugin_timeouts = { .name = "timeouts", .setup = timeouts_setup };
