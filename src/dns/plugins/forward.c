#include "dns/plugin.h"

static int forward_setup(struct setup *s, struct dispenser *d, struct err *e)
{
    (void)s;
    return dispenser_err(d, e, "not supported yet");
}

const struct plugin plugin_forward = { .name = "forward", .setup = forward_setup, .repeatable = true };
