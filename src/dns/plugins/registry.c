/* All plugins in the order in which they see a query (coredns.md 1.6); the order in a Corefile has none. */
#include "dns/plugin.h"

extern const struct plugin plugin_reload, plugin_bind, plugin_ready, plugin_health, plugin_prometheus, plugin_errors,
    plugin_log, plugin_loadbalance, plugin_hosts, plugin_kubernetes, plugin_forward, plugin_whoami;

const struct plugin *const plugins[] = {
    &plugin_reload, &plugin_bind,   &plugin_ready,       &plugin_health, &plugin_prometheus, &plugin_errors,
    &plugin_log,    &plugin_loadbalance, &plugin_hosts,  &plugin_kubernetes, &plugin_forward,
    &plugin_whoami, NULL,
};
