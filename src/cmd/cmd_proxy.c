/* `signpost proxy`: the service proxy, with the flags and the configuration file of kube-proxy. */
#include "base/file.h"
#include "base/log.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/node_ports.h"
#include "cmd/proxy_rules.h"
#include "cmd/proxy_tables.h"
#include "endpoints/cluster_ip.h"
#include "kernel/address_watch.h"
#include "kube/pod.h"
#include "loop/loop.h"
#include "proxy/health_ports.h"
#include "proxy/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SYNC_PATIENCE_MS 30000
#define NODE_PATIENCE_MS 300000 /* for the Node object with its pod CIDRs */
#define LISTEN_RETRY_MS  5000
#define CONFIG_LOOK_MS   2000

struct server {
    const char *flag;
    enum health_role role;
    struct proxy_address address;
    struct health_server *running;
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t listen_retry, patience;
    uv_poll_t addresses;
    uv_fs_poll_t config_file;
    struct nl address_watch;
    struct proxy_options options;
    struct proxy_settings settings;
    struct cluster *cluster;
    struct model *model;
    struct sync *sync; /* NULL until the rules' options are known */
    struct health_ports *ports;
    struct listener listener;
    struct proxy_metrics metrics;
    struct health health;
    struct server servers[2];
    struct address_list node_ips;
    struct ip node_addresses[FAMILIES];      /* of the Node when rules were first written */
    const struct iptables_backend *iptables; /* NULL: nftables mode */
    struct chain_options chains[FAMILIES];
    bool running, failed, took_over;
};

static void end(struct run *r, const char *why)
{
    log_error("%s", why);
    r->failed = true;
    uv_stop(&r->loop);
}

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

/* ---- around the Services */

static const struct node *own_node(const struct run *r)
{
    const struct object *o =
        store_get(cluster_store(r->cluster), KIND_NODE, "", r->settings.node_name);
    return o ? node_of(o) : NULL;
}

/* The address from which this machine would send to the world; for a folder without our Node. */
static void guess_address(struct ip *ret, uint8_t family)
{
    struct sockaddr_storage to, from;
    socklen_t len = sizeof from;
    struct ip ip;
    cleanup_close int fd =
        socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0 || ip_parse(family == 4 ? "192.0.2.1" : "2001:db8::1", &ip) < 0)
        return;
    socklen_t to_len = ip_to_sockaddr(&ip, 9, &to);
    if (connect(fd, (struct sockaddr *)&to, to_len) == 0 &&
        getsockname(fd, (struct sockaddr *)&from, &len) == 0)
        *ret = ip_of_sockaddr((struct sockaddr *)&from);
}

static void find_node_ips(struct run *r, struct address_list *out)
{
    struct ip primary[FAMILIES];
    memcpy(primary, model_place(r->model)->addresses, sizeof primary);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!own_node(r) && !primary[f].family)
            guess_address(&primary[f], f == 0 ? 4 : 6);
    node_port_addresses(&r->settings, primary, out);
}

static bool same_ips(const struct address_list *a, const struct address_list *b)
{
    return a->ips.n == b->ips.n &&
           (a->ips.n == 0 || memcmp(a->ips.items, b->ips.items, a->ips.n * sizeof(struct ip)) == 0);
}

/* Ranges of cluster IPs: as told; a folder's Services are served by our own allocator. */
static size_t service_ranges(const struct run *r, struct ip_prefix ret[FAMILIES])
{
    static const char *const own[] = { CLUSTER_IP_DEFAULT_V4, CLUSTER_IP_DEFAULT_V6 };
    size_t n = 0;
    for (; n < r->settings.n_service_ranges; n++)
        ret[n] = r->settings.service_ranges[n];
    if (n == 0 && r->options.manifests.n)
        for (; n < ARRAY_SIZE(own); n++)
            if (ip_prefix_parse(own[n], &ret[n]) < 0)
                abort();
    return n;
}

static struct surroundings surroundings_of(const struct run *r, struct ip_prefix ranges[FAMILIES])
{
    size_t n = service_ranges(r, ranges);
    return (struct surroundings){ .node_ips = r->node_ips.ips.items,
                                  .n_node_ips = r->node_ips.ips.n,
                                  .ranges = ranges,
                                  .n_ranges = n };
}

