#include "cmd/proxy_process.h"

#include "base/log.h"
#include "cmd/event_writer.h"
#include "cmd/proxy_tables.h"
#include "kube/pod.h"
#include "proxy/families.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SYNC_PATIENCE_MS    30000
#define NODE_PATIENCE_MS    300000 /* for the Node object with its pod CIDRs */
#define LISTEN_RETRY_MS     5000
#define CONFIG_LOOK_MS      2000
#define FULL_SYNC_PERIOD_NS 3600000000000LL /* an hour, as the original */

static void end(struct proxy_process *p, const char *why)
{
    log_error("%s", why);
    p->failed = true;
    uv_stop(p->loop);
}

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

/* The objects are of this machine alone, and nobody may be there who would start us again. */
static bool is_local(const struct proxy_process *p)
{
    return p->shared || p->options.manifests.n;
}

/* ---- around the Services */

static const struct node *own_node(const struct proxy_process *p)
{
    const struct object *o =
        store_get(cluster_store(p->cluster), KIND_NODE, "", p->settings.node_name);
    return o ? node_of(o) : NULL;
}

static void refresh_around(struct proxy_process *p)
{
    struct proxy_around now = { 0 };
    proxy_around_find(cluster_store(p->cluster), p->model, &p->settings, is_local(p), &now);
    if (p->running && proxy_around_equal(&now, &p->around)) {
        proxy_around_done(&now);
        return;
    }
    proxy_around_done(&p->around);
    p->around = now;
    if (!p->sync)
        return;
    struct surroundings a = proxy_around_view(&p->around);
    sync_set_around(p->sync, &a);
}

static void on_address_event(uv_poll_t *poll, int status, int events)
{
    struct proxy_process *p = poll->data;
    (void)status;
    (void)events;
    address_watch_drain(&p->address_watch);
    refresh_around(p);
}

static void watch_addresses(struct proxy_process *p)
{
    int ret = address_watch_open(&p->address_watch);
    if (ret < 0) {
        log_warning("new addresses of this node get no node ports: %s", err_str(ret));
        return;
    }
    uv_poll_init(p->loop, &p->addresses, mnl_socket_get_fd(p->address_watch.sock));
    p->addresses.data = p;
    uv_poll_start(&p->addresses, UV_READABLE, on_address_event);
}

/* ---- rules without a daemon */

static int print_rules(struct proxy_process *p, struct err *e)
{
    struct strbuf text = { 0 };
    struct surroundings around = proxy_around_view(&p->around);
    model_refresh(p->model);
    proxy_rules_print(p->model, &p->settings, &around, &text);
    (void)fwrite(text.p, 1, text.len, stdout);
    strbuf_done(&text);
    return fflush(stdout) == 0 ? 0 : err_set(e, -errno, "standard output: %s", err_str(-errno));
}

/* ---- starting to write */

/* A family whose node ports are open everywhere needs no list of addresses. */
static void update_health_ports(struct proxy_process *p, const struct health_check *checks,
                                size_t n)
{
    static const struct ip any[FAMILIES] = { { .family = 4 }, { .family = 6 } };
    struct address_list ips = { 0 };
    for (unsigned f = 0; f < FAMILIES; f++)
        if (p->chains[f].node_ports_everywhere)
            vec_push(&ips.ips, any[f]);
    vec_each (ip, &p->around.node_ips.ips)
        if (!p->chains[family_index(ip->family)].node_ports_everywhere)
            vec_push(&ips.ips, *ip);
    health_ports_update(p->ports, checks, n, ips.ips.items, ips.ips.n);
    vec_done(&ips.ips);
}

static bool is_written(const struct proxy_process *p)
{
    for (unsigned f = 0; f < FAMILIES; f++)
        if (p->families[f] && !p->metrics.last_sync_ms[f])
            return false;
    return true;
}

static void on_synced_kernel(void *ctx)
{
    struct proxy_process *p = ctx;
    struct health_check *checks;
    size_t n = model_health_checks(p->model, &checks);
    if (!p->took_over && is_written(p)) {
        proxy_tables_remove_others(p->settings.mode, p->iptables);
        p->took_over = true;
    }
    if (p->ports)
        update_health_ports(p, checks, n);
    free(checks);
}

