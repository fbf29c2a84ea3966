/* What `signpost proxy` is told: by flags, or by a file of kind KubeProxyConfiguration. */
#pragma once

#include "config/flags.h"
#include "proxy/chains.h"
#include "proxy/metrics.h"
#include "proxy/tune.h"

struct proxy_address {
    struct ip ip;
    uint16_t port; /* 0: not wanted */
};

/* As given. */
struct proxy_options {
    struct flag_list manifests, cluster_cidr, node_port_addresses;
    const char *hostname_override, *mode, *range, *kubeconfig, *master, *config, *write_config_to;
    /* Of the mode that counts: settings of both modes share these. */
    const char *bind_address, *detect_local, *bridge, *prefix, *healthz_address, *metrics_address;
    long long min_sync, sync_period;
    long api_qps, api_burst, masquerade_bit, oom_score_adj, verbosity;
    bool cleanup, init_only, oneshot, print, masquerade_all, bind_hard_fail;
    bool localhost_node_ports;
    bool any_mode; /* nobody said which; `mode` is the default */
    struct tune_options tuning;
    /* Taken for the original's sake, and without effect; see proxy_options_note_ignored(). */
    struct {
        const char *text[24];
        long long time[12];
        bool flag[12];
    } ignored;
};

/* As understood. */
struct proxy_settings {
    char node_name[256];
    enum proxy_mode mode;
    struct ruleset_options rules[FAMILIES];
    bool localhost_node_ports;     /* iptables mode, IPv4: also at 127.0.0.0/8 */
    bool pod_cidrs_of_node;        /* NodeCIDR: rules[].local_cidr is not known yet */
    struct ip addresses[FAMILIES]; /* of the node, from --bind-address; family 0: ask the Node */
    struct proxy_address healthz, metrics;
    bool node_ports_primary, node_ports_all, node_ports_localhost;
    struct ip_prefix node_port_ranges[16];
    unsigned n_node_port_ranges;
    struct ip_prefix service_ranges[FAMILIES];
    unsigned n_service_ranges;
};

/* Without what depends on the mode: see proxy_options_complete(). */
void proxy_options_defaults(struct proxy_options *ret);

/* The rows of a command's table of flags that say something about this node. */
#define PROXY_PART_FLAGS(o)                                                                        \
    { "hostname-override", FLAG_STRING, &(o).hostname_override, "NAME",                            \
      "This node's name (default: the host's name in lower case)." },                              \
        { "bind-address", FLAG_STRING, &(o).bind_address, "IP",                                    \
          "This node's address, in place of what its Node object says; nothing listens there." },  \
        { "proxy-mode", FLAG_STRING, &(o).mode, "MODE", "`nftables` (default) or `iptables`." },   \
        { "cluster-cidr", FLAG_LIST, &(o).cluster_cidr, "CIDR",                                    \
          "Addresses of pods, at most one range a family; others are masqueraded." },              \
        { "detect-local-mode", FLAG_STRING, &(o).detect_local, "MODE",                             \
          "How pods are told from others: ClusterCIDR, NodeCIDR, BridgeInterface or "              \
          "InterfaceNamePrefix." },                                                                \
        { "pod-bridge-interface", FLAG_STRING, &(o).bridge, "NAME", "The pods' bridge." },         \
        { "pod-interface-name-prefix", FLAG_STRING, &(o).prefix, "TEXT",                           \
          "How the names of the pods' interfaces begin." },                                        \
        { "masquerade-all", FLAG_BOOL, &(o).masquerade_all, NULL,                                  \
          "Masquerade pods' connections, too." },                                                  \
        { "iptables-masquerade-bit", FLAG_INT, &(o).masquerade_bit, "N",                           \
          "Bit of the packet mark that says: masquerade (default 14)." },                          \
        { "nodeport-addresses", FLAG_LIST, &(o).node_port_addresses, "CIDR",                       \
          "Where node ports are open: ranges that hold addresses of this node, or `primary` "      \
          "(default "                                                                              \
          "in nftables mode), `all` (default in iptables mode) or, in iptables mode, "             \
          "`localhost`." },                                                                        \
        { "iptables-localhost-nodeports", FLAG_BOOL, &(o).localhost_node_ports, NULL,              \
          "Iptables mode: node ports at 127.0.0.0/8, too (default true); sets route_localnet." },  \
        { "min-sync-period", FLAG_DURATION, &(o).min_sync, "TIME",                                 \
          "Least time between two writes to the kernel (default 100ms, in iptables mode 1s)." },   \
        { "iptables-sync-period", FLAG_DURATION, &(o).sync_period, "TIME",                         \
          "Time between two looks whether the tables are still there (default 30s); 0: never." },  \
        { "healthz-bind-address", FLAG_STRING, &(o).healthz_address, "IP:PORT",                    \
          "Where /healthz and /livez answer (default 0.0.0.0:10256); empty: nowhere." },           \
        { "metrics-bind-address", FLAG_STRING, &(o).metrics_address, "IP:PORT",                    \
          "Where /metrics and /proxyMode answer (default 127.0.0.1:10249); empty: nowhere." },     \
        { "conntrack-max-per-core", FLAG_INT, &(o).tuning.max_per_core, "N",                       \
          "Tracked connections a core (default 32768); 0 leaves the kernel's limit alone." },      \
        { "conntrack-min", FLAG_INT, &(o).tuning.min, "N",                                         \
          "Tracked connections whatever the number of cores (default 131072)." },                  \
        { "conntrack-tcp-timeout-established", FLAG_DURATION, &(o).tuning.tcp_established_ns,      \
          "TIME", "Idle time of TCP connections (default 24h); 0 leaves it alone." },              \
        { "conntrack-tcp-timeout-close-wait", FLAG_DURATION, &(o).tuning.tcp_close_wait_ns,        \
          "TIME", "Time of half-closed TCP connections (default 1h); 0 leaves it alone." },        \
        { "conntrack-tcp-be-liberal", FLAG_BOOL, &(o).tuning.tcp_be_liberal, NULL,                 \
          "Let TCP packets outside the window pass." },                                            \
        { "conntrack-udp-timeout", FLAG_DURATION, &(o).tuning.udp_ns, "TIME",                      \
          "Idle time of UDP flows without a reply; 0 leaves it alone." },                          \
    {                                                                                              \
        "conntrack-udp-timeout-stream", FLAG_DURATION, &(o).tuning.udp_stream_ns, "TIME",          \
            "Idle time of UDP flows; 0 leaves it alone."                                           \
    }

/* Fills in what depends on the mode, where nobody said. */
void proxy_options_complete(struct proxy_options *p);
/* Reads the flags and, with --config, the file. Returns as flags_parse(). The values live as long
 * as the process. warn: a sentence a setting that has no effect here. */
int proxy_options_read(int argc, char **argv, struct proxy_options *ret,
                       void (*warn)(void *ctx, const char *text), struct err *e);
int proxy_settings_of(const struct proxy_options *o, struct proxy_settings *ret, struct err *e);

/* The options of the iptables renderer, but for what only the kernel can tell. */
void proxy_settings_chains(const struct proxy_settings *s, struct chain_options ret[FAMILIES]);

/* The file's fields into *o. Errors name FILE:LINE and the field. */
int proxy_config_read(const char *path, struct proxy_options *o,
                      void (*warn)(void *ctx, const char *text), struct err *e);
/* The options as such a file, to where --write-config-to says. */
int proxy_config_write(const struct proxy_options *o, struct err *e);
