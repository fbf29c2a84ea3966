/* signpost explain: what would happen to a request, from objects alone. */
#include "base/log.h"
#include "base/str.h"
#include "client/textfile.h"
#include "cmd/commands.h"
#include "cmd/explain_dns.h"
#include "cmd/explain_source.h"
#include "cmd/proxy_options.h"
#include "endpoints/cluster_ip.h"
#include "kube/pod.h"
#include "loop/loop.h"

#include <errno.h>
#include <string.h>

#define EXIT_REACHED     0
#define EXIT_NOT_REACHED 1
#define EXIT_TROUBLE     2
#define ARENA_CHUNK      (64 << 10)

struct options {
    struct explain_objects_options objects;
    struct proxy_options proxy;
    const char *proxy_config, *mode, *as, *at, *protocol, *cluster_domain, *host_resolv,
        *host_hosts, *output;
    struct flag_list cluster_dns, outside;
    bool json;
};

struct run {
    uv_loop_t loop;
    struct arena arena;
    struct options options;
    struct proxy_settings settings;
    struct chain_options chains[FAMILIES];
    struct explain_objects objects;
    struct explain_dns *dns;
    struct explain_request request;
    struct pod_dns pod_dns;
    struct ip_prefix ranges[FAMILIES];
};

static void on_warning(void *ctx, const char *text)
{
    (void)ctx;
    log_warning("%s", text);
}

/* ---- what was asked for */

static int read_protocol(const char *text, enum protocol *ret, struct err *e)
{
    static const char *const names[] = { "tcp", "udp", "sctp" };
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = (enum protocol)i;
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "--protocol %s: give tcp, udp or sctp", text);
}

static int check(const struct options *o, struct err *e)
{
    bool server = o->objects.kubeconfig || o->objects.master;
    if (!str_eq(o->output, "text") && !str_eq(o->output, "json"))
        return err_set(e, ERR_INVALID, "--output %s: give text or json", o->output);
    if (o->objects.manifests.n && server)
        return err_set(e, ERR_INVALID, "--manifests and an API server exclude each other");
    for (size_t i = 0; i < o->outside.n; i++)
        if (!strchr(o->outside.items[i], '='))
            return err_set(e, ERR_INVALID, "--outside %s: give NAME=ADDRESS", o->outside.items[i]);
    for (size_t i = 0; i < o->cluster_dns.n; i++) {
        struct ip ip;
        if (ip_parse(o->cluster_dns.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--cluster-dns %s: not an IP address",
                           o->cluster_dns.items[i]);
    }
    return 0;
}

/* Ranges of cluster IPs, as the proxy knows them: as told, or those of a folder's allocator. */
static void find_ranges(struct run *r)
{
    static const char *const own[] = { CLUSTER_IP_DEFAULT_V4, CLUSTER_IP_DEFAULT_V6 };
    const struct proxy_settings *s = &r->settings;
    size_t n = 0;
    for (; n < s->n_service_ranges; n++)
        r->ranges[n] = s->service_ranges[n];
    if (n == 0 && r->objects.from_folder)
        for (; n < ARRAY_SIZE(own); n++)
            if (ip_prefix_parse(own[n], &r->ranges[n]) < 0)
                abort();
    r->request.ranges = r->ranges;
    r->request.n_ranges = n;
}

static int read_proxy(struct run *r, struct err *e)
{
    struct options *o = &r->options;
    int rc = 0;
    if (o->proxy_config)
        rc = proxy_config_read(o->proxy_config, &o->proxy, on_warning, e);
    o->proxy.range = o->objects.range;
    if (o->mode)
        o->proxy.mode = o->mode;
    proxy_options_complete(&o->proxy);
    if (rc == 0)
        rc = proxy_settings_of(&o->proxy, &r->settings, e);
    for (unsigned f = 0; f < FAMILIES && rc == 0; f++) {
        r->request.rules[f] = r->settings.rules[f];
        if (r->settings.pod_cidrs_of_node)
            r->request.rules[f].local_mode = LOCAL_CIDR;
    }
    proxy_settings_chains(&r->settings, r->chains);
    for (unsigned f = 0; f < FAMILIES; f++)
        r->chains[f].drop_invalid = true;
    r->request.chains = r->settings.mode == MODE_IPTABLES ? r->chains : NULL;
    return rc;
}

static int read_files(struct run *r, struct err *e)
{
    const struct options *o = &r->options;
    struct explain_request *q = &r->request;
    int rc = 0;
    if (o->host_resolv)
        rc =
            textfile_read(o->host_resolv, HOST_RESOLVCONF_MAX, &r->arena, &q->host_resolv, NULL, e);
    if (rc == 0 && o->host_hosts)
        rc = textfile_read(o->host_hosts, HOST_RESOLVCONF_MAX, &r->arena, &q->node_hosts, NULL, e);
    for (size_t i = 0; i < o->cluster_dns.n; i++)
        strlist_add(&q->cluster_dns, &r->arena, o->cluster_dns.items[i]);
    return rc;
}

/* ---- the Pod that asks */

struct match {
    const char *ns, *name;
    const struct object *found;
};

static void match_pod(void *ctx, const struct object *o)
{
    struct match *m = ctx;
    if (strcmp(o->meta.name, m->name) == 0 && (!m->ns || strcmp(o->meta.namespace, m->ns) == 0))
        m->found = o;
}

/* Who it is in the end, explain/ decides; several of one name are told there. */
static int read_pod(struct run *r, struct err *e)
{
    const char *from = r->request.from, *slash = strchr(from, '/');
    struct match m = { .name = slash ? slash + 1 : from };
    bool known = false;
    if (slash)
        m.ns = arena_strndup(&r->arena, from, (size_t)(slash - from));
    store_each(r->request.store, KIND_POD, NULL, match_pod, &m);
    if (!m.found)
        return 0;
    int rc = explain_pod_dns(&r->objects, m.found->meta.namespace, m.found->meta.name, &r->arena,
                             &r->pod_dns, &known, e);
    r->request.pod_dns = known ? &r->pod_dns : NULL;
    return rc;
}

/* ---- */

static int show(struct run *r, const struct explain_report *report, struct err *e)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (str_eq(r->options.output, "json")) {
        explain_json(report, &b);
        (void)fwrite(b.p, 1, b.len, stdout);
    } else {
        explain_print(report, stdout);
    }
    if (fflush(stdout) != 0)
        return err_set(e, -errno, "cannot write: %s", strerror(errno));
    return report->reachable ? EXIT_REACHED : EXIT_NOT_REACHED;
}