/* NodeCIDR: the Node says which addresses its pods have. */
static bool find_pod_cidrs(struct proxy_process *p)
{
    const struct node *n = own_node(p);
    for (unsigned i = 0; n && i < n->n_pod_cidrs; i++) {
        struct ruleset_options *o = &p->settings.rules[family_index(n->pod_cidrs[i].ip.family)];
        o->local_cidr = n->pod_cidrs[i];
        o->local_mode = LOCAL_CIDR;
    }
    return n && n->n_pod_cidrs > 0;
}

static int find_families(struct proxy_process *p, struct err *e)
{
    int ret = families_find(p->iptables, p->node_addresses, "/proc", on_warning, p, p->families, e);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!p->families[f])
            health_without(&p->health, f);
    return ret;
}

static int make_sync(struct proxy_process *p, bool live, struct err *e)
{
    const struct ruleset_options *rules = p->settings.rules;
    if (p->settings.mode == MODE_IPTABLES)
        p->iptables = proxy_rules_prepare(&p->settings, on_warning, p->chains);
    memcpy(p->node_addresses, model_place(p->model)->addresses, sizeof p->node_addresses);
    int ret = find_families(p, e);
    if (ret != 0)
        return ret;
    p->sync = sync_new(p->loop, p->model,
                       &(struct sync_options){ .backend = nft_program(),
                                               .ruleset = { rules[0], rules[1] },
                                               .iptables = p->iptables,
                                               .chains = { p->chains[0], p->chains[1] },
                                               .without = { !p->families[0], !p->families[1] },
                                               .min_period_ns = p->options.min_sync,
                                               .period_ns = p->options.sync_period,
                                               .full_period_ns = FULL_SYNC_PERIOD_NS,
                                               .health = &p->health,
                                               .metrics = &p->metrics,
                                               .live = live,
                                               .synced = on_synced_kernel,
                                               .ctx = p });
    refresh_around(p);
    return 0;
}

static void on_node_patience_end(uv_timer_t *t)
{
    end(t->data, "the Node object of this node has had no pod CIDRs for five minutes; "
                 "--detect-local-mode=NodeCIDR needs them");
}

static void begin(struct proxy_process *p)
{
    if (p->running)
        return;
    if (p->settings.pod_cidrs_of_node && !find_pod_cidrs(p)) {
        if (!uv_is_active((uv_handle_t *)&p->patience))
            uv_timer_start(&p->patience, on_node_patience_end, NODE_PATIENCE_MS, 0);
        return;
    }
    uv_timer_stop(&p->patience);
    if (!own_node(p))
        log_warning("there is no Node \"%s\": no endpoint counts as this node's, and node ports "
                    "are open at the address of the default route",
                    p->settings.node_name);
    struct err e;
    if (make_sync(p, true, &e) != 0) {
        end(p, e.text);
        return;
    }
    p->running = true;
    sync_start(p->sync);
}

/* ---- what changes while we run */

static void on_dirty(void *ctx)
{
    struct proxy_process *p = ctx;
    if (p->sync)
        sync_poke(p->sync);
}

static bool pod_cidrs_changed(const struct proxy_process *p, const struct node *n)
{
    for (unsigned i = 0; p->settings.pod_cidrs_of_node && i < n->n_pod_cidrs; i++) {
        const struct ip_prefix *now = &n->pod_cidrs[i];
        const struct ip_prefix *then = &p->settings.rules[family_index(now->ip.family)].local_cidr;
        if (now->bits != then->bits || !ip_equal(&now->ip, &then->ip))
            return true;
    }
    return false;
}

/* As the original: a new process finds out what a new node is. Without an API server there may be
 * nobody to start it, so there only what cannot be followed ends the process. */
static void check_identity(struct proxy_process *p)
{
    const struct node *n = own_node(p);
    const struct ip *now = model_place(p->model)->addresses;
    bool moved =
        !ip_equal(&now[0], &p->node_addresses[0]) || !ip_equal(&now[1], &p->node_addresses[1]);
    if (!p->running)
        return;
    if (!n && !is_local(p))
        end(p, "our Node object was deleted");
    else if (n && moved && !is_local(p))
        end(p, "the addresses of our Node have changed");
    else if (n && pod_cidrs_changed(p, n))
        end(p, "the pod CIDRs of our Node have changed");
}

static void on_change(void *ctx, const struct change *c)
{
    struct proxy_process *p = ctx;
    const struct object *o = c->new ? c->new : c->old;
    if (c->kind == KIND_SERVICE_CIDR && p->running)
        refresh_around(p);
    if (c->kind != KIND_NODE || strcmp(o->meta.name, p->settings.node_name) != 0)
        return;
    health_node(&p->health, !c->new || c->new->meta.deleting || node_of(c->new)->leaving);
    check_identity(p);
    if (p->running)
        refresh_around(p);
    else if (store_is_synced(cluster_store(p->cluster)))
        begin(p);
}

