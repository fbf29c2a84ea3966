#include "cmd/lookup_place.h"

#include "base/file.h"
#include "client/hostsfile.h"
#include "client/pod_manifest.h"
#include "client/resolvconf.h"
#include "client/textfile.h"
#include "cmd/pod_fetch.h"
#include "kernel/netns.h"
#include "lab/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX      (16 << 20) /* bytes of resolv.conf, hosts, nsswitch.conf */
#define ENVIRON_MAX   (1 << 20)  /* bytes of a process' environment */
#define HOSTNAME_SIZE 256

static bool of_cluster(const struct lookup_place *p)
{
    return p->manifests || p->kubeconfig;
}

static int check(const struct lookup_place *p, struct err *e)
{
    if (p->pid < 0 || p->pid > INT_MAX)
        return err_set(e, ERR_INVALID, "--pid %ld: no process has this number", p->pid);
    if (p->pid && p->pod)
        return err_set(e, ERR_INVALID, "give --pid or --pod, not both");
    if (p->manifests && p->kubeconfig)
        return err_set(e, ERR_INVALID, "give --manifests or --kubeconfig, not both");
    if (of_cluster(p) && p->lab_dir)
        return err_set(e, ERR_INVALID, "--lab-dir is of a lab's pod; leave out --%s",
                       p->manifests ? "manifests" : "kubeconfig");
    if (p->lab_dir && !p->pod)
        return err_set(e, ERR_INVALID, "--lab-dir is of use with --pod only");
    if (of_cluster(p) && p->pid)
        return err_set(e, ERR_INVALID, "a process has its own files: leave out --%s",
                       p->manifests ? "manifests" : "kubeconfig");
    if (p->kubeconfig && !p->pod)
        return err_set(e, ERR_INVALID, "--kubeconfig: name the Pod with --pod NAMESPACE/NAME");
    return 0;
}

/* Files that the user named are read where the user is. */
static int read_named(struct lookup_place *p, struct arena *a, struct err *e)
{
    int rc = 0;
    if (p->resolv_conf)
        rc = textfile_read(p->resolv_conf, FILE_MAX, a, &p->resolv_conf_text, NULL, e);
    if (rc == 0 && p->hosts)
        rc = textfile_read(p->hosts, FILE_MAX, a, &p->hosts_text, NULL, e);
    if (rc == 0 && p->nsswitch)
        rc = textfile_read(p->nsswitch, FILE_MAX, a, &p->nsswitch_text, NULL, e);
    return rc;
}

/* A file that does not exist is no mistake here: a resolver goes on without it. */
static int read_default(const char *named, const char *path, const char **ret_text, struct arena *a,
                        struct err *e)
{
    int rc = named ? 0 : textfile_read(path, FILE_MAX, a, ret_text, NULL, e);
    return rc == -ENOENT ? 0 : rc;
}

static int read_defaults(struct lookup_place *p, struct arena *a, struct err *e)
{
    int rc = read_default(p->resolv_conf, "/etc/resolv.conf", &p->resolv_conf_text, a, e);
    if (rc == 0)
        rc = read_default(p->hosts, "/etc/hosts", &p->hosts_text, a, e);
    if (rc == 0)
        rc = read_default(p->nsswitch, "/etc/nsswitch.conf", &p->nsswitch_text, a, e);
    return rc;
}

/* ---- a Pod of a cluster -----------------------------------------------------------------------
 */

static int kubelet_of(const struct lookup_place *p, struct arena *a, struct kubelet_dns *ret,
                      struct err *e)
{
    struct kubelet_dns k = { .host_path = p->host_resolv, .cluster_domain = p->cluster_domain };
    for (size_t i = 0; i < p->cluster_dns.n; i++) {
        struct ip ip;
        if (ip_parse(p->cluster_dns.items[i], &ip) < 0)
            return err_set(e, ERR_INVALID, "--cluster-dns %s: not an IP address",
                           p->cluster_dns.items[i]);
        strlist_add(&k.cluster_dns, a, p->cluster_dns.items[i]);
    }
    if (k.cluster_dns.n == 0)
        strlist_add(&k.cluster_dns, a, "10.96.0.10");
    *ret = k;
    return *k.host_path
               ? textfile_read(k.host_path, HOST_RESOLVCONF_MAX, a, &ret->host_text, NULL, e)
               : 0;
}

