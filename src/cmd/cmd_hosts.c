/* signpost hosts: the /etc/hosts that a kubelet would write for a Pod. */
#include "base/err.h"
#include "client/hostsfile.h"
#include "client/textfile.h"
#include "cmd/commands.h"
#include "cmd/pod_file.h"

#define NODE_HOSTS_MAX (16 << 20) /* bytes */

struct options {
    struct pod_file file;
    const char *node_hosts, *cluster_domain;
    struct flag_list ips;
};

static int take_ips(const struct options *o, struct pod_dns *pod, struct arena *a, struct err *e)
{
    struct ip ip;
    for (size_t i = 0; i < o->ips.n; i++) {
        if (ip_parse(o->ips.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--pod-ip %s: not an IP address", o->ips.items[i]);
        if (i == 0)
            pod->ips = (struct strlist){ 0 };
        strlist_add(&pod->ips, a, o->ips.items[i]);
    }
    if (pod->ips.n == 0 && !pod->host_network)
        return err_set(e, ERR_INVALID,
                       "%s: the Pod has no status.podIPs yet, and gets no hosts "
                       "file before; give its addresses with --pod-ip",
                       o->file.pod);
    return 0;
}

static void warn(const struct pod_dns *pod, const struct pod_names *names)
{
    if (names->cut)
        fprintf(stderr, "signpost hosts: warning: the hostname is cut to \"%s\"\n",
                names->hostname);
    for (size_t i = 0; i < pod->own_hosts.n; i++)
        fprintf(stderr,
                "signpost hosts: warning: container \"%s\" mounts a file of its own at "
                "/etc/hosts and does not see this one\n",
                pod->own_hosts.items[i]);
}

static int make_text(const void *options, struct pod_dns *pod, struct arena *a,
                     const char **ret_text, struct err *e)
{
    const struct options *o = options;
    struct pod_names names;
    const char *node = NULL;
    int rc = take_ips(o, pod, a, e);
    if (rc == 0)
        rc = pod_names_build(pod, o->cluster_domain, a, &names, e);
    if (rc == 0 && pod->host_network)
        rc = textfile_read(o->node_hosts, NODE_HOSTS_MAX, a, &node, NULL, e);
    if (rc < 0)
        return rc;
    warn(pod, &names);
    *ret_text = hostsfile_text(pod, &names, node, a);
    return 0;
}

static int run(int argc, char **argv)
{
    struct options o = { .file = { .command = &cmd_hosts, .text = make_text },
                         .node_hosts = "/etc/hosts",
                         .cluster_domain = "cluster.local" };
    const struct flag flags[] = {
        pod_file_pod_flag(&o.file),
        pod_file_name_flag(&o.file),
        { "pod-ip", FLAG_LIST, &o.ips, "IP", "The Pod's addresses in place of status.podIPs." },
        { "host-hosts", FLAG_STRING, &o.node_hosts, "FILE",
          "The node's file, for Pods on the host network." },
        { "cluster-domain", FLAG_STRING, &o.cluster_domain, "DOMAIN", "kubelet's clusterDomain." },
    };
    int status = pod_file_run(&o.file, &o, flags, ARRAY_SIZE(flags), argc, argv);
    flag_list_done(&o.ips);
    return status;
}

const struct command cmd_hosts = {
    .name = "hosts",
    .args = "",
    .summary = "print the hosts file that a kubelet would write for a Pod",
    .details = "Byte for byte: the fixed lines, the Pod's own names by hostname, subdomain and "
               "hostnameOverride, and hostAliases; on the host network, the node's file. What the "
               "API server would refuse is not checked.",
    .run = run,
};