static void on_synced(void *ctx)
{
    begin(ctx);
}

static void on_config_change(uv_fs_poll_t *poll, int status, const uv_stat_t *before,
                             const uv_stat_t *now)
{
    (void)before;
    (void)now;
    end(poll->data, status < 0 ? "the configuration file cannot be read any more"
                               : "the configuration file has changed: start again");
}

/* ---- what the API server's Events say */

static void write_event(struct proxy_process *p, const char *kind, const struct meta *about,
                        bool warning, const char *reason, const char *message)
{
    if (p->events)
        event_writer_write(p->events, &(struct event){ .api_version = "v1",
                                                       .kind = kind,
                                                       .about = about,
                                                       .component = "kube-proxy",
                                                       .reason = reason,
                                                       .message = message,
                                                       .warning = warning });
}

static void on_port_refused(void *ctx, const char *service, const char *text)
{
    struct proxy_process *p = ctx;
    const char *slash = strchr(service, '/');
    char ns[256];
    (void)snprintf(ns, sizeof ns, "%.*s", (int)(slash - service), service);
    const struct object *o = store_get(cluster_store(p->cluster), KIND_SERVICE, ns, slash + 1);
    log_warning("%s", text);
    if (o)
        write_event(p, "Service", &o->meta, true, "FailedToStartServiceHealthcheck", text);
}

/* As the original: about the Node, whose name stands for its uid. */
static void tell_started(struct proxy_process *p)
{
    const char *name = p->settings.node_name;
    const struct meta node = { .namespace = "", .name = name, .uid = name };
    write_event(p, "Node", &node, false, "Starting", "signpost proxy has started.");
}

/* ---- pages */

static void open_servers(uv_timer_t *t)
{
    struct proxy_process *p = t->data;
    bool again = false;
    for (size_t i = 0; i < ARRAY_SIZE(p->pages); i++) {
        struct proxy_page *s = &p->pages[i];
        struct err e;
        if (s->running || !s->address.port)
            continue;
        if (health_serve(&p->health, s->role, &s->address.ip, s->address.port, &s->running, &e) ==
            0)
            continue;
        if (p->options.bind_hard_fail)
            end(p, e.text);
        else
            log_error("%s; trying again in %d seconds", e.text, LISTEN_RETRY_MS / 1000);
        again = true;
    }
    if (again && !p->failed)
        uv_timer_start(t, open_servers, LISTEN_RETRY_MS, 0);
}

/* ---- life */

static void tell_start(const struct proxy_process *p)
{
    log_info("signpost proxy on node %s, mode %s", p->settings.node_name,
             proxy_mode_names[p->settings.mode]);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (!p->settings.rules[f].local_mode && !p->settings.pod_cidrs_of_node &&
            !p->options.masquerade_all)
            log_info("no --cluster-cidr for %s: connections from outside are not masqueraded",
                     family_names[f]);
}

/* What the original asks an API server for: neither Services that another proxy serves, nor
 * headless ones. */
#define SELECTOR "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"

static int open_cluster(struct proxy_process *p, struct err *e)
{
    const struct proxy_options *o = &p->options;
    const struct object_source source = { .dirs = o->manifests.items,
                                          .n_dirs = o->manifests.n,
                                          .range = o->range,
                                          .without = PART_UID | PART_WRITING,
                                          .kubeconfig = *o->kubeconfig ? o->kubeconfig : NULL,
                                          .endpoint = *o->master ? o->master : NULL,
                                          .kinds = 1u << KIND_SERVICE | 1u << KIND_SLICE |
                                                   1u << KIND_NODE | 1u << KIND_SERVICE_CIDR,
                                          .node = p->settings.node_name,
                                          .qps = (double)o->api_qps,
                                          .burst = (double)o->api_burst,
                                          .labels = SELECTOR };
    int ret = 0;
    if (p->shared)
        p->cluster = p->shared;
    else
        ret = cluster_open(p->loop, &source, &p->cluster, e);
    if (ret < 0)
        return ret;
    p->model = model_new(cluster_store(p->cluster),
                         &(struct model_options){
                             .node_name = p->settings.node_name,
                             .addresses = { p->settings.addresses[0], p->settings.addresses[1] },
                             .dirty = on_dirty,
                             .warn = on_warning,
                             .ctx = p,
                         });
    return 0;
}

