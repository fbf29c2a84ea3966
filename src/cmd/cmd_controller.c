/* `signpost controller`: makes the EndpointSlices and Endpoints of Services on an API server, with
 * the flags of kube-controller-manager that apply. */
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/rand.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/controllers.h"
#include "kube/check.h"
#include "loop/loop.h"
#include "net/http.h"
#include "source/leader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS     1000000000LL
#define GIVE_BACK_MS  2000
#define HOSTNAME_SIZE 256
#define IDENTITY_SIZE (HOSTNAME_SIZE + 32)

static const char *kubeconfig = "", *master = "";
static const char *lease_name = "signpost-controller", *lease_namespace = "kube-system",
                  *lease_lock = "leases", *address = "127.0.0.1:10257";
static bool elect = true;
static long long lease_time = 15 * SECOND_NS, renew_time = 10 * SECOND_NS,
                 retry_time = 2 * SECOND_NS;
static long qps = 20, burst = 30, verbosity;
static struct controller_options options = CONTROLLER_DEFAULTS;

static const struct flag flags[] = {
    { "kubeconfig", FLAG_STRING, &kubeconfig, "FILE",
      "Kubeconfig of the API server; without it and --master the cluster's own." },
    { "master", FLAG_STRING, &master, "URL",
      "The API server's URL, whatever the kubeconfig says." },
    { "leader-elect", FLAG_BOOL, &elect, NULL,
      "Write only while holding a Lease, so that several may run." },
    { "leader-elect-resource-name", FLAG_STRING, &lease_name, "NAME", "The Lease." },
    { "leader-elect-resource-namespace", FLAG_STRING, &lease_namespace, "NAME", "Its namespace." },
    { "leader-elect-resource-lock", FLAG_STRING, &lease_lock, "KIND", "leases." },
    { "leader-elect-lease-duration", FLAG_DURATION, &lease_time, "TIME",
      "How long others wait for a leader that is not heard of (default 15s)." },
    { "leader-elect-renew-deadline", FLAG_DURATION, &renew_time, "TIME",
      "When a leader that cannot renew the Lease stops (default 10s)." },
    { "leader-elect-retry-period", FLAG_DURATION, &retry_time, "TIME",
      "Time between two attempts to get or renew the Lease (default 2s)." },
    CONTROLLER_FLAGS(options, CONTROLLER_LIST_HELP "."),
    { "concurrent-service-endpoint-syncs", FLAG_INT, &options.workers[CONTROLLER_SLICES], "N",
      "Services whose slices are written at the same time (default 5)." },
    { "concurrent-endpoint-syncs", FLAG_INT, &options.workers[CONTROLLER_ENDPOINTS], "N",
      "Services whose Endpoints are written at the same time (default 5)." },
    { "mirroring-concurrent-service-endpoint-syncs", FLAG_INT, &options.workers[CONTROLLER_MIRROR],
      "N", "Endpoints that are mirrored at the same time (default 5)." },
    { "kube-api-qps", FLAG_INT, &qps, "N", "Writes a second (default 20)." },
    { "kube-api-burst", FLAG_INT, &burst, "N", "Writes that may be saved up (default 30)." },
    { "metrics-bind-address", FLAG_STRING, &address, "IP:PORT",
      "Where /healthz, /readyz and /metrics answer; empty: nowhere." },
    { "v", FLAG_INT, &verbosity, "N", "2 and above: more is logged." },
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t patience;
    struct cluster *cluster;
    struct listener listener;
    struct controllers controllers;
    struct leader *leader;
    struct http_server *pages;
    char identity[IDENTITY_SIZE];
    bool leads;
    bool going; /* told to end */
    _Atomic bool synced, acting;
};

/* ---- options ---- */

static int check_rates(struct err *e)
{
    const struct {
        const char *flag;
        long value;
    } rates[] = { { "kube-api-qps", qps }, { "kube-api-burst", burst } };
    for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
        if (rates[i].value < 1 || rates[i].value > CONTROLLERS_RATE_MAX)
            return err_set(e, ERR_INVALID, "--%s: must be 1 to %d", rates[i].flag,
                           CONTROLLERS_RATE_MAX);
    return 0;
}