static void refresh_around(struct run *r)
{
    struct address_list now = { 0 };
    struct ip_prefix ranges[FAMILIES];
    find_node_ips(r, &now);
    if (r->running && same_ips(&now, &r->node_ips)) {
        vec_done(&now.ips);
        return;
    }
    vec_done(&r->node_ips.ips);
    r->node_ips = now;
    if (!r->sync)
        return;
    struct surroundings a = surroundings_of(r, ranges);
    sync_set_around(r->sync, &a);
}

static void on_address_event(uv_poll_t *p, int status, int events)
{
    struct run *r = p->data;
    (void)status;
    (void)events;
    address_watch_drain(&r->address_watch);
    refresh_around(r);
}

static void watch_addresses(struct run *r)
{
    int ret = address_watch_open(&r->address_watch);
    if (ret < 0) {
        log_warning("new addresses of this node get no node ports: %s", err_str(ret));
        return;
    }
    uv_poll_init(&r->loop, &r->addresses, mnl_socket_get_fd(r->address_watch.sock));
    r->addresses.data = r;
    uv_poll_start(&r->addresses, UV_READABLE, on_address_event);
}

/* ---- rules without a daemon */

static int print_rules(struct run *r, struct err *e)
{
    struct strbuf text = { 0 };
    struct ip_prefix ranges[FAMILIES];
    struct surroundings around = surroundings_of(r, ranges);
    model_refresh(r->model);
    proxy_rules_print(r->model, &r->settings, &around, &text);
    (void)fwrite(text.p, 1, text.len, stdout);
    strbuf_done(&text);
    return fflush(stdout) == 0 ? 0 : err_set(e, -errno, "standard output: %s", err_str(-errno));
}

/* ---- starting to write */

/* A family whose node ports are open everywhere needs no list of addresses. */
static void update_health_ports(struct run *r, const struct health_check *checks, size_t n)
{
    static const struct ip any[FAMILIES] = { { .family = 4 }, { .family = 6 } };
    struct address_list ips = { 0 };
    for (unsigned f = 0; f < FAMILIES; f++)
        if (r->chains[f].node_ports_everywhere)
            vec_push(&ips.ips, any[f]);
    vec_each (ip, &r->node_ips.ips)
        if (!r->chains[family_index(ip->family)].node_ports_everywhere)
            vec_push(&ips.ips, *ip);
    health_ports_update(r->ports, checks, n, ips.ips.items, ips.ips.n);
    vec_done(&ips.ips);
}

static void on_synced_kernel(void *ctx)
{
    struct run *r = ctx;
    struct health_check *checks;
    size_t n = model_health_checks(r->model, &checks);
    if (!r->took_over && r->metrics.last_sync_ms[0] && r->metrics.last_sync_ms[1])
        proxy_tables_remove_others(r->settings.mode, r->iptables);
    r->took_over |= r->metrics.last_sync_ms[0] && r->metrics.last_sync_ms[1];
    if (r->ports)
        update_health_ports(r, checks, n);
    free(checks);
}

/* NodeCIDR: the Node says which addresses its pods have. */
static bool find_pod_cidrs(struct run *r)
{
    const struct node *n = own_node(r);
    for (unsigned i = 0; n && i < n->n_pod_cidrs; i++) {
        struct ruleset_options *o = &r->settings.rules[family_index(n->pod_cidrs[i].ip.family)];
        o->local_cidr = n->pod_cidrs[i];
        o->local_mode = LOCAL_CIDR;
    }
    return n && n->n_pod_cidrs > 0;
}