/* What the kubelet would write for it. */
static int write_files(struct lookup_place *p, const struct pod_dns *pod, struct arena *a,
                       struct err *e)
{
    struct kubelet_dns kubelet;
    struct pod_names names;
    struct resolvconf conf;
    struct dns_notes notes = { .n = 0 };
    int rc = kubelet_of(p, a, &kubelet, e);
    if (rc == 0)
        rc = resolvconf_build(&kubelet, pod, a, &conf, &notes, e);
    if (rc == 0)
        rc = pod_names_build(pod, p->cluster_domain, a, &names, e);
    if (rc < 0)
        return rc;
    if (!p->resolv_conf)
        p->resolv_conf_text = resolvconf_text(&conf, a);
    if (!p->hosts)
        p->hosts_text = hostsfile_text(pod, &names, NULL, a);
    p->env.hostname = names.nodename;
    return 0;
}

static int take_pod(struct lookup_place *p, struct arena *a, struct err *e)
{
    struct pod_dns pod = { 0 };
    int rc = p->manifests ? pod_manifest_load(p->manifests, p->pod, a, &pod, e)
                          : pod_fetch(p->kubeconfig, p->context, p->pod, a, &pod, e);
    return rc < 0 ? rc : write_files(p, &pod, a, e);
}

/* ---- a process --------------------------------------------------------------------------------
 */

static const char *value_of(const char *text, size_t len, const char *name, struct arena *a)
{
    size_t n = strlen(name);
    for (const char *p = text; p < text + len; p += strlen(p) + 1) {
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return arena_strdup(a, p + n + 1);
    }
    return NULL;
}

static void warn_of_aliases(const char *value)
{
    if (value)
        fprintf(stderr, "signpost: warning: HOSTALIASES is set, but not followed\n");
}

/* It may be closed to us: then there is none. */
void lookup_environment(pid_t pid, struct arena *a, struct stub_env *ret)
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (file_load(path, ENVIRON_MAX, &text, &len, NULL) < 0)
        return;
    ret->res_options = value_of(text, len, "RES_OPTIONS", a);
    ret->localdomain = value_of(text, len, "LOCALDOMAIN", a);
    warn_of_aliases(value_of(text, len, "HOSTALIASES", a));
}

/* Goes where that process is: its network, its files (its root folder, too), its host name. */
static int enter_process(pid_t pid, struct err *e)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
    cleanup_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, -errno, "process %d: its files cannot be reached: %s", (int)pid,
                       strerror(errno));
    int rc = netns_join(pid, CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS);
    if (rc < 0)
        return err_set(e, rc, "process %d: its namespaces cannot be entered: %s", (int)pid,
                       err_str(rc));
    if (fchdir(root) < 0 || chroot(".") < 0)
        return err_set(e, -errno, "process %d: its root folder cannot be entered: %s", (int)pid,
                       strerror(errno));
    return 0;
}

static int go_to_process(struct lookup_place *p, struct arena *a, struct err *e)
{
    char dir[PATH_MAX];
    pid_t pid = (pid_t)p->pid;
    if (p->pod) {
        int rc = place_pod_pid(p->lab_dir ? p->lab_dir : place_default(dir), p->pod, &pid, e);
        if (rc < 0)
            return rc;
    }
    lookup_environment(pid, a, &p->env);
    return enter_process(pid, e);
}

/* ---- all --------------------------------------------------------------------------------------
 */

static void take_own_environment(struct lookup_place *p)
{
    p->env.res_options = getenv("RES_OPTIONS");
    p->env.localdomain = getenv("LOCALDOMAIN");
    warn_of_aliases(getenv("HOSTALIASES"));
}

static void take_hostname(struct lookup_place *p, struct arena *a)
{
    char *name = arena_zalloc(a, HOSTNAME_SIZE);
    if (gethostname(name, HOSTNAME_SIZE - 1) < 0)
        name[0] = '\0';
    p->env.hostname = name;
}

int lookup_place_go(struct lookup_place *p, struct arena *a, struct err *e)
{
    int rc = check(p, e);
    if (rc == 0)
        rc = read_named(p, a, e);
    if (rc < 0)
        return rc;
    if (of_cluster(p))
        return take_pod(p, a, e);
    if (p->pid || p->pod)
        rc = go_to_process(p, a, e);
    else
        take_own_environment(p);
    if (rc == 0)
        rc = read_defaults(p, a, e);
    take_hostname(p, a);
    return rc;
}
