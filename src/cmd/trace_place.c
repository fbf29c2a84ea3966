#include "cmd/trace_place.h"

#include "base/file.h"
#include "base/str.h"
#include "kernel/netns.h"
#include "kernel/netns_find.h"
#include "kube/pod.h"
#include "lab/lab.h"
#include "lab/place.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static bool names_objects(const struct explain_objects_options *o)
{
    return o->manifests.n || o->kubeconfig || o->master;
}

bool trace_place_on_node(const struct trace_place_options *o)
{
    return o->pid || names_objects(&o->objects);
}

static const struct pod *pod_named(const struct trace_place *p, const char *from, struct err *e)
{
    char ns[256];
    const char *slash = strchr(from, '/');
    size_t len = slash ? (size_t)(slash - from) : 0;
    const struct object *o = NULL;
    (void)snprintf(ns, sizeof ns, "%.*s", (int)len, from);
    if (slash && len < sizeof ns)
        o = store_get(cluster_store(p->objects.cluster), KIND_POD, ns, slash + 1);
    if (!slash)
        (void)err_set(e, ERR_INVALID, "%s: give a pod as NAMESPACE/POD", from);
    else if (!o)
        (void)err_set(e, ERR_NOT_FOUND, "there is no pod %s", from);
    return o ? pod_of(o) : NULL;
}

static void take_pod(struct trace_place *p, const struct pod *pod)
{
    const struct meta *m = &pod->object.meta;
    (void)snprintf(p->client, sizeof p->client, "pod %s/%s", m->namespace, m->name);
    (void)snprintf(p->node, sizeof p->node, "%s", pod->node);
    p->key = p->client + strlen("pod ");
    p->n_ips = MIN(pod->n_ips, (size_t)TRACE_CLIENT_IPS);
    memcpy(p->ips, pod->ips, p->n_ips * sizeof *p->ips);
}

static int open_net(pid_t pid, const char *whose, int *ret_net, struct err *e)
{
    *ret_net = netns_of(pid);
    if (*ret_net >= 0)
        return 0;
    return err_set(e, *ret_net, "the network of %s (process %d) cannot be opened: %s%s", whose,
                   (int)pid, strerror(-*ret_net),
                   *ret_net == -EACCES || *ret_net == -EPERM ? ": run as root" : "");
}

/* ---- in a lab ---- */

static int open_lab_objects(uv_loop_t *loop, const struct trace_place_options *o, const char *dir,
                            struct trace_place *p, struct err *e)
{
    char path[PATH_MAX];
    const char *folders[] = { place_path(path, dir, "objects") };
    struct explain_objects_options objects = o->objects;
    objects.manifests = (struct flag_list){ .items = folders, .n = 1 };
    int code = explain_objects_open(loop, &objects, &p->objects, e);
    p->has_objects = code == 0;
    return code;
}

static int find_in_lab(uv_loop_t *loop, const struct trace_place_options *o, const char *from,
                       struct trace_place *p, struct err *e)
{
    char own[PATH_MAX];
    const char *dir = o->lab_dir ? o->lab_dir : place_default(own);
    pid_t lab, node;
    int code = lab_find(dir, &lab, e);
    if (code == 0)
        code = open_lab_objects(loop, o, dir, p, e);
    const struct pod *pod = code == 0 ? pod_named(p, from, e) : NULL;
    if (!pod)
        return code < 0 ? code : ERR_NOT_FOUND;
    take_pod(p, pod);
    code = place_pod_pid(dir, p->key, &p->pid, e);
    if (code == 0)
        code = place_node_pid(dir, p->node, &node, e);
    if (code < 0)
        return code;
    code = netns_join(p->pid, CLONE_NEWUSER);
    if (code < 0)
        return err_set(e, code, "the lab cannot be entered: %s", strerror(-code));
    code = open_net(p->pid, p->client, &p->client_net, e);
    return code < 0 ? code : open_net(node, p->node, &p->node_net, e);
}

/* ---- on this node ---- */

static void take_pid(void *ctx, size_t ip, pid_t pid)
{
    struct trace_place *p = ctx;
    (void)ip;
    p->pid = pid;
}

static int tell_not_here(const struct trace_place *p, const struct netns_searched *seen,
                         struct err *e)
{
    char ip[IP_TEXT_MAX], closed[200] = "";
    if (seen->closed)
        (void)snprintf(closed, sizeof closed,
                       "; %u processes could not be looked at (%s): run as root", seen->closed,
                       strerror(-seen->error));
    return err_set(e, ERR_NOT_FOUND,
                   "%s is not on this node: none of its %u network namespaces has the address %s%s",
                   p->client, seen->namespaces, ip_text(&p->ips[0], ip), closed);
}

