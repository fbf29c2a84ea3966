/* `signpost controller`: makes the EndpointSlices and Endpoints of Services on an API server, with
 * the flags of kube-controller-manager that apply. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/rand.h"
#include "cmd/api_writer.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/event_writer.h"
#include "kube/check.h"
#include "loop/loop.h"
#include "net/http.h"
#include "source/leader.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS     1000000000LL
#define SLICE_LIMIT   1000    /* endpoints of a slice that the API takes */
#define RATE_LIMIT    1000000 /* writes a second: more is no limit any more */
#define GIVE_BACK_MS  2000
#define HOSTNAME_SIZE 256
#define IDENTITY_SIZE (HOSTNAME_SIZE + 32)

static const char *kubeconfig = "", *master = "";
static const char *lease_name = "signpost-controller", *lease_namespace = "kube-system",
                  *lease_lock = "leases", *address = "127.0.0.1:10257";
static bool elect = true;
static long long lease_time = 15 * SECOND_NS, renew_time = 10 * SECOND_NS,
                 retry_time = 2 * SECOND_NS;
static long max_endpoints = 100, max_mirrored = 1000, qps = 20, burst = 30, verbosity;
static long workers[CONTROLLERS] = { 5, 5, 5 };
static long long batch[CONTROLLERS];
static const char *controllers = "*";

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
    { "controllers", FLAG_STRING, &controllers, "LIST",
      "Which run, separated by commas: endpointslice-controller, endpoints-controller, "
      "endpointslice-mirroring-controller; * is all of them, -NAME all but one (default *)." },
    { "max-endpoints-per-slice", FLAG_INT, &max_endpoints, "N",
      "Endpoints of a slice, 1 to 1000 (default 100)." },
    { "concurrent-service-endpoint-syncs", FLAG_INT, &workers[CONTROLLER_SLICES], "N",
      "Services whose slices are written at the same time (default 5)." },
    { "endpointslice-updates-batch-period", FLAG_DURATION, &batch[CONTROLLER_SLICES], "TIME",
      "How long a change of a Pod waits for others before slices are written (default 0)." },
    { "concurrent-endpoint-syncs", FLAG_INT, &workers[CONTROLLER_ENDPOINTS], "N",
      "Services whose Endpoints are written at the same time (default 5)." },
    { "endpoint-updates-batch-period", FLAG_DURATION, &batch[CONTROLLER_ENDPOINTS], "TIME",
      "How long a change of a Pod waits for others before Endpoints are written (default 0)." },
    { "mirroring-concurrent-service-endpoint-syncs", FLAG_INT, &workers[CONTROLLER_MIRROR], "N",
      "Endpoints that are mirrored at the same time (default 5)." },
    { "mirroring-endpointslice-updates-batch-period", FLAG_DURATION, &batch[CONTROLLER_MIRROR],
      "TIME", "How long a change of a mirrored slice waits for others (default 0)." },
    { "mirroring-max-endpoints-per-subset", FLAG_INT, &max_mirrored, "N",
      "Addresses of a subset that are mirrored, 1 to 1000 (default 1000)." },
    { "kube-api-qps", FLAG_INT, &qps, "N", "Writes a second (default 20)." },
    { "kube-api-burst", FLAG_INT, &burst, "N", "Writes that may be saved up (default 30)." },
    { "metrics-bind-address", FLAG_STRING, &address, "IP:PORT",
      "Where /healthz, /readyz and /metrics answer; empty: nowhere." },
    { "v", FLAG_INT, &verbosity, "N", "2 and above: more is logged." },
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    uv_timer_t work, patience;
    struct cluster *cluster;
    struct listener listener;
    struct api_writer *writer;
    struct event_writer *events;
    struct reconcile *reconcile;
    struct leader *leader;
    struct http_server *pages;
    char identity[IDENTITY_SIZE];
    unsigned busy_max[CONTROLLERS]; /* 0: it does not run */
    bool chosen[CONTROLLERS];       /* the command line names it */
    bool poked, leads;
    bool going; /* told to end */
    _Atomic bool synced, acting;
};

/* ---- options ---- */

/* The names of the original, and those that it had before. */
static const struct {
    const char *name, *alias, *workers, *batch;
    unsigned kinds;
} known[CONTROLLERS] = {
    [CONTROLLER_SLICES] = { "endpointslice-controller", "endpointslice",
                            "concurrent-service-endpoint-syncs",
                            "endpointslice-updates-batch-period",
                            1u << KIND_SERVICE | 1u << KIND_SLICE | 1u << KIND_POD |
                                1u << KIND_NODE },
    [CONTROLLER_ENDPOINTS] = { "endpoints-controller", "endpoint", "concurrent-endpoint-syncs",
                               "endpoint-updates-batch-period",
                               1u << KIND_SERVICE | 1u << KIND_ENDPOINTS | 1u << KIND_POD },
    [CONTROLLER_MIRROR] = { "endpointslice-mirroring-controller", "endpointslicemirroring",
                            "mirroring-concurrent-service-endpoint-syncs",
                            "mirroring-endpointslice-updates-batch-period",
                            1u << KIND_SERVICE | 1u << KIND_ENDPOINTS | 1u << KIND_SLICE },
};

static int check_range(const char *flag, long value, long min, long max, struct err *e)
{
    if (value >= min && value <= max)
        return 0;
    return err_set(e, ERR_INVALID, "--%s: must be %ld to %ld", flag, min, max);
}

