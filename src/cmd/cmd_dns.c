/* `signpost dns`: the cluster DNS server, with the flags of the reference. */
#include "base/log.h"
#include "base/metric.h"
#include "cmd/cluster.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "dns/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

static const char *conf, *pidfile;
static long port = 53, workers;
static bool quiet, list_plugins, version;

static const struct flag flags[] = {
    { "conf", FLAG_STRING, &conf, "FILE", "Corefile to load (default \"Corefile\"); stdin reads it "
                                          "from standard input." },
    { "dns.port", FLAG_INT, &port, "PORT", "Port of server blocks that name none (default 53)." },
    { "p", FLAG_INT, &port, "PORT", "The same as -dns.port." },
    { "pidfile", FLAG_STRING, &pidfile, "FILE", "Write the process id there once serving." },
    { "plugins", FLAG_BOOL, &list_plugins, NULL, "List the plugins and exit." },
    { "quiet", FLAG_BOOL, &quiet, NULL, "Do not print zones and version at the start." },
    { "version", FLAG_BOOL, &version, NULL, "Print the version and exit." },
    { "workers", FLAG_INT, &workers, "N", "Worker threads (default: one a usable core)." },
};

struct run {
    uv_loop_t loop;
    uv_signal_t term, interrupt;
    struct corefile *corefile;
    struct dns_server *server;
    struct cluster *clusters[64];
    unsigned n_clusters;
};

static int open_source(void *ctx, const char *const *dirs, size_t n, const char *range,
                       struct store **ret, struct err *e)
{
    struct run *r = ctx;
    if (r->n_clusters == ARRAY_SIZE(r->clusters))
        return err_set(e, ERR_LIMIT, "more than %zu sources of objects", ARRAY_SIZE(r->clusters));
    int code = cluster_get(&r->loop, dirs, n, range, &r->clusters[r->n_clusters], e);
    if (code < 0)
        return code;
    *ret = cluster_store(r->clusters[r->n_clusters++]);
    return 0;
}

static int write_pidfile(struct err *e)
{
    FILE *f = fopen(pidfile, "we");
    if (!f)
        return err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno));
    (void)fprintf(f, "%d\n", (int)getpid());
    return fclose(f) ? err_set(e, -errno, "pidfile %s: %s", pidfile, strerror(errno)) : 0;
}

static void on_signal(uv_signal_t *s, int number)
{
    log_info("%s: Shutting down", number == SIGTERM ? "SIGTERM" : "SIGINT");
    uv_stop(s->loop);
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
    struct dns_options options = { .workers = (unsigned)workers, .loop = &r->loop,
                                   .open_source = open_source, .ctx = r };
    int ret = command_corefile(conf, (uint16_t)port, &r->corefile, e);
    if (ret == 0)
        ret = dns_server_new(r->corefile, &options, &r->server, e);
    if (ret == 0 && !quiet)
        print_start(r);
    if (ret == 0)
        ret = dns_server_start(r->server, e);
    if (ret == 0 && pidfile)
        ret = write_pidfile(e);
    return ret;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static void finish(struct run *r)
{
    dns_server_free(r->server);
    for (unsigned i = 0; i < r->n_clusters; i++)
        cluster_close(r->clusters[i]);
    corefile_free(r->corefile);
    uv_walk(&r->loop, close_handle, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    if (pidfile)
        (void)unlink(pidfile);
}

static int serve(struct err *e)
{
    struct run r = { 0 };
    uv_loop_init(&r.loop);
    uv_signal_init(&r.loop, &r.term);
    uv_signal_init(&r.loop, &r.interrupt);
    uv_signal_start(&r.term, on_signal, SIGTERM);
    uv_signal_start(&r.interrupt, on_signal, SIGINT);
    int ret = start(&r, e);
    if (ret == 0)
        uv_run(&r.loop, UV_RUN_DEFAULT);
    finish(&r);
    return ret;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0, ret = flags_parse(&cmd_dns, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "extra command line arguments: [%s]", argv[0]);
    if (ret == 0 && (port < 1 || port > 65535))
        ret = err_set(&e, ERR_INVALID, "-dns.port %ld: a port is 1 to 65535", port);
    if (ret == 0 && (workers < 0 || workers > WORKERS_MAX))
        ret = err_set(&e, ERR_INVALID, "-workers %ld: 0 to %d", workers, WORKERS_MAX);
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
    .details = "Serves the blocks of a Corefile. Objects come from a folder of manifests "
               "(`manifests DIR` in the kubernetes block), which is watched.\n\n"
               "SIGTERM and SIGINT end it, after the lameduck time of `health`.",
    .run = run,
};
