/* `signpost cache`: the node-local DNS cache, with the flags of the original. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "cmd/commands.h"
#include "cmd/corefile.h"
#include "cmd/dns_process.h"
#include "net/http.h"
#include "node/addresses.h"
#include "node/rules.h"
#include "node/template.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdatomic.h>
#include <string.h>

#define LOOK_MS        2000 /* between looks at the template and the ConfigMap */
#define BASE_MAX       (1024 * 1024)
#define KUBE_DNS_CM    "/etc/kube-dns"
#define SYNC_DEFAULT   60000000000LL
#define SYNC_AS_NUMBER 1000 /* ns; the original takes so small a duration for seconds */

static const char *conf = "/etc/Corefile", *base = "/etc/coredns/Corefile.base", *kube_dns_cm,
                  *upstream_service = "kube-dns", *metrics_address = "0.0.0.0:9353",
                  *interface = "nodelocaldns", *rules_flag = "nft";
static struct flag_list local_ips;
static bool setup_interface = true, setup_rules = true, skip_teardown, reload_with_signal;
static long health_port = 8080;
static long long sync_interval = SYNC_DEFAULT;

enum failure { FAIL_IPTABLES, FAIL_LOCK, FAIL_ADD, FAIL_CHECK, FAIL_CONFIGMAP, FAILURES };
static const char *const failure_names[FAILURES] = { "iptables", "iptables_lock", "interface_add",
                                                     "interface_check", "configmap" };

struct node_cache {
    struct ip ips[NODE_IPS_MAX];
    size_t n_ips;
    struct strbuf local;    /* the addresses with blanks between them */
    struct strbuf env_name; /* of the variable that has the cluster DNS's address */
    struct strbuf env_why;
    char *tried;       /* the Corefile that was served or tried last */
    char *refused;     /* the error that was told last */
    char *passed_over; /* the keys of the ConfigMap that were told last */
    struct node_addresses addresses;
    struct node_rules rules;
    struct http_server *metrics;
    atomic_uint failed[FAILURES]; /* read by the thread that serves metrics */
    uv_timer_t look, sync;
};

static struct node_cache cache;

static int read_corefile(void *ctx, struct corefile **ret, struct err *e);
static int serving(void *ctx, uv_loop_t *loop, struct err *e);
static void ending(void *ctx, bool is_taken);

static struct dns_process process = {
    .port = 53,
    .guard.capabilities = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_NET_ADMIN,
    .corefile = read_corefile,
    .serving = serving,
    .ending = ending,
    .ctx = &cache,
};

static const struct flag flags[] = {
    { "localip", FLAG_LIST, &local_ips, "IP,...",
      "Addresses to listen on, of one family: a link-local one, and the cluster DNS's own." },
    { "conf", FLAG_STRING, &conf, "FILE",
      "Where the Corefile is written that is made from the template (default /etc/Corefile); "
      "without a template it is read." },
    { "corefile", FLAG_STRING, &conf, "FILE", "The same as -conf." },
    { "basecorefile", FLAG_STRING, &base, "FILE",
      "Template of the Corefile (default /etc/coredns/Corefile.base)." },
    { "kubednscm", FLAG_STRING, &kube_dns_cm, "DIR",
      "The ConfigMap kube-dns with stub domains and upstreams (default " KUBE_DNS_CM
      " if it is there)." },
    { "upstreamsvc", FLAG_STRING, &upstream_service, "NAME",
      "Service that leads to the cluster DNS; its address comes from NAME_SERVICE_HOST (default "
      "kube-dns)." },
    { "setupinterface", FLAG_BOOL, &setup_interface, NULL,
      "Put the addresses on a link (default true)." },
    { "interfacename", FLAG_STRING, &interface, "NAME",
      "Name of that link (default nodelocaldns), or lo; it is lo where the kernel has no dummy "
      "links." },
    { "setupiptables", FLAG_BOOL, &setup_rules, NULL,
      "Keep queries to the addresses away from the service proxy (default true)." },
    { "rules", FLAG_STRING, &rules_flag, "KIND",
      "By which rules: nft, which end with this process however it ends, or iptables (default "
      "nft)." },
    { "syncinterval", FLAG_DURATION, &sync_interval, "DURATION",
      "How often addresses and rules are looked at (default 60s)." },
    { "health-port", FLAG_INT, &health_port, "PORT",
      "Port of the health page, not tracked either (default 8080)." },
    { "metrics-listen-address", FLAG_STRING, &metrics_address, "ADDRESS",
      "Where /metrics of the node cache's own is served (default 0.0.0.0:9353)." },
    { "skipteardown", FLAG_BOOL, &skip_teardown, NULL, "Leave addresses and rules at the end." },
    { "reloadwithsignal", FLAG_BOOL, &reload_with_signal, NULL,
      "Taken for the original's sake: a changed template is served at once in any case." },
    DNS_PROCESS_FLAGS(process),
    GUARD_FLAGS(process.guard),
};

