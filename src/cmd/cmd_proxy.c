/* `signpost proxy`: the service proxy, with the flags of kube-proxy that apply. */
#include "base/log.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "loop/loop.h"
#include "proxy/sync.h"
#include "proxy/tune.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MIN_SYNC_NS 100000000LL
#define DEFAULT_SYNC_NS     30000000000LL
#define SYNC_PATIENCE_MS    30000
#define LISTEN_RETRY_MS     5000
#define HOSTNAME_SIZE       256

static struct flag_list manifests, cluster_cidr;
static const char *hostname_override = "", *proxy_mode = "nftables", *range, *kubeconfig = "",
                  *master = "";
static const char *detect_local = "ClusterCIDR";
static const char *healthz_address = "0.0.0.0:10256", *metrics_address = "127.0.0.1:10249";
static long long min_sync = DEFAULT_MIN_SYNC_NS, sync_period = DEFAULT_SYNC_NS;
static long verbosity, api_qps = 5, api_burst = 10;
static bool cleanup_rules, oneshot, print_only, masquerade_all;
static struct tune_options tuning = {
    .max_per_core = 32768,
    .min = 131072,
    .tcp_established_ns = 86400000000000LL,
    .tcp_close_wait_ns = 3600000000000LL,
};

static const struct flag flags[] = {
    { "kubeconfig", FLAG_STRING, &kubeconfig, "FILE",
      "Kubeconfig of the API server to follow; without it and --master the cluster's own." },
    { "master", FLAG_STRING, &master, "URL",
      "The API server's URL, whatever the kubeconfig says." },
    { "kube-api-qps", FLAG_INT, &api_qps, "N",
      "Requests to the API server a second (default 5); 0: no limit." },
    { "kube-api-burst", FLAG_INT, &api_burst, "N",
      "Requests to the API server at once after a calm (default 10)." },
    { "manifests", FLAG_LIST, &manifests, "DIR",
      "Folder with manifests to follow in place of an API server; repeatable." },
    { "hostname-override", FLAG_STRING, &hostname_override, "NAME",
      "This node's name (default: the host's name in lower case)." },
    { "cluster-cidr", FLAG_LIST, &cluster_cidr, "CIDR",
      "Addresses of pods, at most one range a family; others are masqueraded." },
    { "proxy-mode", FLAG_STRING, &proxy_mode, "MODE", "nftables." },
    { "detect-local-mode", FLAG_STRING, &detect_local, "MODE", "ClusterCIDR." },
    { "masquerade-all", FLAG_BOOL, &masquerade_all, NULL, "Masquerade pods' connections, too." },
    { "min-sync-period", FLAG_DURATION, &min_sync, "TIME",
      "Least time between two writes to the kernel (default 100ms)." },
    { "iptables-min-sync-period", FLAG_DURATION, &min_sync, "TIME",
      "The same as --min-sync-period." },
    { "iptables-sync-period", FLAG_DURATION, &sync_period, "TIME",
      "Time between two looks whether the tables are still there (default 30s); 0: never." },
    { "healthz-bind-address", FLAG_STRING, &healthz_address, "IP:PORT",
      "Where /healthz and /livez answer (default 0.0.0.0:10256); empty: nowhere." },
    { "metrics-bind-address", FLAG_STRING, &metrics_address, "IP:PORT",
      "Where /metrics and /proxyMode answer (default 127.0.0.1:10249); empty: nowhere." },
    { "service-cluster-ip-range", FLAG_STRING, &range, "CIDR[,CIDR]",
      "Cluster IPs for Services in manifests that come without one." },
    { "conntrack-max-per-core", FLAG_INT, &tuning.max_per_core, "N",
      "Tracked connections a core (default 32768); 0 leaves the kernel's limit alone." },
    { "conntrack-min", FLAG_INT, &tuning.min, "N",
      "Tracked connections whatever the number of cores (default 131072)." },
    { "conntrack-tcp-timeout-established", FLAG_DURATION, &tuning.tcp_established_ns, "TIME",
      "Idle time of TCP connections (default 24h); 0 leaves it alone." },
    { "conntrack-tcp-timeout-close-wait", FLAG_DURATION, &tuning.tcp_close_wait_ns, "TIME",
      "Time of half-closed TCP connections (default 1h); 0 leaves it alone." },
    { "conntrack-tcp-be-liberal", FLAG_BOOL, &tuning.tcp_be_liberal, NULL,
      "Let TCP packets outside the window pass." },
    { "conntrack-udp-timeout", FLAG_DURATION, &tuning.udp_ns, "TIME",
      "Idle time of UDP flows without a reply; 0 leaves it alone." },
    { "conntrack-udp-timeout-stream", FLAG_DURATION, &tuning.udp_stream_ns, "TIME",
      "Idle time of UDP flows; 0 leaves it alone." },
    { "cleanup", FLAG_BOOL, &cleanup_rules, NULL, "Remove the rules and exit." },
    { "oneshot", FLAG_BOOL, &oneshot, NULL, "Write the rules once and exit." },
    { "print", FLAG_BOOL, &print_only, NULL, "Print the rules instead of writing them, and exit." },
    { "v", FLAG_INT, &verbosity, "N", "2 and above: a line for each sync." },
};