static int explain(struct run *r, struct err *e)
{
    struct explain_report report;
    int rc = explain_objects_open(&r->loop, &r->options.objects, &r->objects, e);
    if (rc < 0)
        return rc;
    find_ranges(r);
    r->request.store = cluster_store(r->objects.cluster);
    r->request.assumed_status = r->objects.assumed_status;
    rc = read_pod(r, e);
    if (rc == 0)
        rc = explain_dns_open(&r->loop, r->request.store, r->request.cluster_domain,
                              &r->options.outside, &r->dns, e);
    r->request.ask = explain_dns_ask;
    r->request.ctx = r->dns;
    if (rc == 0)
        rc = explain_build(&r->request, &r->arena, &report, e);
    if (rc == 0) {
        rc = show(r, &report, e);
        explain_done(&report);
    }
    return rc;
}

static int work(struct run *r, struct err *e)
{
    int rc = check(&r->options, e);
    if (rc == 0)
        rc = read_protocol(r->options.protocol, &r->request.protocol, e);
    if (rc == 0)
        rc = way_from_text(r->options.as, &r->request.way, e);
    if (rc == 0)
        rc = read_proxy(r, e);
    if (rc == 0)
        rc = read_files(r, e);
    if (rc < 0)
        return rc;
    r->request.at = r->options.at;
    r->request.cluster_domain = r->options.cluster_domain;
    uv_loop_init(&r->loop);
    rc = explain(r, e);
    explain_dns_close(r->dns);
    explain_objects_close(&r->objects);
    loop_done(&r->loop);
    return rc;
}