static void failed(enum failure what, const struct err *e)
{
    atomic_fetch_add(&cache.failed[what], 1);
    log_error("%s", e->text);
}

/* ---- the Corefile ---- */

static bool has_template(void)
{
    return access(base, F_OK) == 0;
}

static int render(struct strbuf *out, struct err *e)
{
    cleanup_free char *text = NULL;
    cleanup(settings_done) struct node_settings settings = { 0 };
    size_t len;
    const char *file = has_template() ? base : conf, *cluster = getenv(cache.env_name.p);
    int ret = settings_read(kube_dns_cm, &settings, e);
    if (ret == 0)
        ret = file_load(file, BASE_MAX, &text, &len, e);
    if (ret < 0)
        return ret;
    struct ip ip;
    if (cluster && ip_parse(cluster, &ip) < 0)
        return err_set(e, ERR_INVALID, "%s=%s: this is no IP address", cache.env_name.p, cluster);
    if (settings.passed_over && !str_eq(cache.passed_over, settings.passed_over)) {
        log_info("%s: not for the node cache: %s", kube_dns_cm, settings.passed_over);
        free(cache.passed_over);
        cache.passed_over = xstrdup(settings.passed_over);
    }
    const struct template_values v = { .local = cache.local.p,
                                       .cluster = cluster,
                                       .cluster_why = cache.env_why.p,
                                       .port = (uint16_t)process.port,
                                       .settings = &settings };
    return template_render(text, len, file, &v, out, e);
}

/* For people to read, and for tools that expect it; what is served does not depend on it. */
static void write_corefile(const struct strbuf *text)
{
    cleanup(strbuf_done) struct strbuf fresh = { 0 };
    strbuf_printf(&fresh, "%s.new", conf);
    cleanup_fclose FILE *f = fopen(fresh.p, "we");
    bool written = f && fwrite(text->p, 1, text->len, f) == text->len && fflush(f) == 0;
    if (!written || rename(fresh.p, conf) < 0)
        log_warning("%s cannot be written: %s", conf, strerror(errno));
}

static int read_corefile(void *ctx, struct corefile **ret, struct err *e)
{
    struct node_cache *c = ctx;
    cleanup(strbuf_done) struct strbuf text = { 0 };
    struct corefile_options options;
    command_corefile_options(&options, (uint16_t)process.port);
    int code = render(&text, e);
    if (code < 0)
        return code;
    bool is_new = !str_eq(c->tried, text.p ? text.p : "");
    if (is_new && has_template())
        write_corefile(&text);
    code = corefile_parse(text.p ? text.p : "", text.len, conf, &options, ret, e);
    free(c->tried);
    c->tried = text.p ? strbuf_steal(&text) : xstrdup("");
    return code;
}

/* What is wrong is told once, and the old Corefile goes on serving. */
static void look(struct node_cache *c)
{
    struct err e = { 0 };
    cleanup(strbuf_done) struct strbuf text = { 0 };
    if (render(&text, &e) < 0) {
        if (!str_eq(c->refused, e.text))
            failed(FAIL_CONFIGMAP, &e);
        free(c->refused);
        c->refused = xstrdup(e.text);
        return;
    }
    free(c->refused);
    c->refused = NULL;
    if (!str_eq(c->tried, text.p ? text.p : ""))
        dns_process_look(&process);
}

static void on_look(uv_timer_t *t)
{
    look(t->data);
}

/* ---- addresses and rules ---- */