static int check_numbers(struct err *e)
{
    int r = check_range("max-endpoints-per-slice", max_endpoints, 1, SLICE_LIMIT, e);
    if (r == 0)
        r = check_range("mirroring-max-endpoints-per-subset", max_mirrored, 1, SLICE_LIMIT, e);
    for (unsigned i = 0; i < CONTROLLERS && r == 0; i++)
        r = check_range(known[i].workers, workers[i], 1, RECONCILE_BUSY_MAX, e);
    if (r == 0)
        r = check_range("kube-api-qps", qps, 1, RATE_LIMIT, e);
    if (r == 0)
        r = check_range("kube-api-burst", burst, 1, RATE_LIMIT, e);
    for (unsigned i = 0; i < CONTROLLERS && r == 0; i++)
        if (batch[i] < 0 || batch[i] > 3600 * SECOND_NS)
            r = err_set(e, ERR_INVALID, "--%s: must be 0 to 1h", known[i].batch);
    return r;
}

/* The last word about a controller counts, as with the original; one that is not named runs when
 * there is a star. */
static int choose_one(struct run *r, const char *word, bool *star, struct err *e)
{
    bool off = *word == '-';
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if (strcmp(word + off, known[i].name) != 0 && strcmp(word + off, known[i].alias) != 0)
            continue;
        r->busy_max[i] = off ? 0 : (unsigned)workers[i];
        r->chosen[i] = true;
        return 0;
    }
    if (strcmp(word, "*") != 0)
        return err_set(e, ERR_INVALID, "--controllers: there is no \"%s\"", word + off);
    *star = true;
    return 0;
}

static int choose(struct run *r, struct err *e)
{
    bool star = false;
    unsigned n = 0;
    for (const char *at = controllers; *at;) {
        size_t len = strcspn(at, ",");
        cleanup_free char *word = xstrndup(at, len);
        int code = choose_one(r, word, &star, e);
        if (code < 0)
            return code;
        at += len + (at[len] == ',');
    }
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        if (star && !r->chosen[i])
            r->busy_max[i] = (unsigned)workers[i];
        n += r->busy_max[i] > 0;
    }
    return n ? 0 : err_set(e, ERR_INVALID, "--controllers: none is left");
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

static void on_work(uv_timer_t *t)
{
    struct run *r = t->data;
    r->poked = false;
    int64_t next = reconcile_run(r->reconcile);
    if (r->poked || next == INT64_MAX)
        return;
    int64_t pause = next - clock_ns();
    uv_timer_start(t, on_work, pause > 0 ? (uint64_t)(pause / 1000000) + 1 : 0, 0);
}

static void on_poke(void *ctx)
{
    struct run *r = ctx;
    if (r->poked)
        return;
    r->poked = true;
    uv_timer_start(&r->work, on_work, 0, 0);
}

static void on_create(void *ctx, const struct object *o, void *token)
{
    struct run *r = ctx;
    api_writer_create(r->writer, o, token);
}

static void on_update(void *ctx, const struct object *o, void *token)
{
    struct run *r = ctx;
    api_writer_update(r->writer, o, token);
}

static void on_remove(void *ctx, enum kind kind, const char *ns, const char *name, void *token)
{
    struct run *r = ctx;
    api_writer_remove(r->writer, kind, ns, name, token);
}

static void on_event(void *ctx, const struct event *e)
{
    struct run *r = ctx;
    event_writer_write(r->events, e);
}

static void act(struct run *r)
{
    if (!r->leads || !atomic_load(&r->synced) || r->going)
        return;
    atomic_store(&r->acting, true);
    reconcile_start(r->reconcile);
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
    api_writer_cancel(r->writer);
    reconcile_stop(r->reconcile);
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

static void open_reconcile(struct run *r)
{
    struct reconcile_options o = { .max_endpoints = (unsigned)max_endpoints,
                                   .max_mirrored = (unsigned)max_mirrored,
                                   .qps = (unsigned)qps,
                                   .burst = (unsigned)burst,
                                   .writer = { .create = on_create,
                                               .update = on_update,
                                               .remove = on_remove,
                                               .event = on_event,
                                               .poke = on_poke,
                                               .ctx = r } };
    for (unsigned i = 0; i < CONTROLLERS; i++) {
        o.busy_max[i] = r->busy_max[i];
        o.batch_ns[i] = batch[i];
    }
    r->reconcile = reconcile_new(cluster_store(r->cluster), &o);
}

static int open_all(struct run *r, struct err *e)
{
    struct object_source source = { .kubeconfig = *kubeconfig ? kubeconfig : NULL,
                                    .endpoint = *master ? master : NULL };
    for (unsigned i = 0; i < CONTROLLERS; i++)
        source.kinds |= r->busy_max[i] ? known[i].kinds : 0;
    int ret = cluster_open(&r->loop, &source, &r->cluster, e);
    if (ret < 0)
        return ret;
    r->writer = api_writer_new(cluster_client(r->cluster));
    r->events = event_writer_new(cluster_client(r->cluster));
    open_reconcile(r);
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
    uv_timer_init(&r->loop, &r->work);
    uv_timer_init(&r->loop, &r->patience);
    r->term.data = r->interrupt.data = r->work.data = r->patience.data = r;
    uv_signal_start(&r->term, on_signal, SIGTERM);
    uv_signal_start(&r->interrupt, on_signal, SIGINT);
    show(r);
}

static void run_done(struct run *r)
{
    http_server_close(r->pages);
    metric_gauge_drop(r);
    leader_free(r->leader);
    api_writer_free(r->writer);
    event_writer_free(r->events);
    reconcile_free(r->reconcile);
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
        ret = check_numbers(&e);
    if (ret == 0)
        ret = check_words(&e);
    if (ret == 0)
        ret = choose(&r, &e);
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