struct server {
    enum health_role role;
    struct ip ip;
    uint16_t port; /* 0: not wanted */
    struct health_server *running;
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t listen_retry;
    char node_name[HOSTNAME_SIZE];
    struct cluster *cluster;
    struct model *model;
    struct sync *sync;
    struct listener listener;
    struct proxy_metrics metrics;
    struct health health;
    struct ruleset_options rules[FAMILIES];
    struct server servers[2];
};

/* ---- options */

static int check_words(struct err *e)
{
    if (strcmp(proxy_mode, "nftables") != 0 && *proxy_mode)
        return err_set(e, ERR_UNSUPPORTED,
                       "--proxy-mode=%s is not offered: rules are written for nftables only",
                       proxy_mode);
    if (strcmp(detect_local, "ClusterCIDR") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--detect-local-mode=%s is not offered: pods are told from outsiders by "
                       "--cluster-cidr only",
                       detect_local);
    if (min_sync < 0 || sync_period < 0)
        return err_set(e, ERR_INVALID,
                       "--min-sync-period and --iptables-sync-period cannot be "
                       "negative");
    if (tuning.max_per_core < 0 || tuning.min < 0 || tuning.max_per_core > 1L << 40)
        return err_set(e, ERR_INVALID,
                       "--conntrack-max-per-core and --conntrack-min cannot be "
                       "negative or beyond any memory");
    if (api_qps < 0 || api_burst < 0)
        return err_set(e, ERR_INVALID, "--kube-api-qps and --kube-api-burst cannot be negative");
    if (manifests.n && (*kubeconfig || *master))
        return err_set(e, ERR_INVALID, "--manifests and an API server exclude each other");
    return 0;
}

static int read_cidrs(struct ruleset_options rules[FAMILIES], struct err *e)
{
    for (unsigned f = 0; f < FAMILIES; f++)
        rules[f] =
            (struct ruleset_options){ .family = f == 0 ? 4 : 6, .masquerade_all = masquerade_all };
    for (size_t i = 0; i < cluster_cidr.n; i++) {
        struct ip_prefix p;
        if (ip_prefix_parse(cluster_cidr.items[i], &p) < 0)
            return err_set(e, ERR_INVALID, "--cluster-cidr: \"%s\" is no address range",
                           cluster_cidr.items[i]);
        struct ruleset_options *o = &rules[family_index(p.ip.family)];
        if (o->cluster_cidr.ip.family)
            return err_set(e, ERR_INVALID, "--cluster-cidr: more than one %s range",
                           family_names[family_index(p.ip.family)]);
        o->cluster_cidr = p;
    }
    return 0;
}

static int read_address(const char *flag, const char *text, uint16_t port, struct server *s,
                        struct err *e)
{
    s->port = 0;
    if (!*text)
        return 0;
    if (ip_port_parse(text, port, &s->ip, &s->port) < 0 || s->port == 0)
        return err_set(e, ERR_INVALID, "--%s: \"%s\" is no IP:PORT", flag, text);
    return 0;
}

static int read_options(struct run *r, struct err *e)
{
    int ret = check_words(e);
    r->servers[0].role = HEALTH_PROBES;
    r->servers[1].role = HEALTH_METRICS;
    if (ret == 0)
        ret = read_cidrs(r->rules, e);
    if (ret == 0)
        ret = read_address("healthz-bind-address", healthz_address, 10256, &r->servers[0], e);
    if (ret == 0)
        ret = read_address("metrics-bind-address", metrics_address, 10249, &r->servers[1], e);
    return ret;
}