static int check_words(struct err *e)
{
    const char *wrong = check_dns_subdomain(lease_name);
    if (wrong)
        return err_set(e, ERR_INVALID, "--leader-elect-resource-name: \"%s\" %s", lease_name,
                       wrong);
    wrong = check_dns_label(lease_namespace);
    if (wrong)
        return err_set(e, ERR_INVALID, "--leader-elect-resource-namespace: \"%s\" %s",
                       lease_namespace, wrong);
    if (strcmp(lease_lock, "leases") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--leader-elect-resource-lock=%s is not offered: use leases", lease_lock);
    return 0;
}

/* Nobody else has it, not even our own successor. */
static int make_identity(struct run *r, struct err *e)
{
    char host[HOSTNAME_SIZE] = "";
    if (gethostname(host, sizeof host - 1) < 0)
        return err_set(e, -errno, "this host's name: %s", err_str(-errno));
    (void)snprintf(r->identity, sizeof r->identity, "%s_%016llx", host,
                   (unsigned long long)rand_seed());
    return 0;
}

/* ---- pages ---- */

static void on_page(void *ctx, const char *path, struct http_reply *reply)
{
    const struct run *r = ctx;
    bool synced = atomic_load(&r->synced);
    if (strcmp(path, "/metrics") == 0) {
        reply->content_type = "text/plain; version=0.0.4";
        metric_print(&reply->body);
    } else if (strcmp(path, "/healthz") == 0 || strcmp(path, "/livez") == 0) {
        strbuf_puts(&reply->body, "ok");
    } else if (strcmp(path, "/readyz") == 0) {
        reply->status = synced ? 200 : 503;
        strbuf_puts(&reply->body, synced ? "ok" : "the API server's objects have not come yet");
    } else {
        reply->status = 404;
    }
}

static double read_acting(void *ctx)
{
    const struct run *r = ctx;
    return atomic_load(&r->acting);
}

static void show(struct run *r)
{
    struct strbuf b = { 0 };
    metric_label(&b, "name", lease_name);
    metric_gauge("leader_election_master_status", "Whether this one leads.", b.p, read_acting, r);
    strbuf_done(&b);
}

/* ---- work ---- */

static void act(struct run *r)
{
    if (!r->leads || !atomic_load(&r->synced) || r->going)
        return;
    atomic_store(&r->acting, true);
    controllers_start(&r->controllers);
}

static void on_started(void *ctx)
{
    struct run *r = ctx;
    r->leads = true;
    act(r);
}

static void on_stopped(void *ctx)
{
    struct run *r = ctx;
    r->leads = false;
    atomic_store(&r->acting, false);
    controllers_stop(&r->controllers);
}

static void on_change(void *ctx, const struct change *c)
{
    (void)ctx;
    (void)c;
}

static void on_synced(void *ctx)
{
    struct run *r = ctx;
    log_info("the API server's objects are all there");
    atomic_store(&r->synced, true);
    act(r);
}

/* ---- life ---- */

static void on_given_back(void *ctx)
{
    struct run *r = ctx;
    uv_stop(&r->loop);
}

static void on_patience_end(uv_timer_t *t)
{
    uv_stop(t->loop);
}

/* Nothing is written any more; then the Lease goes back. */
static void on_signal(uv_signal_t *s, int number)
{
    struct run *r = s->data;
    (void)number;
    if (r->going || !r->leader) {
        uv_stop(s->loop);
        return;
    }
    r->going = true;
    on_stopped(r);
    uv_timer_start(&r->patience, on_patience_end, GIVE_BACK_MS, 0);
    leader_release(r->leader, on_given_back, r);
}

static int open_leader(struct run *r, struct err *e)
{
    if (!elect) {
        on_started(r);
        return 0;
    }
    return leader_new(&r->loop, cluster_client(r->cluster),
                      &(struct leader_options){ .namespace = lease_namespace,
                                                .name = lease_name,
                                                .identity = r->identity,
                                                .lease_ns = lease_time,
                                                .renew_ns = renew_time,
                                                .retry_ns = retry_time,
                                                .started = on_started,
                                                .stopped = on_stopped,
                                                .ctx = r },
                      &r->leader, e);
}

static int open_all(struct run *r, struct err *e)
{
    struct object_source source = { .kubeconfig = *kubeconfig ? kubeconfig : NULL,
                                    .endpoint = *master ? master : NULL,
                                    .kinds = options.kinds };
    int ret = cluster_open(&r->loop, &source, &r->cluster, e);
    if (ret < 0)
        return ret;
    controllers_open(&r->controllers, &r->loop, cluster_store(r->cluster),
                     &(struct write_target){ .client = cluster_client(r->cluster) }, &options,
                     (unsigned)qps, (unsigned)burst);
    r->listener = (struct listener){ .changed = on_change, .synced = on_synced, .ctx = r };
    store_listen(cluster_store(r->cluster), &r->listener);
    if (*address)
        ret = http_server_open(address, on_page, r, &r->pages, e);
    return ret < 0 ? ret : open_leader(r, e);
}

static void run_init(struct run *r)
{
    uv_loop_init(&r->loop);
    uv_signal_init(&r->loop, &r->term);
    uv_signal_init(&r->loop, &r->interrupt);
    uv_timer_init(&r->loop, &r->patience);
    r->term.data = r->interrupt.data = r->patience.data = r;
    uv_signal_start(&r->term, on_signal, SIGTERM);
    uv_signal_start(&r->interrupt, on_signal, SIGINT);
    show(r);
}

static void run_done(struct run *r)
{
    http_server_close(r->pages);
    metric_gauge_drop(r);
    leader_free(r->leader);
    controllers_close(&r->controllers);
    if (r->cluster)
        store_unlisten(cluster_store(r->cluster), &r->listener);
    cluster_close(r->cluster);
    uv_run(&r->loop, UV_RUN_NOWAIT);
    loop_done(&r->loop);
}

static int work(struct run *r, struct err *e)
{
    run_init(r);
    int ret = open_all(r, e);
    if (ret == 0) {
        log_info("signpost controller %s", r->identity);
        uv_run(&r->loop, UV_RUN_DEFAULT);
    }
    run_done(r);
    return ret;
}

static int run(int argc, char **argv)
{
    static struct run r; /* metrics are read until the process ends */
    struct err e = { 0 };
    int left = 0;
    int ret = flags_parse(&cmd_controller, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    log_set_fd(2);
    log_set_level(verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (ret == 0)
        ret = check_rates(&e);
    if (ret == 0)
        ret = controller_options_read(&options, false, &e);
    if (ret == 0)
        ret = check_words(&e);
    if (ret == 0)
        ret = make_identity(&r, &e);
    int status = 2;
    if (ret == 0) {
        status = 1;
        ret = work(&r, &e);
    }
    if (ret < 0)
        (void)fprintf(stderr, "signpost controller: %s\n", e.text);
    return ret < 0 ? status : 0;
}

const struct command cmd_controller = {
    .name = "controller",
    .args = "",
    .summary = "Makes the EndpointSlices and Endpoints of Services on an API server.",
    .details =
        "Does on an API server what three controllers of kube-controller-manager do. "
        "endpointslice-controller: for each Service with a selector, slices with the Pods that it "
        "selects, with the same labels, owners and packing, in the fewest writes. "
        "endpoints-controller: an Endpoints object for each of them. "
        "endpointslice-mirroring-controller: slices that tell the Endpoints of Services without "
        "selector. Slices that others make are left alone. It must not run beside the originals, "
        "which write the same objects: start kube-controller-manager with "
        "--controllers=*,-endpointslice-controller,-endpoints-controller,"
        "-endpointslice-mirroring-controller, or leave those here out that run there.\n\n"
        "Several may run; the one that holds the Lease writes. While the API server is away "
        "nothing is written, and what has changed follows when it is back.\n\n"
        "It needs the right to list and watch services, pods, nodes, endpoints and endpointslices, "
        "to create, update and delete endpoints and endpointslices, to create and patch events, "
        "and to get, create and update the Lease. SIGTERM and SIGINT end it and give the Lease "
        "back.",
    .run = run,
};
