/* `signpost up`: registry, controllers, DNS and service proxy of one machine in one process.
 *
 * One loop, on the control thread, has all of them; the store that the registry feeds is what DNS,
 * proxy and controllers read. DNS workers and pages have their threads, as everywhere. */
#include "base/log.h"
#include "base/mem.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "cmd/dns_process.h"
#include "cmd/proxy_process.h"
#include "cmd/registry_process.h"
#include "cmd/up_corefile.h"
#include "loop/loop.h"
#include "loop/notify.h"
#include "net/accept.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>

static const char *const loopback[] = { "127.0.0.1" };

static int read_corefile(void *ctx, struct corefile **ret, struct err *e);

/* All live as long as the process: metrics are read to its end. */
static struct registry_process registry = REGISTRY_DEFAULTS;
static struct proxy_process proxy;
static struct dns_process dns = { .port = 53, .corefile = read_corefile, .ctx = &dns };
static struct up_corefile built_in = { .domain = "cluster.local",
                                       .forward = "/etc/resolv.conf",
                                       .metrics = "127.0.0.1:9153" };
static bool with_dns = true, with_proxy = true, quiet;
static const char *conf;
static long verbosity;

static const struct flag flags[] = {
    REGISTRY_FLAGS(registry),
    { "dns", FLAG_BOOL, &with_dns, NULL, "Serve DNS (default true)." },
    { "conf", FLAG_STRING, &conf, "FILE",
      "Corefile to serve; a kubernetes block that names no other source has this process's "
      "objects." },
    { "dns-address", FLAG_LIST, &built_in.addresses, "IP",
      "Without -conf: where DNS is served (default 127.0.0.1)." },
    { "cluster-domain", FLAG_STRING, &built_in.domain, "NAME",
      "Without -conf: the zone of Services and Pods (default cluster.local)." },
    { "forward", FLAG_STRING, &built_in.forward, "TO,...",
      "Without -conf: who is asked for other names, addresses or a file (default "
      "/etc/resolv.conf); empty: nobody." },
    { "dns-metrics", FLAG_STRING, &built_in.metrics, "IP:PORT",
      "Without -conf: where DNS has its /metrics (default 127.0.0.1:9153); empty: nowhere." },
    DNS_PART_FLAGS(dns),
    { "proxy", FLAG_BOOL, &with_proxy, NULL,
      "Keep the kernel's rules for Services (default true)." },
    PROXY_PART_FLAGS(proxy.options),
    { "quiet", FLAG_BOOL, &quiet, NULL, "Do not print at the start what is where." },
    { "v", FLAG_INT, &verbosity, "N", "2 and above: more is logged." },
};

/* ---- options ---- */

static int read_corefile(void *ctx, struct corefile **ret, struct err *e)
{
    const struct dns_process *p = ctx;
    return conf ? command_corefile(conf, (uint16_t)p->port, ret, e)
                : up_corefile_read(&built_in, (uint16_t)p->port, ret, e);
}

/* What is said twice, or to nobody. */
static int check_dns(struct err *e)
{
    bool own = built_in.addresses.n > 0;
    if (conf && own)
        return err_set(e, ERR_INVALID,
                       "--dns-address: not with -conf: that Corefile says where (bind)");
    if (!with_dns && (conf || own || dns.pidfile))
        return err_set(e, ERR_INVALID, "-conf, --dns-address and -pidfile: not with --dns=false");
    if (!own)
        built_in.addresses = (struct flag_list){ (const char **)loopback, ARRAY_SIZE(loopback) };
    int code = dns_process_check(&dns, e);
    return code < 0 || conf ? code : up_corefile_check(&built_in, e);
}

/* Without the right every write would fail, again and again. Any question needs it, too. */
static int check_rights(struct err *e)
{
    const struct nft_backend *b = nft_program();
    size_t rules;
    int code = with_proxy ? b->count_rules(b->ctx, 4, "signpost", &rules) : 0;
    return code == -EPERM
               ? err_set(e, code,
                         "the service proxy needs the right to write the kernel's rules (root, or "
                         "CAP_NET_ADMIN): leave it off with --proxy=false")
               : 0;
}

static int check(struct err *e)
{
    int code = registry_process_check(&registry, e);
    if (code == 0)
        code = check_dns(e);
    proxy.options.range = registry.ranges;
    proxy_options_complete(&proxy.options);
    if (code == 0 && with_proxy)
        code = proxy_settings_of(&proxy.options, &proxy.settings, e);
    return code;
}

/* Where nothing but this program runs, it gives up what it does not need, as `signpost dns` does;
 * its files may lie in a folder of another user's. */
static int give_up_rights(struct err *e)
{
    dns.guard.runs_programs = with_proxy;
    dns.guard.capabilities = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_DAC_OVERRIDE;
    if (!registry_process_in_memory(&registry))
        guard_let_write_beside(&dns.guard, registry.data);
    return with_proxy || !with_dns ? 0 : guard_begin(&dns.guard, dns.pidfile, e);
}

/* ---- what is where ---- */