static int run(int argc, char **argv)
{
    struct run r = { .options = { .as = "glibc",
                                  .protocol = "tcp",
                                  .cluster_domain = "cluster.local",
                                  .output = "text" } };
    struct options *o = &r.options;
    proxy_options_defaults(&o->proxy);
    const struct flag flags[] = {
        { "manifests", FLAG_LIST, &o->objects.manifests, "DIR",
          "Folder with manifests to look at in place of an API server; repeatable." },
        { "kubeconfig", FLAG_STRING, &o->objects.kubeconfig, "FILE",
          "Kubeconfig of the API server to look at; without it and --master the cluster's own." },
        { "context", FLAG_STRING, &o->objects.context, "NAME", "Its context to use." },
        { "master", FLAG_STRING, &o->objects.master, "URL",
          "The API server's URL, whatever the kubeconfig says." },
        { "protocol", FLAG_STRING, &o->protocol, "tcp|udp|sctp", "What is sent (default tcp)." },
        { "as", FLAG_STRING, &o->as, "NAME",
          "Whose ways the look-up follows, as in `lookup --as` (default glibc)." },
        { "at", FLAG_STRING, &o->at, "NODE",
          "Node at which a request from outside of the cluster arrives." },
        { "cluster-domain", FLAG_STRING, &o->cluster_domain, "DOMAIN",
          "kubelet's clusterDomain (default cluster.local)." },
        { "cluster-dns", FLAG_LIST, &o->cluster_dns, "IP",
          "kubelet's clusterDNS (default: the Service kube-system/kube-dns)." },
        { "host-resolv", FLAG_STRING, &o->host_resolv, "FILE",
          "The node's resolv.conf: its search list, and all for pods with dnsPolicy Default." },
        { "host-hosts", FLAG_STRING, &o->host_hosts, "FILE",
          "The node's hosts file, for pods on the host network." },
        { "outside", FLAG_LIST, &o->outside, "NAME=IP",
          "What the world's DNS says, *.NAME=IP for all names below; others do not exist then." },
        { "proxy-config", FLAG_STRING, &o->proxy_config, "FILE",
          "KubeProxyConfiguration of the nodes' proxies." },
        { "proxy-mode", FLAG_STRING, &o->mode, "MODE",
          "The proxies' --proxy-mode: nftables (default) or iptables." },
        { "cluster-cidr", FLAG_LIST, &o->proxy.cluster_cidr, "CIDR",
          "The proxies' --cluster-cidr: addresses of pods." },
        { "detect-local-mode", FLAG_STRING, &o->proxy.detect_local, "MODE",
          "The proxies' --detect-local-mode." },
        { "masquerade-all", FLAG_BOOL, &o->proxy.masquerade_all, NULL,
          "The proxies' --masquerade-all." },
        { "service-cluster-ip-range", FLAG_STRING, &o->objects.range, "CIDR[,CIDR]",
          "Where cluster IPs come from." },
        { "output", FLAG_STRING, &o->output, "text|json", "How to print." },
    };
    struct err e = { 0 };
    int left = 0;
    log_set_fd(2);
    log_set_level(LOG_WARNING);
    int rc = flags_parse(&cmd_explain, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return EXIT_REACHED;
    if (rc == 0 && left != 2)
        rc = err_set(&e, ERR_INVALID, "give FROM and TO[:PORT]");
    arena_init(&r.arena, ARENA_CHUNK);
    r.request.from = rc == 0 ? argv[0] : NULL;
    r.request.to = rc == 0 ? argv[1] : NULL;
    if (rc == 0)
        rc = work(&r, &e);
    arena_done(&r.arena);
    flag_list_done(&o->objects.manifests);
    flag_list_done(&o->cluster_dns);
    flag_list_done(&o->outside);
    flag_list_done(&o->proxy.cluster_cidr);
    if (rc < 0)
        (void)fprintf(stderr, "signpost explain: %s\n", e.text);
    return rc < 0 ? EXIT_TROUBLE : rc;
}

const struct command cmd_explain = {
    .name = "explain",
    .args = "FROM TO[:PORT]",
    .summary = "say what would happen to a request, from objects alone",
    .details =
        "FROM is a pod (NAMESPACE/NAME, or NAME where only one has it), a Node, or an address; TO "
        "is a name as the client types it, or an address. PORT is a number or the name of a "
        "Service's port; without it the first one counts.\n\n"
        "Shows the search walk with the answers of the cluster's DNS, the Service and each of its "
        "endpoints with why it is in or out, the rules of the service proxy that a packet meets, "
        "translation and masquerade, and the reply; or why it fails and what to change. Nothing "
        "is sent: all follows from manifests or from the objects of an API server, and from the "
        "same code that serves them.\n\n"
        "Network policies, processes and links are not looked at.\n\n"
        "Exit status: 0 reachable, 1 not, 2 trouble.",
    .run = run,
};
