/* `signpost dns`: the cluster DNS server, with the flags of the reference. */
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/rand.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "cmd/dns_control.h"
#include "cmd/dns_why.h"
#include "cmd/guard.h"
#include "dns/server.h"
#include "loop/loop.h"
#include "loop/notify.h"
#include "net/accept.h"
#include "net/http.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

#define DRAIN_MS      15000 /* at most, for what is under way when another process has taken over */
#define DRAIN_LOOK_MS 20
#define READY_MS      60000 /* for the plugins, before sockets are taken over */

static const char *conf, *pidfile, *control;
static long port = 53, workers;
static bool quiet, list_plugins, version, takeover;
/* A reload may want another port below 1024. */
static struct guard guard = { .capabilities = 1ULL << CAP_NET_BIND_SERVICE };

static const struct flag flags[] = {
    { "conf", FLAG_STRING, &conf, "FILE",
      "Corefile to load (default \"Corefile\"); stdin reads it "
      "from standard input." },
    { "control", FLAG_STRING, &control, "PATH",
      "Unix socket that `dns why` and -takeover talk to (default " DNS_CONTROL_PATH
      " where that can be made); \"\": none." },
    { "dns.port", FLAG_INT, &port, "PORT", "Port of server blocks that name none (default 53)." },
    { "p", FLAG_INT, &port, "PORT", "The same as -dns.port." },
    { "pidfile", FLAG_STRING, &pidfile, "FILE", "Write the process id there once serving." },
    { "plugins", FLAG_BOOL, &list_plugins, NULL, "List the plugins and exit." },
    { "quiet", FLAG_BOOL, &quiet, NULL, "Do not print zones and version at the start." },
    { "takeover", FLAG_BOOL, &takeover, NULL,
      "Take the sockets over from the process at the control socket, which then ends; nobody "
      "there: "
      "an ordinary start." },
    { "version", FLAG_BOOL, &version, NULL, "Print the version and exit." },
    { "workers", FLAG_INT, &workers, "N", "Worker threads (default: one a usable core)." },
    GUARD_FLAGS(guard),
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt, usr1, hup;
    uv_timer_t lameduck; /* from the first signal to end until the end */
    bool ending;
    uv_timer_t look;            /* of `reload` */
    long long interval, jitter; /* ns; interval 0: the Corefile is not looked at */
    uint8_t refused[64];        /* hash of a Corefile that was tried and refused */
    struct rand rand;
    struct dns_server *server;
    struct clusters clusters;
    struct dns_control control;
    struct dns_successor successor; /* of another process, at the start */
    uv_timer_t drain;
    uint64_t drain_until;
};

static metric reload_failed;

/* ---- reload ---- */

