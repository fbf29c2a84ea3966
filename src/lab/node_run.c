/* Nodes and the world outside: sandboxes that are not pods. */
#include "lab/kubelet.h"

#include "base/log.h"
#include "base/str.h"
#include "lab/place.h"
#include "lab/pod_files.h"
#include "lab/sandbox.h"

#include <string.h>
#include <sys/stat.h>

#define HOSTS_FILE_MAX (1 << 20)

static int start_sandbox(struct kubelet *k, const char *name, const char *folder, int netns,
                         const struct podspec *spec, const struct rootfs_bind *more, struct err *e)
{
    char stage[PATH_MAX], resolv[PATH_MAX], hosts[PATH_MAX], path[PATH_MAX], text[32];
    struct rootfs_bind binds[3] = {
        { place_path(resolv, folder, "resolv.conf"), "/etc/resolv.conf", true, true },
        { place_path(hosts, folder, "hosts"), "/etc/hosts", true, true },
    };
    pid_t pid, outer;
    if (more)
        binds[2] = *more;
    struct sandbox s = {
        .title = name, .nodename = name, .netns = netns, .spec = spec, .log_dir = folder
    };
    s.root = (struct rootfs){ .stage = place_path(stage, k->dir, "stage"),
                              .program = k->program,
                              .hostname = name,
                              .binds = binds,
                              .n_binds = more ? 3 : 2 };
    int code = sandbox_start(&s, &pid, &outer, e);
    if (code < 0)
        return code;
    snprintf(text, sizeof text, "%d\n", (int)outer);
    code = place_write(place_path(path, folder, "pid"), text, strlen(text));
    return code < 0 ? err_set(e, code, "cannot write %s: %s", path, strerror(-code)) : 0;
}

int kubelet_start_node(struct kubelet *k, const struct topology_node *n, const char *folder,
                       int netns, struct err *e)
{
    int code = pod_files_node(folder, n->name, &n->address[0], e);
    return code < 0 ? code : start_sandbox(k, n->name, folder, netns, NULL, NULL, e);
}

/* Each address of SOURCE/outside/hosts belongs to the world outside. */
static int add_addresses(struct kubelet *k, struct err *e)
{
    char path[PATH_MAX], *line, *rest;
    cleanup_free char *text =
        place_read(place_path(path, k->source, "outside/hosts"), HOSTS_FILE_MAX);
    int code = 0;
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && code == 0;
         line = strtok_r(NULL, "\n", &rest)) {
        struct ip ip;
        line[strcspn(line, " \t#")] = 0;
        if (*line && ip_parse(line, &ip) < 0)
            code = err_set(e, ERR_PARSE, "%s: \"%s\" is not an address", path, line);
        else if (*line)
            code = net_add_outside_address(&k->net, &ip, e);
    }
    return code;
}

/* What runs outside: the name server that the nodes use, and a web server for each address. */
static json_t *outside_pod(void)
{
    return json_pack("{s:{s:s,s:s}, s:{s:[{s:s,s:[s,s,s,s]}, {s:s,s:[s,s,s,s,s]}]}}", "metadata",
                     "namespace", "outside", "name", "outside", "spec", "containers", "name", "dns",
                     "command", "signpost", "dns", "-conf", "/etc/outside/Corefile", "name", "web",
                     "command", "signpost", "lab", "backend", "--port", "80");
}

int kubelet_start_outside(struct kubelet *k, struct err *e)
{
    char folder[PATH_MAX], from[PATH_MAX];
    struct stat st;
    struct ip ip;
    static struct podspec spec; /* lives as long as the lab */
    struct pod_facts facts = { TOPOLOGY_OUTSIDE, TOPOLOGY_OUTSIDE, TOPOLOGY_OUTSIDE, "outside",
                               "outside" };
    struct rootfs_bind corefile = { place_path(from, k->source, "outside"), "/etc/outside", 0, 0 };
    if (stat(from, &st) < 0)
        return 0;
    (void)!ip_parse(TOPOLOGY_OUTSIDE, &ip);
    int code = add_addresses(k, e);
    if (code == 0)
        code = pod_files_node(place_path(folder, k->dir, "nodes/outside"), "outside", &ip, e);
    if (code == 0)
        code = podspec_read(outside_pod(), &facts, &spec, e);
    if (code == 0)
        code = start_sandbox(k, "outside", folder, k->net.outside.netns, &spec, &corefile, e);
    return code;
}
