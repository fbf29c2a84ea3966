#include "cmd/proxy_options.h"

#include "base/mem.h"
#include "cmd/commands.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define NFTABLES_MIN_SYNC_NS 100000000LL
#define IPTABLES_MIN_SYNC_NS 1000000000LL /* a restore costs more than a transaction */
#define DEFAULT_SYNC_NS      30000000000LL
#define NOT_SAID             LLONG_MIN

static const struct proxy_options defaults = {
    .hostname_override = "",
    .mode = "",
    .kubeconfig = "",
    .master = "",
    .config = "",
    .write_config_to = "",
    .bind_address = "0.0.0.0",
    .detect_local = "ClusterCIDR",
    .bridge = "",
    .prefix = "",
    .healthz_address = "0.0.0.0:10256",
    .metrics_address = "127.0.0.1:10249",
    .min_sync = NOT_SAID,
    .sync_period = DEFAULT_SYNC_NS,
    .api_qps = 5,
    .api_burst = 10,
    .masquerade_bit = 14,
    .localhost_node_ports = true,
    .oom_score_adj = -999,
    .tuning = { .max_per_core = 32768,
                .min = 131072,
                .tcp_established_ns = 86400000000000LL,
                .tcp_close_wait_ns = 3600000000000LL },
};

static struct proxy_options o;

static const struct flag flags[] = {
    { "config", FLAG_STRING, &o.config, "FILE",
      "KubeProxyConfiguration; most other flags are then without effect." },
    { "write-config-to", FLAG_STRING, &o.write_config_to, "FILE",
      "Write the configuration that would be used to a file, and exit." },
    { "kubeconfig", FLAG_STRING, &o.kubeconfig, "FILE",
      "Kubeconfig of the API server to follow; without it and --master the cluster's own." },
    { "master", FLAG_STRING, &o.master, "URL",
      "The API server's URL, whatever the kubeconfig says." },
    { "kube-api-qps", FLAG_INT, &o.api_qps, "N",
      "Requests to the API server a second (default 5); 0: no limit." },
    { "kube-api-burst", FLAG_INT, &o.api_burst, "N",
      "Requests to the API server at once after a calm (default 10)." },
    { "manifests", FLAG_LIST, &o.manifests, "DIR",
      "Folder with manifests to follow in place of an API server; repeatable." },
    PROXY_PART_FLAGS(o),
    { "bind-address-hard-fail", FLAG_BOOL, &o.bind_hard_fail, NULL,
      "End when the health or metrics address is taken, rather than try again." },
    { "iptables-min-sync-period", FLAG_DURATION, &o.min_sync, "TIME",
      "The same as --min-sync-period." },
    { "service-cluster-ip-range", FLAG_STRING, &o.range, "CIDR[,CIDR]",
      "Where cluster IPs come from: those that no Service has are dropped, and Services in "
      "manifests that come without one get one." },
    { "oom-score-adj", FLAG_INT, &o.oom_score_adj, "N",
      "How unlikely the kernel kills this process when memory runs out (default -999)." },
    { "cleanup", FLAG_BOOL, &o.cleanup, NULL, "Remove the rules and exit." },
    { "init-only", FLAG_BOOL, &o.init_only, NULL,
      "Set the kernel's connection tracking up and exit; later runs need CAP_NET_ADMIN only." },
    { "oneshot", FLAG_BOOL, &o.oneshot, NULL, "Write the rules once and exit." },
    { "print", FLAG_BOOL, &o.print, NULL, "Print the rules instead of writing them, and exit." },
    { "v", FLAG_INT, &o.verbosity, "N", "2 and above: a line for each sync." },

/* The original's flags that change nothing here. */
#define TEXT(i, name)                                                                              \
    {                                                                                              \
        name, FLAG_STRING, &o.ignored.text[i], "TEXT", "Without effect here."                      \
    }
#define NUMBER(i, name)                                                                            \
    {                                                                                              \
        name, FLAG_INT, &o.ignored.number[i], "N", "Without effect here."                          \
    }
#define TIME(i, name)                                                                              \
    {                                                                                              \
        name, FLAG_DURATION, &o.ignored.time[i], "TIME", "Without effect here."                    \
    }
#define BOOL(i, name)                                                                              \
    {                                                                                              \
        name, FLAG_BOOL, &o.ignored.flag[i], NULL, "Without effect here."                          \
    }
    BOOL(1, "profiling"),
    BOOL(2, "ipvs-strict-arp"),
    BOOL(3, "log-json-split-stream"),
    TEXT(1, "kube-api-content-type"),
    TEXT(2, "feature-gates"),
    TEXT(3, "ipvs-scheduler"),
    TEXT(4, "ipvs-exclude-cidrs"),
    TEXT(5, "logging-format"),
    TEXT(6, "log-json-info-buffer-size"),
    TEXT(7, "log-text-info-buffer-size"),
    TEXT(8, "vmodule"),
    TEXT(9, "show-hidden-metrics-for-version"),
    BOOL(4, "log-text-split-stream"),
    TIME(0, "config-sync-period"),
    TIME(1, "ipvs-sync-period"),
    TIME(2, "ipvs-min-sync-period"),
    TIME(3, "ipvs-tcp-timeout"),
    TIME(4, "ipvs-tcpfin-timeout"),
    TIME(5, "ipvs-udp-timeout"),
    TIME(6, "log-flush-frequency"),
};