static void hex(const uint8_t hash[64], char out[129])
{
    for (int i = 0; i < 64; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static bool same(const uint8_t a[64], const uint8_t b[64])
{
    return memcmp(a, b, 64) == 0;
}

/* Serves the Corefile as it is now. changed_only: not when it says what is served, or what was
 * refused before. */
static void reload(struct run *r, bool changed_only)
{
    struct err e = { 0 };
    struct corefile *c = NULL;
    uint8_t hash[64];
    char text[129];
    if (command_corefile(conf, (uint16_t)port, &c, &e) < 0) {
        log_warning("Corefile cannot be parsed, the old one goes on serving: %s", e.text);
        metric_add(reload_failed, 1);
        return;
    }
    memcpy(hash, c->sha512, sizeof hash);
    bool served = same(hash, dns_server_corefile(r->server)->sha512);
    if (changed_only && (served || same(hash, r->refused))) {
        corefile_free(c);
        return;
    }
    log_info("Reloading");
    notify_reloading();
    int ret = dns_server_reload(r->server, c, &e);
    notify_ready();
    if (ret < 0) {
        log_error("Corefile changed but reload failed, the old one goes on serving: %s", e.text);
        metric_add(reload_failed, 1);
        memcpy(r->refused, hash, sizeof hash);
        return;
    }
    hex(hash, text);
    log_info("plugin/reload: Running configuration SHA512 = %s", text);
    log_info("Reloading complete");
}

static void on_look(uv_timer_t *t);

/* Each period is drawn anew, so that a fleet does not move in step. */
static void look_later(struct run *r)
{
    double share = (double)rand_below(&r->rand, 1000000) / 1e6 - 0.5;
    long long ns = r->interval + (long long)((double)r->jitter * share);
    if (r->interval)
        uv_timer_start(&r->look, on_look, (uint64_t)(ns / 1000000), 0);
    else
        uv_timer_stop(&r->look);
}

/* Nothing may change while another process is about to take the sockets over. */
static bool may_reload(const struct run *r)
{
    return !r->ending && !dns_control_hands_over(&r->control);
}

static void on_look(uv_timer_t *t)
{
    struct run *r = t->data;
    if (may_reload(r))
        reload(r, true);
    look_later(r);
}

static void writes(void *ctx, const char *folder)
{
    (void)ctx;
    guard_let_write(&guard, folder);
}

static void set_reload(void *ctx, long long interval, long long jitter)
{
    struct run *r = ctx;
    r->interval = interval;
    r->jitter = jitter;
}

static void on_reload_signal(uv_signal_t *s, int number)
{
    struct run *r = s->data;
    if (r->ending)
        return;
    if (!may_reload(r)) {
        log_warning("%s: not reloaded while being taken over",
                    number == SIGUSR1 ? "SIGUSR1" : "SIGHUP");
        return;
    }
    log_info("%s: Reloading", number == SIGUSR1 ? "SIGUSR1" : "SIGHUP");
    reload(r, false);
    look_later(r);
}

/* ---- start and end ---- */

static int write_pidfile(struct err *e)
{
    FILE *f = fopen(pidfile, "we");
    if (!f)
        return err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno));
    (void)fprintf(f, "%d\n", (int)getpid());
    return fclose(f) ? err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno)) : 0;
}

static void on_lameduck_end(uv_timer_t *t)
{
    uv_stop(t->loop);
}

/* The first signal begins the end, with the lameduck time; the second ends at once. */
static void on_signal(uv_signal_t *s, int number)
{
    struct run *r = s->data;
    if (r->ending) {
        uv_stop(s->loop);
        return;
    }
    r->ending = true;
    notify_stopping();
    log_info("%s: Shutting down", number == SIGTERM ? "SIGTERM" : "SIGINT");
    uv_timer_stop(&r->look);
    long long ns = dns_server_lameduck(r->server);
    uv_timer_start(&r->lameduck, on_lameduck_end, (uint64_t)(ns / 1000000), 0);
}

/* ---- from process to process ---- */

static void on_drain(uv_timer_t *t)
{
    struct run *r = t->data;
    size_t left = dns_server_under_way(r->server);
    if (left && uv_now(t->loop) < r->drain_until)
        return;
    if (left)
        log_warning("Ending with %zu queries and connections under way", left);
    uv_stop(t->loop);
}

