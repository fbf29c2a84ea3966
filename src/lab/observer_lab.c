/* An observer of a lab: all of its pods, by its own files. */
#include "base/str.h"
#include "kernel/netns.h"
#include "kernel/netns_find.h"
#include "lab/observer_impl.h"
#include "lab/place.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

static int watch_pod(struct observer *o, const struct manifest *m, struct err *e)
{
    char key[600];
    const char *ip = json_text(m->json, "status.podIP");
    struct watched_pod p = { .namespace = m->namespace,
                             .name = m->name,
                             .node = json_text(m->json, "spec.nodeName"),
                             .capture.fd = -1 };
    snprintf(key, sizeof key, "%s/%s", m->namespace, m->name);
    if (!ip || ip_parse(ip, &p.ip) < 0 || json_is_true(json_at(m->json, "spec.hostNetwork")))
        return 0;
    if (place_pod_pid(o->dir, key, &p.pid, e) < 0)
        return 0; /* it has just ended */
    p.label = arena_printf(&o->kept, "pod %s", key);
    int code = netns_join(p.pid, CLONE_NEWUSER | CLONE_NEWNET);
    if (code == 0)
        code = capture_open(&p.capture, "eth0");
    if (code < 0)
        return err_set(e, code, "cannot watch pod %s: %s", key, strerror(-code));
    vec_push(&o->pods, p);
    return 0;
}

static void add_node(struct observer *o, const struct manifest *m)
{
    struct observed_node n = { .name = m->name };
    json_t *item;
    size_t i;
    json_array_foreach(json_at(m->json, "status.addresses"), i, item)
    {
        const char *text = json_text(item, "address");
        if (text && ip_parse(text, &n.ip) == 0)
            vec_push(&o->nodes, n);
    }
}

static int read_objects(struct observer *o, struct err *e)
{
    char path[PATH_MAX];
    struct manifests nothing = { 0 };
    o->source = place_read(place_path(path, o->dir, "source"), PATH_MAX);
    int code = o->source ? manifests_read(o->source, &nothing, &o->manifests, e) : -errno;
    if (code == 0)
        code = manifests_read(place_path(path, o->dir, "objects"), &nothing, &o->objects, e);
    vec_each (m, &o->objects.items) {
        if (code == 0 && str_eq(m->kind, "Pod"))
            code = watch_pod(o, m, e);
        else if (code == 0 && str_eq(m->kind, "Node"))
            add_node(o, m);
    }
    return code;
}

static int find_client(struct observer *o, const char *client, struct err *e)
{
    char key[600];
    for (unsigned i = 0; i < o->pods.n; i++) {
        snprintf(key, sizeof key, "%s/%s", o->pods.items[i].namespace, o->pods.items[i].name);
        if (!str_eq(key, client))
            continue;
        o->client = i;
        o->node = o->pods.items[i].node;
        return 0;
    }
    return err_set(e, ERR_NOT_FOUND, "there is no pod %s", client);
}

/* As root of the lab's user namespace, into which the first pod has brought us. */
static int open_networks(struct observer *o, struct err *e)
{
    int code = place_node_pid(o->dir, o->node, &o->node_pid, e);
    if (code < 0)
        return code;
    o->node_net = netns_of(o->node_pid);
    o->client_net = netns_of(o->pods.items[o->client].pid);
    code = MIN(o->node_net, o->client_net);
    return code < 0 ? err_set(e, code, "cannot watch node %s: %s", o->node, strerror(-code)) : 0;
}

int observer_open(struct observer *o, const char *dir, const char *client, struct err *e)
{
    observer_init(o);
    o->dir = dir;
    int code = read_objects(o, e);
    if (code == 0)
        code = find_client(o, client, e);
    if (code == 0)
        code = open_networks(o, e);
    if (code == 0)
        code = observer_watch_node(o, e);
    if (code < 0)
        observer_done(o);
    return code;
}
