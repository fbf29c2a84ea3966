/* Every command; each lives in cmd_<name>.c. */
#pragma once

#include "config/flags.h"

extern const struct command cmd_cache, cmd_check, cmd_controller, cmd_dns, cmd_explain, cmd_hosts,
    cmd_lab, cmd_registry, cmd_lookup, cmd_proxy, cmd_resolvconf, cmd_trace, cmd_up;