/* Another process has the sockets: what is under way here is brought to its end. */
static void on_taken(void *ctx)
{
    struct run *r = ctx;
    if (r->ending)
        return;
    r->ending = true;
    notify_stopping();
    log_info("Another process has taken over: Shutting down");
    uv_timer_stop(&r->look);
    http_servers_retire();
    dns_server_drain(r->server);
    r->drain_until = uv_now(&r->loop) + DRAIN_MS;
    uv_timer_start(&r->drain, on_drain, 0, DRAIN_LOOK_MS);
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

/* Sources that are still being read would make wrong answers. */
static int wait_ready(struct run *r, struct err *e)
{
    cleanup(strbuf_done) struct strbuf waiting = { 0 };
    uint64_t end = uv_now(&r->loop) + READY_MS;
    uv_timer_start(&r->drain, on_tick, DRAIN_LOOK_MS, DRAIN_LOOK_MS);
    while (!r->ending && !dns_server_is_ready(r->server, &waiting) && uv_now(&r->loop) < end) {
        strbuf_reset(&waiting);
        uv_run(&r->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&r->drain);
    if (r->ending)
        return err_set(e, -ECANCELED, "ended by a signal before the take-over");
    return dns_server_is_ready(r->server, NULL)
               ? 0
               : err_set(e, -ETIMEDOUT,
                         "take-over: not ready within %d s: %s; the old process goes "
                         "on serving",
                         READY_MS / 1000, waiting.p);
}

/* Serves, with the sockets of the process at the control socket if there is one. */
static int start_serving(struct run *r, struct err *e)
{
    struct dns_handed_list handed = { 0 };
    bool there = takeover && dns_successor_is_there(dns_control_path(control));
    int ret = there ? dns_server_prepare(r->server, e) : 0;
    if (ret == 0 && there)
        ret = wait_ready(r, e);
    if (ret == 0 && there)
        ret = dns_successor_ask(&r->successor, dns_control_path(control), &handed, e);
    if (ret == 0)
        ret = dns_server_start(r->server, &handed, e);
    dns_handed_done(&handed);
    if (ret == 0 && there)
        ret = dns_successor_tell(&r->successor, e);
    dns_successor_done(&r->successor);
    return ret;
}

/* Its folder has to be there, and open for writing, before the guard closes. */
static void let_write_control(void)
{
    char folder[4096];
    if (dns_control_folder(control, folder, sizeof folder))
        guard_let_write(&guard, folder);
}

static int open_control(struct run *r, struct err *e)
{
    r->control = (struct dns_control){
        .loop = &r->loop, .server = r->server, .clusters = &r->clusters, .taken = on_taken, .ctx = r
    };
    return dns_control_open(&r->control, control, takeover, e);
}

static void print_start(const struct run *r)
{
    struct strbuf text = { 0 };
    dns_server_print(r->server, &text);
    (void)printf("%ssignpost-%s\n", text.p ? text.p : "", SIGNPOST_VERSION);
    (void)fflush(stdout);
    strbuf_done(&text);
}

static int start(struct run *r, struct err *e)
{
    struct dns_options options = { .workers = (unsigned)workers,
                                   .loop = &r->loop,
                                   .open_source = clusters_open_source,
                                   .source_ctx = &r->clusters,
                                   .set_reload = set_reload,
                                   .writes = writes,
                                   .ctx = r };
    struct corefile *c = NULL;
    char text[129];
    int ret = command_corefile(conf, (uint16_t)port, &c, e);
    if (ret == 0)
        ret = dns_server_new(c, &options, &r->server, e);
    if (ret == 0)
        let_write_control();
    if (ret == 0)
        guard_finish(&guard, pidfile);
    if (ret == 0)
        ret = start_serving(r, e);
    if (ret == 0)
        ret = open_control(r, e);
    if (ret == 0 && !quiet) /* not earlier: who reads this may ask at once */
        print_start(r);
    if (ret == 0 && pidfile)
        ret = write_pidfile(e);
    if (ret == 0)
        notify_ready();
    if (ret == 0 && r->interval) {
        hex(dns_server_corefile(r->server)->sha512, text);
        log_info("plugin/reload: Running configuration SHA512 = %s", text);
        look_later(r);
    }
    return ret;
}

/* Another process may have written its own by now. */
static void remove_pidfile(void)
{
    long pid = 0;
    FILE *f = fopen(pidfile, "re");
    if (!f)
        return;
    char text[32];
    bool is_ours = fgets(text, sizeof text, f) &&
                   (text[strcspn(text, "\n")] = '\0', str_to_long(text, 1, INT32_MAX, &pid) == 0) &&
                   pid == (long)getpid();
    (void)fclose(f);
    if (is_ours && unlink(pidfile) < 0 && errno != ENOENT && truncate(pidfile, 0) < 0)
        log_warning("pidfile %s: %s", pidfile, strerror(errno));
}

static void finish(struct run *r)
{
    dns_control_close(&r->control);
    dns_server_stop(r->server);
    clusters_close(&r->clusters);
    loop_done(&r->loop);
    dns_server_free(r->server);
    if (pidfile)
        remove_pidfile();
}

static void watch_signal(struct run *r, uv_signal_t *s, uv_signal_cb fn, int number)
{
    uv_signal_init(&r->loop, s);
    s->data = r;
    uv_signal_start(s, fn, number);
}

static int serve(struct err *e)
{
    static struct run r;
    uv_loop_init(&r.loop);
    r.clusters.loop = &r.loop;
    rand_init(&r.rand);
    uv_timer_init(&r.loop, &r.look);
    uv_timer_init(&r.loop, &r.lameduck);
    uv_timer_init(&r.loop, &r.drain);
    r.look.data = r.drain.data = &r;
    reload_failed = metric_counter("coredns_reload_failed_total",
                                   "Counter of the number of failed reload attempts.", "");
    watch_signal(&r, &r.term, on_signal, SIGTERM);
    watch_signal(&r, &r.interrupt, on_signal, SIGINT);
    /* Before the start: unwatched, they would end the process. The loop hears of them when it runs.
     */
    watch_signal(&r, &r.usr1, on_reload_signal, SIGUSR1);
    watch_signal(&r, &r.hup, on_reload_signal, SIGHUP);
    int ret = start(&r, e);
    if (ret == 0)
        uv_run(&r.loop, UV_RUN_DEFAULT);
    finish(&r);
    return ret;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    if (argc > 1 && strcmp(argv[1], "why") == 0)
        return dns_why_command(argc - 1, argv + 1);
    int left = 0, ret = flags_parse(&cmd_dns, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "extra command line arguments: [%s]", argv[0]);
    if (ret == 0 && (port < 1 || port > 65535))
        ret = err_set(&e, ERR_INVALID, "-dns.port %ld: a port is 1 to 65535", port);
    if (ret == 0 && (workers < 0 || workers > WORKERS_MAX))
        ret = err_set(&e, ERR_INVALID, "-workers %ld: 0 to %d", workers, WORKERS_MAX);
    if (ret == 0 && takeover && control && !*control)
        ret = err_set(&e, ERR_INVALID,
                      "-takeover goes through a control socket: give -control "
                      "PATH, too");
    if (ret < 0) {
        (void)fprintf(stderr, "signpost dns: %s\n", e.text);
        return 2;
    }
    for (size_t i = 0; list_plugins && plugins[i]; i++)
        (void)printf("dns.%s\n", plugins[i]->name);
    if (version)
        (void)printf("signpost-%s\n", SIGNPOST_VERSION);
    if (list_plugins || version)
        return 0;
    mem_reserve();
    accept_init();
    ret = guard_begin(&guard, pidfile, &e);
    if (ret == 0)
        ret = serve(&e);
    if (ret < 0)
        (void)fprintf(stderr, "%s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_dns = {
    .name = "dns",
    .also = "coredns",
    .args = "",
    .summary = "The cluster DNS server: answers for Services, endpoints and pods.",
    .details =
        "Serves the blocks of a Corefile. Objects come from a folder of manifests "
        "(`manifests DIR` in the kubernetes block), which is watched.\n\n"
        "SIGTERM and SIGINT end it, after the lameduck time of `health`. SIGUSR1 and "
        "SIGHUP make it read its Corefile again. -takeover starts a process that follows the "
        "one at the control socket without losing a query. `signpost dns why NAME` asks the "
        "running server why a name gets its answer.",
    .run = run,
};
