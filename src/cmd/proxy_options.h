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

/* As given. Defaults are those of proxy_options_defaults(). */
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

void proxy_options_defaults(struct proxy_options *ret);
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
