/* signpost resolvconf: the /etc/resolv.conf that a kubelet would write for a Pod. */
#include "base/err.h"
#include "client/resolvconf.h"
#include "client/textfile.h"
#include "cmd/commands.h"
#include "cmd/pod_file.h"

struct options {
    struct pod_file file;
    const char *host_resolv, *cluster_domain;
    struct flag_list cluster_dns, node_ips;
    bool old_limits;
};

static int read_node_ips(const struct options *o, struct kubelet_dns *k, struct arena *a,
                         struct err *e)
{
    struct ip *ips = arena_zalloc(a, (o->node_ips.n + 1) * sizeof *ips);
    for (size_t i = 0; i < o->node_ips.n; i++) {
        if (ip_parse(o->node_ips.items[i], &ips[i]) < 0)
            return err_set(e, ERR_INVALID, "--node-ip %s: not an IP address", o->node_ips.items[i]);
    }
    k->node_ips = ips;
    k->n_node_ips = o->node_ips.n;
    return 0;
}

static int read_cluster_dns(const struct options *o, struct kubelet_dns *k, struct arena *a,
                            struct err *e)
{
    struct ip ip;
    for (size_t i = 0; i < o->cluster_dns.n; i++) {
        if (ip_parse(o->cluster_dns.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--cluster-dns %s: not an IP address",
                           o->cluster_dns.items[i]);
        strlist_add(&k->cluster_dns, a, o->cluster_dns.items[i]);
    }
    return 0;
}

static int read_kubelet(const struct options *o, struct kubelet_dns *k, struct arena *a,
                        struct err *e)
{
    *k = (struct kubelet_dns){
        .host_path = o->host_resolv,
        .cluster_domain = o->cluster_domain,
        .old_limits = o->old_limits,
    };
    int rc = read_cluster_dns(o, k, a, e);
    if (rc == 0)
        rc = read_node_ips(o, k, a, e);
    if (rc == 0 && *o->host_resolv)
        rc = textfile_read(o->host_resolv, HOST_RESOLVCONF_MAX, a, &k->host_text, NULL, e);
    return rc;
}

static void print_notes(const struct dns_notes *notes)
{
    static const char *const on[] = {
        [NOTE_POD] = "event on the Pod", [NOTE_NODE] = "event on the node", [NOTE_LOG] = "log"
    };
    for (size_t i = 0; i < notes->n; i++) {
        const struct dns_note *n = &notes->items[i];
        fprintf(stderr, "signpost resolvconf: warning: %s: %s%s%s\n", on[n->on],
                n->reason ? n->reason : "", n->reason ? ": " : "", n->text);
    }
}

static int make_text(const void *options, struct pod_dns *pod, struct arena *a,
                     const char **ret_text, struct err *e)
{
    struct kubelet_dns kubelet;
    struct resolvconf out;
    struct dns_notes notes;
    int rc = read_kubelet(options, &kubelet, a, e);
    if (rc == 0)
        rc = resolvconf_build(&kubelet, pod, a, &out, &notes, e);
    if (rc == 0)
        rc = resolvconf_check_node(&kubelet, a, &notes, e);
    if (rc < 0)
        return rc;
    print_notes(&notes);
    *ret_text = resolvconf_text(&out, a);
    return 0;
}

static int run(int argc, char **argv)
{
    struct options o = { .file = { .command = &cmd_resolvconf, .text = make_text },
                         .host_resolv = "/etc/resolv.conf",
                         .cluster_domain = "cluster.local" };
    const struct flag flags[] = {
        pod_file_pod_flag(&o.file),
        pod_file_name_flag(&o.file),
        { "host-resolv", FLAG_STRING, &o.host_resolv, "FILE",
          "The node's file, kubelet's resolvConf; \"\" for none." },
        { "cluster-dns", FLAG_LIST, &o.cluster_dns, "IP", "kubelet's clusterDNS, in order." },
        { "cluster-domain", FLAG_STRING, &o.cluster_domain, "DOMAIN",
          "kubelet's clusterDomain; \"\" for none." },
        { "node-ip", FLAG_LIST, &o.node_ips, "IP", "The node's addresses, used without its file." },
        { "old-limits", FLAG_BOOL, &o.old_limits, NULL,
          "6 searches and 256 characters, as before Kubernetes 1.26." },
    };
    int status = pod_file_run(&o.file, &o, flags, ARRAY_SIZE(flags), argc, argv);
    flag_list_done(&o.cluster_dns);
    flag_list_done(&o.node_ips);
    return status;
}

const struct command cmd_resolvconf = {
    .name = "resolvconf",
    .args = "",
    .summary = "print the resolv.conf that a kubelet would write for a Pod",
    .details =
        "Follows dnsPolicy, dnsConfig, hostNetwork and the limits as the kubelet does. Events "
        "that it would write are printed as warnings on standard error. The Pod is taken as "
        "it is: what the API server would refuse is not checked.",
    .run = run,
};
