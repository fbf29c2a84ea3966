/* An observer on a real node: the client, and those pods whose network is found on this machine. */
#include "base/str.h"
#include "kernel/netns.h"
#include "kernel/netns_find.h"
#include "kube/pod.h"
#include "lab/observer_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void add_pod(void *ctx, const struct object *object)
{
    struct observer *o = ctx;
    const struct pod *pod = pod_of(object);
    const struct meta *m = &object->meta;
    if (!pod->n_ips || pod->host_network || pod_is_finished(pod))
        return;
    struct watched_pod p = { .namespace = m->namespace,
                             .name = m->name,
                             .node = pod->node,
                             .ip = pod->ips[0],
                             .capture.fd = -1 };
    p.label = arena_printf(&o->kept, "pod %s/%s", m->namespace, m->name);
    if (pod->n_ips > 1)
        p.second = pod->ips[1];
    vec_push(&o->pods, p);
}

static void add_node(void *ctx, const struct object *object)
{
    struct observer *o = ctx;
    const struct node *n = node_of(object);
    for (unsigned i = 0; i < n->n_internal_ips; i++)
        vec_push(&o->nodes, (struct observed_node){ object->meta.name, n->internal_ips[i] });
}

static void take_pid(void *ctx, size_t index, pid_t pid)
{
    struct observer *o = ctx;
    o->pods.items[index].pid = pid;
}

static int find_pods(struct observer *o, struct err *e)
{
    VEC(struct ip) ips = { 0 };
    struct netns_searched seen;
    vec_each (p, &o->pods)
        vec_push(&ips, p->ip);
    const struct netns_search search = { ips.items, ips.n, take_pid, o };
    int code = o->pods.n ? netns_find(&search, &seen, e) : 0;
    vec_done(&ips);
    if (code == 0 && o->pods.n && seen.closed)
        (void)snprintf(o->blind_pods, sizeof o->blind_pods,
                       "the network of %u processes cannot be looked at: %s", seen.closed,
                       strerror(-seen.error));
    return code;
}

static bool is_link_local(const struct ip *ip)
{
    return ip->family == 6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* The first of each family. */
static void take_addresses(struct watched_pod *p, const struct ip *ips, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_link_local(&ips[i]))
            continue;
        if (!p->ip.family)
            p->ip = ips[i];
        else if (!p->second.family && ips[i].family != p->ip.family)
            p->second = ips[i];
    }
}

/* The client may be no pod that the objects know. */
static void take_client(struct observer *o, const struct observer_node *n)
{
    struct watched_pod p = {
        .label = n->client, .namespace = "", .node = n->node, .capture.fd = -1
    };
    bool found = false;
    for (unsigned i = 0; n->pod && i < o->pods.n && !found; i++) {
        found = str_eq(o->pods.items[i].label + strlen("pod "), n->pod);
        o->client = i;
    }
    if (!found) {
        take_addresses(&p, n->ips, n->n_ips);
        vec_push(&o->pods, p);
        o->client = (unsigned)o->pods.n - 1;
    }
    o->pods.items[o->client].pid = n->pid;
    o->node = n->node;
}

static int watch_client(struct observer *o, struct err *e)
{
    struct watched_pod *p = &o->pods.items[o->client];
    int code = netns_enter(o->client_net);
    if (code == 0)
        code = capture_open_flows(&p->capture);
    return code < 0 ? err_set(e, code, "packets of %s cannot be seen: %s%s", p->label,
                              strerror(-code), code == -EPERM ? ": run as root" : "")
                    : 0;
}

/* Whoever has ended meanwhile is not at hand any more. */
static void watch_pod(struct observer *o, struct watched_pod *p)
{
    cleanup_close int net = netns_of(p->pid);
    int code = net < 0 ? net : netns_enter(net);
    if (code == 0)
        code = capture_open_flows(&p->capture);
    if (code < 0 && code != -ENOENT && code != -ESRCH)
        (void)snprintf(o->blind_pods, sizeof o->blind_pods, "%.100s cannot be watched: %.60s",
                       p->label, strerror(-code));
}

static void watch_pods(struct observer *o)
{
    unsigned n = 0;
    vec_each (p, &o->pods) {
        if (!p->pid || p->capture.fd >= 0)
            continue;
        if (n++ < OBSERVER_PODS_MAX)
            watch_pod(o, p);
        else
            (void)snprintf(o->blind_pods, sizeof o->blind_pods,
                           "only %d pods of this node are watched", OBSERVER_PODS_MAX);
    }
}

int observer_open_node(struct observer *o, const struct observer_node *n, struct err *e)
{
    observer_init(o);
    o->store = n->store;
    o->node_pid = getpid();
    o->client_net = fcntl(n->client_net, F_DUPFD_CLOEXEC, 3);
    o->node_net = fcntl(n->node_net, F_DUPFD_CLOEXEC, 3);
    if (o->store) {
        store_each(o->store, KIND_POD, NULL, add_pod, o);
        store_each(o->store, KIND_NODE, NULL, add_node, o);
    }
    int code = find_pods(o, e);
    if (code == 0) {
        take_client(o, n);
        code = watch_client(o, e);
    }
    if (code == 0) {
        watch_pods(o);
        code = observer_watch_node(o, e);
    }
    if (code < 0)
        observer_done(o);
    return code;
}
