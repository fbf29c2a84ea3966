/* signpost explain: what would happen to a request, from objects alone. */
#include "base/log.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/explain_lab.h"
#include "cmd/explain_run.h"

#include <errno.h>
#include <string.h>

#define EXIT_REACHED     0
#define EXIT_NOT_REACHED 1
#define EXIT_TROUBLE     2

struct showing {
    const char *output;
    bool reachable;
    int error; /* of writing, errno */
};

static void show(void *ctx, const struct explain_report *report)
{
    struct showing *s = ctx;
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (str_eq(s->output, "json")) {
        explain_json(report, &b);
        (void)fwrite(b.p, 1, b.len, stdout);
    } else {
        explain_print(report, stdout);
    }
    s->reachable = report->reachable;
    s->error = fflush(stdout) != 0 ? errno : 0;
}

static int explain_here(const struct explain_options *o, const char *output, char **argv,
                        struct err *e)
{
    struct showing s = { .output = output };
    if (!str_eq(output, "text") && !str_eq(output, "json"))
        return err_set(e, ERR_INVALID, "--output %s: give text or json", output);
    int rc = explain_run(o, argv[0], argv[1], show, &s, e);
    if (rc == 0 && s.error)
        rc = err_set(e, -s.error, "cannot write: %s", strerror(s.error));
    return rc < 0 ? rc : s.reachable ? EXIT_REACHED : EXIT_NOT_REACHED;
}

static int explain(struct explain_options *o, const char *lab_dir, const char *output, char **argv,
                   struct err *e)
{
    struct explain_lab lab;
    if (!lab_dir)
        return explain_here(o, output, argv, e);
    if (o->objects.manifests.n || o->objects.kubeconfig || o->objects.master)
        return err_set(e, ERR_INVALID, "--lab-dir excludes other sources of objects");
    int rc = explain_lab_open(&lab, lab_dir, argv[0], o, e);
    if (rc < 0)
        return rc;
    rc = explain_here(o, output, argv, e);
    o->objects.manifests = (struct flag_list){ .n = 0 };
    explain_lab_close(&lab);
    return rc;
}

static int run(int argc, char **argv)
{
    struct explain_options options, *o = &options;
    const char *output = "text", *lab_dir = NULL;
    explain_options_defaults(o);
    const struct flag flags[] = {
        { "manifests", FLAG_LIST, &o->objects.manifests, "DIR",
          "Folder with manifests to look at in place of an API server; repeatable." },
        { "kubeconfig", FLAG_STRING, &o->objects.kubeconfig, "FILE",
          "Kubeconfig of the API server to look at; without it and --master the cluster's own." },
        { "context", FLAG_STRING, &o->objects.context, "NAME", "Its context to use." },
        { "master", FLAG_STRING, &o->objects.master, "URL",
          "The API server's URL, whatever the kubeconfig says." },
        { "lab-dir", FLAG_STRING, &lab_dir, "DIR",
          "Look at the running lab there: its objects, and the rules of the pod's node." },
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
        { "resolv-conf", FLAG_STRING, &o->resolv_conf, "FILE",
          "The resolv.conf of FROM, in place of the one that a kubelet would write." },
        { "corefile", FLAG_STRING, &o->corefile, "FILE",
          "Of the name server that FROM asks; without it the ConfigMap of its pods is looked "
          "for." },
        { "node-rules", FLAG_STRING, &o->node_rules, "FILE",
          "Output of `nft -j list ruleset` at FROM's node: rules that are not the proxy's." },
        { "connections", FLAG_STRING, &o->connections, "FILE",
          "Output of `conntrack -L` at FROM's node: where it still sends packets of UDP." },
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
        { "output", FLAG_STRING, &output, "text|json", "How to print." },
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
    if (rc == 0)
        rc = explain(o, lab_dir, output, argv, &e);
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