static void make_sync(struct run *r, bool live)
{
    struct ip_prefix ranges[FAMILIES];
    const struct ruleset_options *rules = r->settings.rules;
    if (r->settings.mode == MODE_IPTABLES)
        r->iptables = proxy_rules_prepare(&r->settings, on_warning, r->chains);
    memcpy(r->node_addresses, model_place(r->model)->addresses, sizeof r->node_addresses);
    r->sync = sync_new(&r->loop, r->model,
                       &(struct sync_options){ .backend = nft_program(),
                                               .ruleset = { rules[0], rules[1] },
                                               .iptables = r->iptables,
                                               .chains = { r->chains[0], r->chains[1] },
                                               .min_period_ns = r->options.min_sync,
                                               .period_ns = r->options.sync_period,
                                               .health = &r->health,
                                               .metrics = &r->metrics,
                                               .live = live,
                                               .synced = on_synced_kernel,
                                               .ctx = r });
    refresh_around(r);
    struct surroundings a = surroundings_of(r, ranges);
    sync_set_around(r->sync, &a);
}

static void on_node_patience_end(uv_timer_t *t)
{
    end(t->data, "the Node object of this node has had no pod CIDRs for five minutes; "
                 "--detect-local-mode=NodeCIDR needs them");
}

static void begin(struct run *r)
{
    if (r->running)
        return;
    if (r->settings.pod_cidrs_of_node && !find_pod_cidrs(r)) {
        if (!uv_is_active((uv_handle_t *)&r->patience))
            uv_timer_start(&r->patience, on_node_patience_end, NODE_PATIENCE_MS, 0);
        return;
    }
    uv_timer_stop(&r->patience);
    if (!own_node(r))
        log_warning("there is no Node \"%s\": no endpoint counts as this node's, and node ports "
                    "are open at the address of the default route",
                    r->settings.node_name);
    make_sync(r, true);
    r->running = true;
    sync_start(r->sync);
}

/* ---- what changes while we run */

static void on_dirty(void *ctx)
{
    struct run *r = ctx;
    if (r->sync)
        sync_poke(r->sync);
}

static bool pod_cidrs_changed(const struct run *r, const struct node *n)
{
    for (unsigned i = 0; r->settings.pod_cidrs_of_node && i < n->n_pod_cidrs; i++) {
        const struct ip_prefix *now = &n->pod_cidrs[i];
        const struct ip_prefix *then = &r->settings.rules[family_index(now->ip.family)].local_cidr;
        if (now->bits != then->bits || !ip_equal(&now->ip, &then->ip))
            return true;
    }
    return false;
}

/* As the original: a new process finds out what a new node is. Without an API server there may be
 * nobody to start it, so there only what cannot be followed ends the process. */
static void check_identity(struct run *r)
{
    const struct node *n = own_node(r);
    const struct ip *now = model_place(r->model)->addresses;
    bool moved =
        !ip_equal(&now[0], &r->node_addresses[0]) || !ip_equal(&now[1], &r->node_addresses[1]);
    if (!r->running)
        return;
    if (!n && !r->options.manifests.n)
        end(r, "our Node object was deleted");
    else if (n && moved && !r->options.manifests.n)
        end(r, "the addresses of our Node have changed");
    else if (n && pod_cidrs_changed(r, n))
        end(r, "the pod CIDRs of our Node have changed");
}

static void on_change(void *ctx, const struct change *c)
{
    struct run *r = ctx;
    const struct object *o = c->new ? c->new : c->old;
    if (c->kind != KIND_NODE || strcmp(o->meta.name, r->settings.node_name) != 0)
        return;
    health_node(&r->health, !c->new || c->new->meta.deleting || node_of(c->new)->leaving);
    check_identity(r);
    if (r->running)
        refresh_around(r);
    else if (store_is_synced(cluster_store(r->cluster)))
        begin(r);
}

static void on_synced(void *ctx)
{
    begin(ctx);
}

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

static void on_config_change(uv_fs_poll_t *p, int status, const uv_stat_t *before,
                             const uv_stat_t *now)
{
    (void)before;
    (void)now;
    end(p->data, status < 0 ? "the configuration file cannot be read any more"
                            : "the configuration file has changed: start again");
}

/* ---- the daemon */

static void open_servers(uv_timer_t *t)
{
    struct run *r = t->data;
    bool again = false;
    for (size_t i = 0; i < ARRAY_SIZE(r->servers); i++) {
        struct server *s = &r->servers[i];
        struct err e;
        if (s->running || !s->address.port)
            continue;
        if (health_serve(&r->health, s->role, &s->address.ip, s->address.port, &s->running, &e) ==
            0)
            continue;
        if (r->options.bind_hard_fail)
            end(r, e.text);
        else
            log_error("%s; trying again in %d seconds", e.text, LISTEN_RETRY_MS / 1000);
        again = true;
    }
    if (again && !r->failed)
        uv_timer_start(t, open_servers, LISTEN_RETRY_MS, 0);
}