static void ensure(struct node_cache *c)
{
    struct err e = { 0 };
    int ret = setup_interface ? addresses_ensure(&c->addresses, true, &e) : 0;
    if (ret < 0)
        failed(FAIL_CHECK, &e);
    else if (ret > 0)
        log_info("Link and addresses of the node cache were made anew: %d", ret);
    ret = setup_rules ? rules_ensure(&c->rules, &e) : 0;
    if (ret < 0)
        failed(strstr(e.text, "xtables lock") ? FAIL_LOCK : FAIL_IPTABLES, &e);
    else if (ret > 0)
        log_info("Rules of the node cache made: %d", ret);
}

static void on_sync(uv_timer_t *t)
{
    ensure(t->data);
}

/* Without rules queries go the normal way, so that failing to make them ends nothing. */
static int serving(void *ctx, uv_loop_t *loop, struct err *e)
{
    struct node_cache *c = ctx;
    uint64_t ms = (uint64_t)(sync_interval / 1000000);
    (void)e;
    ensure(c);
    uv_timer_init(loop, &c->look);
    uv_timer_init(loop, &c->sync);
    c->look.data = c->sync.data = c;
    uv_timer_start(&c->look, on_look, LOOK_MS, LOOK_MS);
    return uv_timer_start(&c->sync, on_sync, ms, ms);
}

/* Rules first: from then on queries go to the cluster DNS, while what is under way ends here. A
 * successor has nftables rules of its own, and shares all else. */
static void ending(void *ctx, bool is_taken)
{
    struct node_cache *c = ctx;
    uv_timer_stop(&c->look);
    uv_timer_stop(&c->sync);
    if (is_taken ? c->rules.kind == RULES_NFT : !skip_teardown)
        rules_remove(&c->rules);
    skip_teardown |= is_taken;
}

/* ---- start ---- */

static int read_ips(struct err *e)
{
    for (size_t i = 0; i < local_ips.n; i++) {
        struct ip *ip = &cache.ips[cache.n_ips];
        if (cache.n_ips == NODE_IPS_MAX)
            return err_set(e, ERR_LIMIT, "-localip: at most %d addresses", NODE_IPS_MAX);
        if (ip_parse(local_ips.items[i], ip) < 0)
            return err_set(e, ERR_INVALID, "-localip: %s is no IP address", local_ips.items[i]);
        if (ip->family != cache.ips[0].family)
            return err_set(e, ERR_INVALID, "-localip: %s is of another family than %s",
                           local_ips.items[i], local_ips.items[0]);
        strbuf_printf(&cache.local, "%s%s", i ? " " : "", local_ips.items[i]);
        cache.n_ips++;
    }
    return cache.n_ips ? 0 : err_set(e, ERR_INVALID, "-localip is needed: give IP,IP");
}

static int read_rules(struct err *e)
{
    if (!str_eq(rules_flag, "nft") && !str_eq(rules_flag, "iptables"))
        return err_set(e, ERR_INVALID, "-rules %s: nft or iptables", rules_flag);
    cache.rules = (struct node_rules){
        .kind = str_eq(rules_flag, "nft") ? RULES_NFT : RULES_IPTABLES,
        .ips = cache.ips,
        .n_ips = cache.n_ips,
        .port = (uint16_t)process.port,
        .health_port = (uint16_t)health_port,
    };
    cache.addresses = (struct node_addresses){
        .link = interface, .ips = cache.ips, .n_ips = cache.n_ips, .on_lo = str_eq(interface, "lo")
    };
    if (cache.rules.kind != RULES_IPTABLES || !setup_rules)
        return 0;
    process.guard.runs_programs = true;
    process.guard.capabilities |= 1ULL << CAP_NET_RAW; /* for iptables-legacy */
    return process.guard.user ? err_set(e, ERR_INVALID,
                                        "-rules iptables: not with -user: only "
                                        "root can run iptables")
                              : 0;
}

static int check_numbers(struct err *e)
{
    if (health_port < 1 || health_port > 65535)
        return err_set(e, ERR_INVALID, "-health-port %ld: a port is 1 to 65535", health_port);
    if (sync_interval > 0 && sync_interval < SYNC_AS_NUMBER)
        sync_interval *= 1000000000LL;
    if (sync_interval < 1000000000LL)
        return err_set(e, ERR_INVALID, "-syncinterval: at least 1s");
    return dns_process_check(&process, e);
}