static void init(struct proxy_process *p, uv_loop_t *loop)
{
    p->loop = loop;
    uv_timer_init(loop, &p->listen_retry);
    uv_timer_init(loop, &p->patience);
    uv_fs_poll_init(loop, &p->config_file);
    p->listen_retry.data = p->patience.data = p->config_file.data = p;
    p->pages[0] = (struct proxy_page){ .role = HEALTH_PROBES, .address = p->settings.healthz };
    p->pages[1] = (struct proxy_page){ .role = HEALTH_METRICS, .address = p->settings.metrics };
    proxy_metrics_init(&p->metrics, p->settings.mode);
    /* Twice the period, as the original; changes that wait longer mean that rules are stale. */
    health_init(&p->health, &p->metrics, proxy_mode_names[p->settings.mode],
                p->options.sync_period > 0 ? 2 * p->options.sync_period : 60000000000LL);
}

int proxy_process_open(struct proxy_process *p, uv_loop_t *loop, struct err *e)
{
    init(p, loop);
    return open_cluster(p, e);
}

static void on_patience_end(uv_timer_t *t)
{
    struct proxy_process *p = t->data;
    p->failed = true;
}

/* For those who write the rules once: an API server's objects come in their own time. */
static int wait_synced(struct proxy_process *p, struct err *e)
{
    const struct store *store = cluster_store(p->cluster);
    uv_timer_start(&p->patience, on_patience_end, SYNC_PATIENCE_MS, 0);
    while (!store_is_synced(store) && !p->failed)
        uv_run(p->loop, UV_RUN_ONCE);
    uv_timer_stop(&p->patience);
    if (!store_is_synced(store))
        return err_set(e, -ETIMEDOUT, "the API server has not given its objects in %d seconds",
                       SYNC_PATIENCE_MS / 1000);
    if (p->settings.pod_cidrs_of_node && !find_pod_cidrs(p))
        return err_set(e, ERR_INVALID,
                       "Node %s has no pod CIDRs; --detect-local-mode=NodeCIDR "
                       "needs them",
                       p->settings.node_name);
    refresh_around(p);
    return 0;
}

int proxy_process_print(struct proxy_process *p, struct err *e)
{
    int ret = wait_synced(p, e);
    return ret < 0 ? ret : print_rules(p, e);
}

int proxy_process_once(struct proxy_process *p, struct err *e)
{
    int ret = wait_synced(p, e);
    if (ret < 0)
        return ret;
    ret = make_sync(p, true, e);
    return ret == 0 ? sync_now(p->sync, e) : ret;
}

void proxy_process_serve(struct proxy_process *p)
{
    p->serving = true;
    tell_start(p);
    tune_apply(&p->options.tuning, "/proc/sys", on_warning, NULL);
    open_servers(&p->listen_retry);
    watch_addresses(p);
    if (*p->options.config)
        uv_fs_poll_start(&p->config_file, on_config_change, p->options.config, CONFIG_LOOK_MS);
    if (cluster_client(p->cluster))
        p->events =
            event_writer_new(&(struct write_target){ .client = cluster_client(p->cluster) });
    tell_started(p);
    p->ports = health_ports_new(p->loop, &p->health, on_port_refused, p);
    const struct node *n = own_node(p);
    health_node(&p->health, n && (n->object.meta.deleting || n->leaving));
    p->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = p };
    store_listen(cluster_store(p->cluster), &p->listener);
}

static void stop_serving(struct proxy_process *p)
{
    store_unlisten(cluster_store(p->cluster), &p->listener);
    health_ports_free(p->ports);
    p->ports = NULL;
    event_writer_free(p->events);
    for (size_t i = 0; i < ARRAY_SIZE(p->pages); i++)
        health_stop(p->pages[i].running);
}

void proxy_process_close(struct proxy_process *p)
{
    if (p->serving)
        stop_serving(p);
    sync_free(p->sync);
    p->sync = NULL;
    uv_run(p->loop, UV_RUN_NOWAIT);
    model_free(p->model);
    if (!p->shared)
        cluster_close(p->cluster);
}

void proxy_process_free(struct proxy_process *p)
{
    nl_done(&p->address_watch);
    proxy_around_done(&p->around);
    health_done(&p->health);
}