static void set_oom_score(long score)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%ld", score);
    cleanup_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        log_info("oom_score_adj stays as it is, %ld was wanted: %s", score, err_str(-errno));
}

static void tell_start(const struct run *r)
{
    log_info("signpost proxy on node %s, mode %s", r->settings.node_name,
             proxy_mode_names[r->settings.mode]);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!r->settings.rules[f].local_mode && !r->settings.pod_cidrs_of_node &&
            !r->options.masquerade_all)
            log_info("no --cluster-cidr for %s: connections from outside are not masqueraded",
                     family_names[f]);
}

static void serve(struct run *r)
{
    uv_signal_start(&r->term, on_signal, SIGTERM);
    uv_signal_start(&r->interrupt, on_signal, SIGINT);
    tell_start(r);
    set_oom_score(r->options.oom_score_adj);
    tune_apply(&r->options.tuning, "/proc/sys", on_warning, NULL);
    open_servers(&r->listen_retry);
    watch_addresses(r);
    if (*r->options.config)
        uv_fs_poll_start(&r->config_file, on_config_change, r->options.config, CONFIG_LOOK_MS);
    r->ports = health_ports_new(&r->loop, &r->health, on_warning, NULL);
    const struct node *n = own_node(r);
    health_node(&r->health, n && (n->object.meta.deleting || n->leaving));
    r->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = r };
    store_listen(cluster_store(r->cluster), &r->listener);
    if (!r->failed)
        uv_run(&r->loop, UV_RUN_DEFAULT);
    store_unlisten(cluster_store(r->cluster), &r->listener);
    health_ports_free(r->ports);
    r->ports = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(r->servers); i++)
        health_stop(r->servers[i].running);
}

/* What the original asks an API server for: neither Services that another proxy serves, nor
 * headless ones. */
#define SELECTOR "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"

static int open_cluster(struct run *r, struct err *e)
{
    const struct proxy_options *o = &r->options;
    const struct object_source source = { .dirs = o->manifests.items,
                                          .n_dirs = o->manifests.n,
                                          .range = o->range,
                                          .without = PART_UID | PART_WRITING,
                                          .kubeconfig = *o->kubeconfig ? o->kubeconfig : NULL,
                                          .endpoint = *o->master ? o->master : NULL,
                                          .kinds = 1u << KIND_SERVICE | 1u << KIND_SLICE |
                                                   1u << KIND_NODE,
                                          .qps = (double)o->api_qps,
                                          .burst = (double)o->api_burst,
                                          .labels = SELECTOR };
    int ret = cluster_open(&r->loop, &source, &r->cluster, e);
    if (ret < 0)
        return ret;
    r->model = model_new(cluster_store(r->cluster),
                         &(struct model_options){
                             .node_name = r->settings.node_name,
                             .addresses = { r->settings.addresses[0], r->settings.addresses[1] },
                             .dirty = on_dirty,
                             .warn = on_warning,
                             .ctx = r,
                         });
    return 0;
}

static void run_init(struct run *r)
{
    uv_loop_init(&r->loop);
    uv_signal_init(&r->loop, &r->term);
    uv_signal_init(&r->loop, &r->interrupt);
    uv_timer_init(&r->loop, &r->listen_retry);
    uv_timer_init(&r->loop, &r->patience);
    uv_fs_poll_init(&r->loop, &r->config_file);
    r->listen_retry.data = r->patience.data = r->config_file.data = r;
    r->servers[0] = (struct server){ .role = HEALTH_PROBES, .address = r->settings.healthz };
    r->servers[1] = (struct server){ .role = HEALTH_METRICS, .address = r->settings.metrics };
    proxy_metrics_init(&r->metrics, r->settings.mode);
    /* Twice the period, as the original; changes that wait longer mean that rules are stale. */
    health_init(&r->health, &r->metrics, proxy_mode_names[r->settings.mode],
                r->options.sync_period > 0 ? 2 * r->options.sync_period : 60000000000LL);
}