static int find_node_name(struct run *r, struct err *e)
{
    size_t n = strlen(hostname_override);
    if (n >= sizeof r->node_name)
        return err_set(e, ERR_LIMIT, "--hostname-override: longer than %zu characters",
                       sizeof r->node_name - 1);
    memcpy(r->node_name, hostname_override, n + 1);
    if (!n && gethostname(r->node_name, sizeof r->node_name - 1) < 0)
        return err_set(e, -errno, "this host's name: %s; give --hostname-override",
                       err_str(-errno));
    if (!n)
        str_lower(r->node_name);
    return 0;
}

/* ---- rules without a daemon */

static int remove_rules(struct err *e)
{
    struct strbuf text = { 0 };
    ruleset_remove(4, &text);
    ruleset_remove(6, &text);
    int ret = nft_program()->apply(NULL, text.p, text.len, false, e);
    strbuf_done(&text);
    return ret;
}

static int print_rules(struct run *r, struct err *e)
{
    struct strbuf text = { 0 };
    model_refresh(r->model);
    for (unsigned f = 0; f < FAMILIES; f++) {
        struct vip_change *all;
        struct ruleset *rules = ruleset_new(&r->rules[f]);
        size_t n = model_all(r->model, r->rules[f].family, &all);
        ruleset_skeleton(rules, &text);
        (void)ruleset_stage(rules, all, n, &text);
        ruleset_free(rules);
        free(all);
    }
    (void)fwrite(text.p, 1, text.len, stdout);
    strbuf_done(&text);
    return fflush(stdout) == 0 ? 0 : err_set(e, -errno, "standard output: %s", err_str(-errno));
}

/* ---- the daemon */

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

static void on_dirty(void *ctx)
{
    struct run *r = ctx;
    if (r->sync)
        sync_poke(r->sync);
}

static void on_change(void *ctx, const struct change *c)
{
    struct run *r = ctx;
    if (c->kind == KIND_NODE)
        health_node(&r->health, model_stats(r->model).node_deleting);
}

static void on_synced(void *ctx)
{
    struct run *r = ctx;
    sync_start(r->sync);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static void open_servers(uv_timer_t *t)
{
    struct run *r = t->data;
    bool again = false;
    for (size_t i = 0; i < ARRAY_SIZE(r->servers); i++) {
        struct server *s = &r->servers[i];
        struct err e;
        if (s->running || !s->port)
            continue;
        if (health_serve(&r->health, s->role, &s->ip, s->port, &s->running, &e) < 0) {
            log_error("%s; trying again in %d seconds", e.text, LISTEN_RETRY_MS / 1000);
            again = true;
        }
    }
    if (again)
        uv_timer_start(t, open_servers, LISTEN_RETRY_MS, 0);
}

static void serve(struct run *r)
{
    uv_signal_start(&r->term, on_signal, SIGTERM);
    uv_signal_start(&r->interrupt, on_signal, SIGINT);
    log_info("signpost proxy on node %s, mode nftables", r->node_name);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!r->rules[f].cluster_cidr.ip.family && !masquerade_all)
            log_info("no --cluster-cidr for %s: connections from outside are not masqueraded",
                     family_names[f]);
    tune_apply(&tuning, "/proc/sys", on_warning, NULL);
    open_servers(&r->listen_retry);
    r->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = r };
    store_listen(cluster_store(r->cluster), &r->listener);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    store_unlisten(cluster_store(r->cluster), &r->listener);
    for (size_t i = 0; i < ARRAY_SIZE(r->servers); i++)
        health_stop(r->servers[i].running);
}

/* What the original asks an API server for: neither Services that another proxy serves, nor
 * headless ones. */
#define SELECTOR "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"