#define FIRST_IGNORED "profiling"

void proxy_options_complete(struct proxy_options *p)
{
    p->any_mode = !*p->mode;
    if (p->any_mode)
        p->mode = "nftables";
    if (p->min_sync == NOT_SAID)
        p->min_sync =
            strcmp(p->mode, "iptables") == 0 ? IPTABLES_MIN_SYNC_NS : NFTABLES_MIN_SYNC_NS;
}

void proxy_options_defaults(struct proxy_options *ret)
{
    *ret = defaults;
}

/* Those that the user gave, as far as it can be seen in the arguments. */
static void note_ignored(int argc, char **argv, void (*warn)(void *ctx, const char *text))
{
    size_t first = 0;
    while (strcmp(flags[first].name, FIRST_IGNORED) != 0)
        first++;
    for (int a = 1; a < argc; a++) {
        const char *name = argv[a] + strspn(argv[a], "-");
        size_t len = strcspn(name, "=");
        for (size_t i = first; argv[a][0] == '-' && i < ARRAY_SIZE(flags); i++) {
            char text[160];
            if (strlen(flags[i].name) != len || memcmp(flags[i].name, name, len) != 0)
                continue;
            snprintf(text, sizeof text, "--%s is without effect in signpost", flags[i].name);
            warn(NULL, text);
        }
    }
}

/* With a file, only these count besides it. The rest of what was given is kept, not used. */
static int read_file(void (*warn)(void *ctx, const char *text), struct err *e)
{
    static struct proxy_options given;
    given = o;
    o = defaults;
    o.config = given.config;
    o.manifests = given.manifests;
    o.range = given.range;
    o.write_config_to = given.write_config_to;
    o.master = given.master;
    o.cleanup = given.cleanup;
    o.init_only = given.init_only;
    o.oneshot = given.oneshot;
    o.print = given.print;
    o.verbosity = given.verbosity;
    int ret = proxy_config_read(given.config, &o, warn, e);
    if (*given.hostname_override) {
        if (*o.hostname_override)
            free((char *)o.hostname_override);
        o.hostname_override = given.hostname_override;
    }
    return ret;
}

int proxy_options_read(int argc, char **argv, struct proxy_options *ret,
                       void (*warn)(void *ctx, const char *text), struct err *e)
{
    char **copy = xmalloc((size_t)(argc + 1) * sizeof *copy); /* parsing moves the arguments */
    int left = 0;
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    o = defaults;
    int done = flags_parse(&cmd_proxy, flags, ARRAY_SIZE(flags), argc, argv, &left, e);
    if (done == 0 && left)
        done = err_set(e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (done == 0)
        note_ignored(argc, copy, warn);
    if (done == 0 && *o.config)
        done = read_file(warn, e);
    free(copy);
    proxy_options_complete(&o);
    *ret = o;
    return done;
}