static void run_done(struct run *r)
{
    sync_free(r->sync);
    r->sync = NULL;
    uv_run(&r->loop, UV_RUN_NOWAIT);
    model_free(r->model);
    cluster_close(r->cluster);
    loop_done(&r->loop);
    nl_done(&r->address_watch);
    vec_done(&r->node_ips.ips);
    health_done(&r->health);
}

static void on_patience_end(uv_timer_t *t)
{
    struct run *r = t->data;
    r->failed = true;
}

/* For those who write the rules once: an API server's objects come in their own time. */
static int wait_synced(struct run *r, struct err *e)
{
    const struct store *store = cluster_store(r->cluster);
    uv_timer_start(&r->patience, on_patience_end, SYNC_PATIENCE_MS, 0);
    while (!store_is_synced(store) && !r->failed)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_timer_stop(&r->patience);
    if (!store_is_synced(store))
        return err_set(e, -ETIMEDOUT, "the API server has not given its objects in %d seconds",
                       SYNC_PATIENCE_MS / 1000);
    if (r->settings.pod_cidrs_of_node && !find_pod_cidrs(r))
        return err_set(e, ERR_INVALID,
                       "Node %s has no pod CIDRs; --detect-local-mode=NodeCIDR "
                       "needs them",
                       r->settings.node_name);
    refresh_around(r);
    return 0;
}

static int work(struct run *r, struct err *e)
{
    run_init(r);
    int ret = open_cluster(r, e);
    if (ret == 0 && (r->options.print || r->options.oneshot))
        ret = wait_synced(r, e);
    if (ret == 0 && r->options.print) {
        ret = print_rules(r, e);
    } else if (ret == 0 && r->options.oneshot) {
        make_sync(r, true);
        ret = sync_now(r->sync, e);
    } else if (ret == 0) {
        serve(r);
        ret = r->failed ? err_set(e, ERR_INVALID, "ended because of the error above") : 0;
    }
    run_done(r);
    return ret;
}

static int act(struct run *r, struct err *e)
{
    if (r->options.cleanup)
        return proxy_tables_remove(r->options.any_mode, r->settings.mode, e);
    if (*r->options.write_config_to)
        return proxy_config_write(&r->options, e);
    if (!r->options.init_only)
        return work(r, e);
    tune_apply(&r->options.tuning, "/proc/sys", on_warning, NULL);
    return 0;
}

static int run(int argc, char **argv)
{
    static struct run r; /* metrics are read until the process ends */
    struct err e = { 0 };
    log_set_fd(2);
    log_set_level(LOG_INFO);
    int ret = proxy_options_read(argc, argv, &r.options, on_warning, &e);
    if (ret > 0)
        return 0;
    log_set_level(r.options.verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (ret == 0)
        ret = proxy_settings_of(&r.options, &r.settings, &e);
    if (ret < 0) {
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
        return 2;
    }
    ret = act(&r, &e);
    if (ret < 0)
        (void)fprintf(stderr, "signpost proxy: %s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_proxy = {
    .name = "proxy",
    .also = "kube-proxy",
    .args = "",
    .summary = "The service proxy: cluster IPs, node ports and load balancer addresses of "
               "Services, by nftables or iptables rules.",
    .details =
        "Follows an API server or folders of manifests and keeps the nftables tables `ip signpost` "
        "and `ip6 signpost` in line with their Services and EndpointSlices. The rules are always "
        "the same; only map elements change, so that thousands of Services cost a connection no "
        "more than one. In iptables mode it writes the chains that people know from kube-proxy.\n\n"
        "Served are cluster IPs, node ports, external IPs and load balancer addresses with source "
        "ranges, over TCP, UDP and SCTP, in IPv4 and IPv6, with session affinity, traffic policies "
        "and topology hints.\n\n"
        "SIGTERM and SIGINT end it; the rules stay and go on working. --cleanup removes them. "
        "--print and --oneshot work without a daemon, --print also without any right.",
    .run = run,
};
