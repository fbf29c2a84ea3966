/* All plugins in the order in which they see a query, which is the reference's; the order in a
 * Corefile has none. */
#include "dns/plugin.h"

/* clang-format off */
extern const struct plugin
    plugin_root, plugin_metadata, plugin_geoip, plugin_cancel, plugin_https, plugin_timeouts, plugin_multisocket, plugin_reload, plugin_nsid,
    plugin_bufsize, plugin_bind, plugin_debug, plugin_ready, plugin_health, plugin_prometheus, plugin_errors, plugin_log, plugin_dnstap,
    plugin_local, plugin_dns64, plugin_any, plugin_chaos, plugin_loadbalance, plugin_tsig, plugin_rewrite, plugin_autopath, plugin_acl,
    plugin_cache, plugin_header, plugin_dnssec, plugin_tls, plugin_minimal, plugin_template, plugin_transfer, plugin_hosts, plugin_k8s_external,
    plugin_kubernetes, plugin_file, plugin_auto, plugin_secondary, plugin_etcd, plugin_loop, plugin_forward, plugin_erratic, plugin_whoami,
    plugin_sign, plugin_view;

const struct plugin *const plugins[] = {
    &plugin_root, &plugin_metadata, &plugin_geoip, &plugin_cancel, &plugin_https, &plugin_timeouts, &plugin_multisocket, &plugin_reload, &plugin_nsid,
    &plugin_bufsize, &plugin_bind, &plugin_debug, &plugin_ready, &plugin_health, &plugin_prometheus, &plugin_errors, &plugin_log,
    &plugin_dnstap, &plugin_local, &plugin_dns64, &plugin_any, &plugin_chaos, &plugin_loadbalance, &plugin_tsig, &plugin_rewrite,
    &plugin_autopath, &plugin_acl, &plugin_cache, &plugin_header, &plugin_dnssec, &plugin_tls, &plugin_minimal, &plugin_template, &plugin_transfer,
    &plugin_hosts, &plugin_k8s_external, &plugin_kubernetes, &plugin_file, &plugin_auto, &plugin_secondary, &plugin_etcd, &plugin_loop,
    &plugin_forward, &plugin_erratic, &plugin_whoami, &plugin_sign, &plugin_view, NULL,
};
/* clang-format on */
