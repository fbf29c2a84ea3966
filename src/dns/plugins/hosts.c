#include "dns/plugin.h"

static int hosts_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    (void)s;
    return dispenser_err(d, e, "not supported yet");
}

const struct plugin plugin_hosts = { .name = "hosts", .setup = hosts_setup, .repeatable = true };
