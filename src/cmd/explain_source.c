#include "cmd/explain_source.h"

#include "base/str.h"
#include "base/vec.h"
#include "client/pod_manifest.h"
#include "cmd/pod_fetch.h"
#include "kube/pod.h"

#include <errno.h>
#include <string.h>

#define PATIENCE_MS 30000

/* ---- waiting for an API server */

static void on_patience_end(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

/* Runs the loop until all is there, or for so long. */
static bool wait_synced(uv_loop_t *loop, const struct store *store)
{
    uv_timer_t patience;
    bool over = false;
    uv_timer_init(loop, &patience);
    patience.data = &over;
    uv_timer_start(&patience, on_patience_end, PATIENCE_MS, 0);
    while (!store_is_synced(store) && !over)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&patience, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return store_is_synced(store);
}

/* ---- folders of manifests without a status */

struct pods {
    VEC(const struct pod *) list;
    bool some_address;
};

static void add_pod(void *ctx, const struct object *o)
{
    struct pods *p = ctx;
    vec_push(&p->list, pod_of(o));
    p->some_address |= pod_of(o)->n_ips > 0;
}

static int compare_pods(const void *a, const void *b)
{
    const struct meta *x = &(*(const struct pod *const *)a)->object.meta;
    const struct meta *y = &(*(const struct pod *const *)b)->object.meta;
    int order = strcmp(x->namespace, y->namespace);
    return order ? order : strcmp(x->name, y->name);
}

/* The n-th address behind the first of a range. */
static struct ip address_in(const struct ip_prefix *range, unsigned n)
{
    struct ip ip = range->ip;
    size_t len = ip_len(&ip);
    for (size_t i = len; i-- > 0 && n > 0; n >>= 8) {
        n += ip.bytes[i];
        ip.bytes[i] = (uint8_t)n;
    }
    return ip;
}

static unsigned make_addresses(const struct store *store, const struct pod *p, unsigned number,
                               struct ip ips[2])
{
    const struct object *o = store_get(store, KIND_NODE, "", p->node);
    const struct node *node = o ? node_of(o) : NULL;
    struct ip_prefix range;
    unsigned n = 0;
    if (p->host_network) {
        for (; node && n < MIN(node->n_internal_ips, 2); n++)
            ips[n] = node->internal_ips[n];
        return n;
    }
    for (; node && n < MIN(node->n_pod_cidrs, 2); n++)
        ips[n] = address_in(&node->pod_cidrs[n], number);
    if (n == 0 && ip_prefix_parse("10.244.0.0/16", &range) == 0)
        ips[n++] = address_in(&range, number);
    return n;
}

static void assume_status(struct explain_objects *x)
{
    struct store *store = cluster_store(x->cluster);
    struct pods pods = { 0 };
    VEC(struct object *) made = { 0 };
    store_each(store, KIND_POD, NULL, add_pod, &pods);
    x->assumed_status = pods.list.n > 0 && !pods.some_address;
    if (x->assumed_status)
        qsort(pods.list.items, pods.list.n, sizeof *pods.list.items, compare_pods);
    for (size_t i = 0; i < pods.list.n && x->assumed_status; i++) {
        struct ip ips[2];
        struct pod p = *pods.list.items[i];
        p.n_ips = (uint8_t)make_addresses(store, &p, (unsigned)i + 2, ips);
        p.ips = ips;
        p.phase = POD_RUNNING;
        p.ready = true;
        vec_push(&made, object_copy(&p.object));
    }
    vec_each (o, &made)
        store_put(store, *o);
    vec_done(&made);
    vec_done(&pods.list);
}

/* ---- */

int explain_objects_open(uv_loop_t *loop, const struct explain_objects_options *o,
                         struct explain_objects *ret, struct err *e)
{
    const struct object_source source = { .dirs = o->manifests.items,
                                          .n_dirs = o->manifests.n,
                                          .range = o->range,
                                          .kubeconfig = o->kubeconfig,
                                          .context = o->context,
                                          .endpoint = o->master,
                                          .kinds = 1u << KIND_SERVICE | 1u << KIND_SLICE |
                                                   1u << KIND_NODE | 1u << KIND_POD |
                                                   1u << KIND_NAMESPACE | 1u << KIND_SERVICE_CIDR };
    *ret = (struct explain_objects){ .loop = loop, .from_folder = o->manifests.n > 0 };
    int rc = cluster_open(ret->from_folder && !o->follow ? NULL : loop, &source, &ret->cluster, e);
    if (rc < 0)
        return rc;
    if (ret->from_folder) {
        assume_status(ret);
        return 0;
    }
    if (wait_synced(loop, cluster_store(ret->cluster)))
        return 0;
    explain_objects_close(ret);
    return err_set(e, -ETIMEDOUT, "the API server has not given its objects in %d seconds",
                   PATIENCE_MS / 1000);
}

void explain_objects_close(struct explain_objects *o)
{
    cluster_close(o->cluster);
    o->cluster = NULL;
}

/* ---- a Pod's name service, which the store does not keep */

static int from_file(const struct object *o, struct arena *a, struct pod_dns *ret, struct err *e)
{
    const char *colon = strrchr(o->meta.origin, ':');
    const char *path = arena_strndup(a, o->meta.origin, (size_t)(colon - o->meta.origin));
    const char *which = arena_printf(a, "%s/%s", o->meta.namespace, o->meta.name);
    return pod_manifest_load(path, which, a, ret, e);
}

int explain_pod_dns(const struct explain_objects *x, const char *ns, const char *name,
                    struct arena *a, struct pod_dns *ret, bool *ret_known, struct err *e)
{
    const struct object *o = store_get(cluster_store(x->cluster), KIND_POD, ns, name);
    *ret_known = o && (!x->from_folder || strrchr(o->meta.origin, ':'));
    if (!*ret_known)
        return 0;
    return x->from_folder ? from_file(o, a, ret, e)
                          : pod_fetch_by(cluster_client(x->cluster), x->loop, ns, name, a, ret, e);
}