static int open_cluster(struct run *r, struct err *e)
{
    const struct object_source source = { .dirs = manifests.items,
                                          .n_dirs = manifests.n,
                                          .range = range,
                                          .without = PART_UID | PART_WRITING,
                                          .kubeconfig = *kubeconfig ? kubeconfig : NULL,
                                          .endpoint = *master ? master : NULL,
                                          .kinds = 1u << KIND_SERVICE | 1u << KIND_SLICE |
                                                   1u << KIND_NODE,
                                          .qps = (double)api_qps,
                                          .burst = (double)api_burst,
                                          .labels = SELECTOR };
    int ret = cluster_open(&r->loop, &source, &r->cluster, e);
    if (ret < 0)
        return ret;
    r->model = model_new(cluster_store(r->cluster), &(struct model_options){
                                                        .node_name = r->node_name,
                                                        .dirty = on_dirty,
                                                        .warn = on_warning,
                                                        .ctx = r,
                                                    });
    health_node(&r->health, model_stats(r->model).node_deleting);
    r->sync = sync_new(&r->loop, r->model,
                       &(struct sync_options){ .backend = nft_program(),
                                               .ruleset = { r->rules[0], r->rules[1] },
                                               .min_period_ns = min_sync,
                                               .period_ns = sync_period,
                                               .health = &r->health,
                                               .metrics = &r->metrics });
    return 0;
}

static void run_init(struct run *r)
{
    uv_loop_init(&r->loop);
    uv_signal_init(&r->loop, &r->term);
    uv_signal_init(&r->loop, &r->interrupt);
    uv_timer_init(&r->loop, &r->listen_retry);
    r->listen_retry.data = r;
    proxy_metrics_init(&r->metrics);
    /* Twice the period, as the original; changes that wait longer mean that rules are stale. */
    health_init(&r->health, &r->metrics, "nftables",
                sync_period > 0 ? 2 * sync_period : 60000000000LL);
}

static void run_done(struct run *r)
{
    sync_free(r->sync);
    r->sync = NULL;
    uv_run(&r->loop, UV_RUN_NOWAIT);
    model_free(r->model);
    cluster_close(r->cluster);
    loop_done(&r->loop);
    health_done(&r->health);
}

static void on_patience_end(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* For those who write the rules once: an API server's objects come in their own time. */
static int wait_synced(struct run *r, struct err *e)
{
    const struct store *store = cluster_store(r->cluster);
    bool enough = false;
    uv_timer_t patience;
    uv_timer_init(&r->loop, &patience);
    patience.data = &enough;
    uv_timer_start(&patience, on_patience_end, SYNC_PATIENCE_MS, 0);
    while (!store_is_synced(store) && !enough)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    return store_is_synced(store)
               ? 0
               : err_set(e, -ETIMEDOUT, "the API server has not given its objects in %d seconds",
                         SYNC_PATIENCE_MS / 1000);
}

static int work(struct run *r, struct err *e)
{
    run_init(r);
    int ret = open_cluster(r, e);
    if (ret == 0 && (print_only || oneshot))
        ret = wait_synced(r, e);
    if (ret == 0 && print_only)
        ret = print_rules(r, e);
    else if (ret == 0 && oneshot)
        ret = sync_now(r->sync, e);
    else if (ret == 0)
        serve(r);
    run_done(r);
    return ret;
}

static int run(int argc, char **argv)
{
    static struct run r; /* metrics are read until the process ends */
    struct err e = { 0 };
    int left = 0, ret = flags_parse(&cmd_proxy, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    log_set_fd(2);
    log_set_level(verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (ret == 0)
        ret = read_options(&r, &e);
    if (ret == 0)
        ret = find_node_name(&r, &e);
    if (ret < 0) {
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
        return 2;
    }
    ret = cleanup_rules ? remove_rules(&e) : work(&r, &e);
    if (ret < 0)
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_proxy = {
    .name = "proxy",
    .also = "kube-proxy",
    .args = "",
    .summary = "The service proxy: cluster IPs of Services, by nftables rules.",
    .details =
        "Follows an API server or folders of manifests and keeps the nftables tables `ip signpost` "
        "and `ip6 "
        "signpost` "
        "in line with their Services and EndpointSlices. The rules are always the same; only map "
        "elements change, so that thousands of Services cost a connection no more than one.\n\n"
        "Cluster IPs are served over TCP, UDP and SCTP, in IPv4 and IPv6. Services that ask for "
        "more "
        "(node ports, load balancer addresses, session affinity, local traffic policies) get their "
        "cluster IP and a line in the log.\n\n"
        "SIGTERM and SIGINT end it; the rules stay and go on working. --cleanup removes them. "
        "--print and --oneshot work without a daemon, --print also without any right.",
    .run = run,
};
