/* signpost hosts: the /etc/hosts that a kubelet would write for a Pod. */
#include "base/err.h"
#include "client/hostsfile.h"
#include "client/pod_manifest.h"
#include "client/textfile.h"
#include "cmd/commands.h"

#include <errno.h>
#include <string.h>

#define NODE_HOSTS_MAX (16 << 20) /* bytes */

struct options {
    const char *pod, *name, *node_hosts, *cluster_domain;
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
                       o->pod);
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

static int print_file(const struct options *o, struct arena *a, struct err *e)
{
    struct pod_dns pod;
    struct pod_names names;
    const char *node = NULL;
    int rc = pod_manifest_load(o->pod, o->name, a, &pod, e);
    if (rc == 0)
        rc = take_ips(o, &pod, a, e);
    if (rc == 0)
        rc = pod_names_build(&pod, o->cluster_domain, a, &names, e);
    if (rc == 0 && pod.host_network)
        rc = textfile_read(o->node_hosts, NODE_HOSTS_MAX, a, &node, NULL, e);
    if (rc < 0)
        return rc;
    warn(&pod, &names);
    fputs(hostsfile_text(&pod, &names, node, a), stdout);
    if (fflush(stdout) != 0)
        return err_set(e, -errno, "cannot write: %s", strerror(errno));
    return 0;
}

static int run(int argc, char **argv)
{
    struct options o = { .node_hosts = "/etc/hosts", .cluster_domain = "cluster.local" };
    const struct flag flags[] = {
        { "pod", FLAG_STRING, &o.pod, "FILE", "The Pod's manifest; \"-\" is standard input." },
        { "name", FLAG_STRING, &o.name, "[NAMESPACE/]NAME", "Which Pod, if the file has several." },
        { "pod-ip", FLAG_LIST, &o.ips, "IP", "The Pod's addresses in place of status.podIPs." },
        { "host-hosts", FLAG_STRING, &o.node_hosts, "FILE",
          "The node's file, for Pods on the host network." },
        { "cluster-domain", FLAG_STRING, &o.cluster_domain, "DOMAIN", "kubelet's clusterDomain." },
    };
    struct err e = { 0 };
    struct arena a;
    int left = 0;
    int rc = flags_parse(&cmd_hosts, flags, ARRAY_SIZE(flags), argc, argv, &left, &e);
    if (rc == 1)
        return 0;
    if (rc == 0 && left)
        rc = err_set(&e, ERR_INVALID, "unexpected argument \"%s\"", argv[0]);
    if (rc == 0 && !o.pod)
        rc = err_set(&e, ERR_INVALID, "name the Pod's manifest with --pod FILE");
    arena_init(&a, 64 << 10);
    if (rc == 0)
        rc = print_file(&o, &a, &e);
    arena_done(&a);
    flag_list_done(&o.ips);
    if (rc < 0)
        fprintf(stderr, "signpost hosts: %s\n", e.text);
    return rc < 0 ? 1 : 0;
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