/* Its network has its address. */
static int find_pod_here(struct trace_place *p, const struct pod *pod, struct err *e)
{
    struct netns_searched seen;
    const struct netns_search search = { p->ips, p->n_ips, take_pid, p };
    if (!p->n_ips)
        return err_set(e, ERR_NOT_FOUND, "%s has no address yet", p->client);
    if (pod->host_network) {
        p->pid = getpid();
        return 0;
    }
    int code = netns_find(&search, &seen, e);
    return code < 0 ? code : p->pid ? 0 : tell_not_here(p, &seen, e);
}

struct owner_search {
    struct trace_place *p;
    const struct pod *found;
};

static void match_owner(void *ctx, const struct object *o)
{
    struct owner_search *s = ctx;
    const struct pod *pod = pod_of(o);
    for (unsigned i = 0; i < pod->n_ips && !pod->host_network; i++)
        for (size_t k = 0; k < s->p->n_ips; k++)
            if (ip_equal(&pod->ips[i], &s->p->ips[k]))
                s->found = pod;
}

/* Whose process it is, as far as objects are known. */
static int take_process(struct trace_place *p, long pid, struct err *e)
{
    char path[64];
    cleanup_free char *comm = NULL;
    size_t len = 0;
    struct owner_search s = { .p = p };
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    if (pid < 0 || pid > INT_MAX || file_load(path, 256, &comm, &len, NULL) < 0)
        return err_set(e, ERR_NOT_FOUND, "--pid %ld: there is no such process", pid);
    p->pid = (pid_t)pid;
    (void)snprintf(p->client, sizeof p->client, "process %ld (%.*s)", pid, (int)strcspn(comm, "\n"),
                   comm);
    int code = open_net(p->pid, p->client, &p->client_net, e);
    if (code < 0)
        return code;
    int n = netns_addresses(p->client_net, p->ips, TRACE_CLIENT_IPS);
    if (n < 0)
        return err_set(e, n, "the network of %s cannot be entered: %s: run as root", p->client,
                       strerror(-n));
    p->n_ips = (size_t)n;
    if (p->has_objects && !netns_same(p->client_net, p->node_net))
        store_each(cluster_store(p->objects.cluster), KIND_POD, NULL, match_owner, &s);
    if (s.found)
        take_pod(p, s.found);
    return 0;
}

static int find_here(uv_loop_t *loop, const struct trace_place_options *o, const char *from,
                     struct trace_place *p, struct err *e)
{
    bool objects = names_objects(&o->objects);
    int code = objects ? explain_objects_open(loop, &o->objects, &p->objects, e) : 0;
    if (code < 0)
        return code;
    p->has_objects = objects;
    p->node_net = netns_current();
    if (p->node_net < 0)
        return err_set(e, p->node_net, "our own network namespace: %s", strerror(-p->node_net));
    if (o->pid)
        return take_process(p, o->pid, e);
    const struct pod *pod = pod_named(p, from, e);
    if (!pod)
        return ERR_NOT_FOUND;
    take_pod(p, pod);
    code = find_pod_here(p, pod, e);
    return code < 0 ? code : open_net(p->pid, p->client, &p->client_net, e);
}

/* ---- */

static int enter_node(const struct trace_place *p, struct err *e)
{
    int code = netns_enter(p->client_net);
    if (code == 0)
        code = netns_enter(p->node_net);
    return code < 0 ? err_set(e, code, "the network of %s cannot be entered: %s: run as root",
                              p->client, strerror(-code))
                    : 0;
}

int trace_place_find(uv_loop_t *loop, const struct trace_place_options *o, const char *from,
                     struct trace_place *ret, struct err *e)
{
    *ret = (struct trace_place){ .client_net = -1, .node_net = -1 };
    int code = trace_place_on_node(o) ? find_here(loop, o, from, ret, e)
                                      : find_in_lab(loop, o, from, ret, e);
    if (code == 0)
        code = enter_node(ret, e);
    if (code < 0)
        trace_place_done(ret);
    return code;
}

void trace_place_done(struct trace_place *p)
{
    if (p->has_objects)
        explain_objects_close(&p->objects);
    if (p->client_net >= 0)
        close(p->client_net);
    if (p->node_net >= 0)
        close(p->node_net);
    p->has_objects = false;
    p->client_net = p->node_net = -1;
}