/* As the kubelet names the variables of Services. */
static void name_variable(void)
{
    for (const char *c = upstream_service; *c; c++)
        strbuf_putc(&cache.env_name, *c == '-' ? '_' : (char)toupper((unsigned char)*c));
    strbuf_puts(&cache.env_name, "_SERVICE_HOST");
    strbuf_printf(&cache.env_why,
                  "%s is not set: is there a Service %s in this pod's namespace, and was the pod "
                  "made after it?",
                  cache.env_name.p, upstream_service);
    if (!kube_dns_cm && access(KUBE_DNS_CM, F_OK) == 0)
        kube_dns_cm = KUBE_DNS_CM;
}

static void show_metrics(void *ctx, const char *path, struct http_reply *reply)
{
    (void)ctx;
    reply->status = str_eq(path, "/metrics") ? 200 : 404;
    if (reply->status == 200)
        metric_print(&reply->body);
}

static double read_failed(void *ctx)
{
    return atomic_load((atomic_uint *)ctx);
}

/* All of them from the start, as monitoring wants to see zeros. */
static int open_metrics(struct err *e)
{
    for (int i = 0; i < FAILURES; i++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "errortype=\"%s\"", failure_names[i]);
        metric_counter_read("coredns_nodecache_setup_errors_total",
                            "Failures of the node cache's own set-up.", labels, read_failed,
                            &cache.failed[i]);
    }
    return http_server_open(metrics_address, show_metrics, NULL, &cache.metrics, e);
}

/* Sockets and addresses come before the guard. */
static int set_up_node(struct err *e)
{
    bool inherited = process.takeover && dns_successor_is_there(dns_control_path(process.control));
    int ret = setup_rules ? rules_open(&cache.rules, e) : 0;
    if (ret == 0 && setup_interface)
        ret = addresses_open(&cache.addresses, e);
    if (ret == 0 && setup_interface) {
        ret = addresses_ensure(&cache.addresses, inherited, e);
        if (ret < 0)
            err_wrap(e, "set up the interface, or leave links alone with -setupinterface=false");
    }
    return MIN(ret, 0);
}

static void leave_node(void)
{
    if (setup_interface && !skip_teardown)
        addresses_remove(&cache.addresses);
    addresses_done(&cache.addresses);
    rules_done(&cache.rules);
}

static int serve(struct err *e)
{
    int ret = open_metrics(e);
    if (ret == 0)
        ret = set_up_node(e);
    if (ret == 0 && has_template())
        guard_let_write_beside(&process.guard, conf);
    if (ret == 0)
        ret = dns_process_run(&process, e);
    leave_node();
    http_server_close(cache.metrics);
    return ret;
}

static int run(int argc, char **argv)
{
    struct err e = { 0 };
    int left = 0, ret = flags_parse(&cmd_cache, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (ret > 0)
        return 0;
    if (ret == 0 && left)
        ret = err_set(&e, ERR_INVALID, "extra command line arguments: [%s]", argv[0]);
    if (ret == 0)
        ret = check_numbers(&e);
    if (ret == 0)
        ret = read_ips(&e);
    if (ret == 0)
        ret = read_rules(&e);
    if (ret < 0) {
        (void)fprintf(stderr, "signpost cache: %s\n", e.text);
        return 2;
    }
    name_variable();
    ret = serve(&e);
    if (ret < 0)
        (void)fprintf(stderr, "%s\n", e.text);
    return ret < 0 ? 1 : 0;
}

const struct command cmd_cache = {
    .name = "cache",
    .also = "node-cache",
    .args = "",
    .summary = "The node-local DNS cache: pods ask on their own node.",
    .details =
        "Makes its Corefile from a template and the ConfigMap kube-dns, listens on a link-local "
        "address and on the cluster DNS's own, and keeps the service proxy's rules away from "
        "them. A changed template or ConfigMap is served at once; a wrong one leaves the old "
        "one serving.\n\n"
        "Its rules end with the process, even when it is killed: queries then take the normal "
        "way to the cluster DNS. SIGTERM and SIGINT end it; SIGUSR1 and SIGHUP make it read its "
        "configuration again; -takeover follows a running process without losing a query.",
    .run = run,
};