static void tell_api(void)
{
    char ip[IP_TEXT_MAX];
    bool six = registry.ip.family == 6;
    (void)printf("  API        %s://%s%s%s:%u\n", registry.plain ? "http" : "https", six ? "[" : "",
                 registry.ip.family ? ip_text(&registry.ip, ip) : "0.0.0.0", six ? "]" : "",
                 registry.port);
    if (!registry.plain)
        (void)printf("  kubectl    --kubeconfig %s\n", registry.credentials.admin);
    (void)printf("  data       %s\n", registry.data);
    for (size_t i = 0; i < registry.manifests.n; i++)
        (void)printf("  manifests  %s\n", registry.manifests.items[i]);
    (void)printf("  endpoints  %s\n",
                 controller_options_any(&registry.options) ? "made here" : "made by others");
}

static void tell_dns(void)
{
    if (!with_dns)
        (void)printf("  DNS        off\n");
    else if (conf)
        (void)printf("  DNS        as %s says\n", conf);
    for (size_t i = 0; with_dns && !conf && i < built_in.addresses.n; i++)
        (void)printf("  DNS        %s port %ld, zone %s\n", built_in.addresses.items[i], dns.port,
                     built_in.domain);
}

static void tell(void)
{
    if (quiet)
        return;
    (void)printf("signpost %s is up\n", SIGNPOST_VERSION);
    tell_api();
    tell_dns();
    if (with_proxy)
        (void)printf("  proxy      %s, on node %s\n", proxy_mode_names[proxy.settings.mode],
                     proxy.settings.node_name);
    else
        (void)printf("  proxy      off\n");
    (void)fflush(stdout);
}

/* ---- life ---- */

static void on_signal(uv_signal_t *s, int number)
{
    (void)number;
    uv_stop(s->loop);
}

/* With DNS it is DNS that hears of signals, as it has its lameduck time to wait for. */
static void watch_signals(uv_loop_t *loop)
{
    static uv_signal_t handles[2];
    static const int numbers[] = { SIGTERM, SIGINT };
    for (size_t i = 0; i < ARRAY_SIZE(handles); i++) {
        uv_signal_init(loop, &handles[i]);
        uv_signal_start(&handles[i], on_signal, numbers[i]);
    }
}

/* 1: a signal has ended it. */
static int open_all(uv_loop_t *loop, struct err *e)
{
    int code = registry_process_open(&registry, loop, e);
    if (code < 0)
        return code;
    registry_process_announce(&registry);
    dns.clusters.local = proxy.shared = registry.cluster;
    if (with_dns)
        code = dns_process_open(&dns, loop, e);
    else
        watch_signals(loop);
    if (code == 0 && with_proxy)
        code = proxy_process_open(&proxy, loop, e);
    if (code == 0 && with_proxy)
        proxy_process_serve(&proxy);
    return code;
}

/* Those who ask first, then what they ask. */
static void close_all(uv_loop_t *loop)
{
    if (dns.loop)
        dns_process_close(&dns);
    if (proxy.loop)
        proxy_process_close(&proxy);
    registry_process_close(&registry);
    uv_run(loop, UV_RUN_NOWAIT);
    loop_done(loop);
    if (dns.loop)
        dns_process_free(&dns);
    if (proxy.loop)
        proxy_process_free(&proxy);
}

static int work(struct err *e)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    int code = open_all(&loop, e);
    if (code == 0) {
        tell();
        notify_ready();
        uv_run(&loop, UV_RUN_DEFAULT); /* at once over if it was stopped already */
        notify_stopping();
    }
    close_all(&loop);
    if (code == 0 && proxy.failed)
        code = err_set(e, ERR_INVALID, "ended because of the error above");
    return code;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0;
    proxy_options_defaults(&proxy.options);
    int code = flags_parse(&cmd_up, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (code > 0)
        return 0;
    log_set_fd(2);
    log_set_level(verbosity >= 2 ? LOG_DEBUG : LOG_INFO);
    dns.quiet = dns.is_part = registry.shares = true;
    if (code == 0 && left)
        code = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (code == 0)
        code = check(&e);
    if (code < 0) {
        (void)fprintf(stderr, "signpost up: %s\n", e.text);
        return 2;
    }
    accept_init();
    mem_reserve();
    code = check_rights(&e);
    if (code == 0)
        code = give_up_rights(&e);
    if (code == 0)
        code = work(&e);
    if (code < 0)
        (void)fprintf(stderr, "signpost up: %s\n", e.text);
    return code < 0;
}

const struct command cmd_up = {
    .name = "up",
    .args = "",
    .summary = "Registry, controllers, DNS and service proxy of one machine in one process.",
    .details =
        "The parts of `signpost registry`, `signpost dns` and `signpost proxy` on one set of "
        "objects: what kubectl applies, or what --manifests names, is answered by DNS and written "
        "as rules at once, with no API server asked in between.\n\n"
        "Without -conf DNS answers for the cluster's zone and passes other names on. The proxy "
        "takes the right to write nftables rules; --proxy=false and --dns=false leave parts "
        "off.\n\n"
        "SIGTERM and SIGINT end it, after DNS's lameduck time if its Corefile has one; rules stay "
        "and go on working, and `signpost proxy --cleanup` removes them. SIGUSR1 and SIGHUP make "
        "it read its Corefile again.",
    .run = run,
};
