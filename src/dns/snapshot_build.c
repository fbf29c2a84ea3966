#include "dns/snapshot_build.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "kube/pod.h"
#include "kube/selector.h"
#include "kube/service.h"
#include "kube/slice.h"

#include <string.h>

static bool service_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    const struct snap_service *s = (const struct snap_service *)e;
    return s->key_len == len && memcmp(s->key, key, len) == 0;
}

static bool label_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    const struct snap_label *l = (const struct snap_label *)e;
    return l->len == len && memcmp(l->key, key, len) == 0;
}

static void label_put(struct rcu_table *t, const uint8_t *key, size_t len)
{
    uint32_t hash = (uint32_t)hash_bytes(key, len);
    struct snap_label *l = (struct snap_label *)rcu_table_find(t, hash, key, len);
    if (l) {
        l->refs++;
        return;
    }
    l = xmalloc(sizeof *l + len);
    l->entry.hash = hash;
    l->refs = 1;
    l->len = (uint8_t)len;
    memcpy(l->key, key, len);
    (void)rcu_table_put(t, &l->entry, key, len);
}

static void label_del(struct rcu_table *t, const uint8_t *key, size_t len)
{
    uint64_t hash = hash_bytes(key, len);
    struct snap_label *l = (struct snap_label *)rcu_table_find(t, hash, key, len);
    if (!l || --l->refs)
        return;
    (void)rcu_table_del(t, hash, key, len);
    rcu_retire(l, free);
}

/* ---- namespaces ---- */

static bool exposed(const struct snapshot *s, const char *ns)
{
    for (size_t i = 0; i < s->options.n_namespaces; i++)
        if (strcmp(s->options.namespaces[i], ns) == 0)
            return true;
    return s->options.n_namespaces == 0;
}

static bool namespace_counts(const struct snapshot *s, const char *ns)
{
    const struct object *o = store_get(s->store, KIND_NAMESPACE, "", ns);
    return o && exposed(s, ns) && selector_match(s->options.namespace_labels, &o->meta);
}

static void update_service(struct snapshot *s, const char *ns, const char *name)
{
    uint8_t key[128];
    size_t len = s->builds ? snap_key(name, ns, key) : 0;
    if (!len)
        return;
    /* Names of namespaces that are not exposed do not even answer in reverse. */
    bool is_exposed = exposed(s, ns);
    struct snap_service *b = is_exposed ? snap_service_build(s, ns, name) : NULL;
    if (b)
        b->visible = b->kind != SNAP_ORPHAN && namespace_counts(s, ns);
    snap_addresses_update(s, snapshot_service(s, key, len), b);
    struct rcu_table_entry *old;
    if (b) {
        old = rcu_table_put(&s->services, &b->entry, key, len);
    } else {
        old = rcu_table_del(&s->services, hash_bytes(key, len), key, len);
    }
    if (old)
        rcu_retire(old, free);
    snap_external_update(s, ns, name, is_exposed, key, len);
}

static void update_service_of(void *ctx, const struct object *o)
{
    update_service(ctx, o->meta.namespace, o->meta.name);
}

static void update_namespace(struct snapshot *s, const char *ns)
{
    uint8_t label[64];
    size_t len = snap_label_of(ns, label);
    if (!len)
        return;
    bool was = snapshot_namespace(s, label), is = namespace_counts(s, ns);
    if (was == is)
        return;
    if (is)
        label_put(&s->namespaces, label, len);
    else
        label_del(&s->namespaces, label, len);
    if (s->builds)
        store_each(s->store, KIND_SERVICE, ns, update_service_of, s);
}

/* ---- pods (verified) ---- */

static size_t pod_key(const struct snapshot *s, const struct object *o, uint8_t key[96])
{
    uint8_t label[64];
    const struct pod *p = o ? pod_of(o) : NULL;
    if (!p || s->options.pods != PODS_VERIFIED || p->n_ips == 0 || pod_is_finished(p) ||
        p->phase == POD_UNKNOWN || (s->options.node && strcmp(s->options.node, p->node) != 0) ||
        !selector_match(s->options.labels, &o->meta) || !snap_label_of(o->meta.namespace, label))
        return 0;
    return snap_pod_key(label, &p->ips[0], key);
}

static void forget_pod(struct snapshot *s, const struct meta *pod, const struct snap_label *had)
{
    size_t label = 1u + had->key[0];
    struct ip ip = { .family = had->len - label == 4 ? 4 : 6 };
    memcpy(ip.bytes, had->key + label, ip_len(&ip));
    label_del(&s->pods, had->key, had->len);
    if (s->options.clients)
        snap_client_del(s, &ip, pod);
}

/* A pod that is being deleted keeps what it has until it is gone, but gets nothing new: so does the
 * reference. What each pod has is remembered, so that its end takes away exactly that. */
static void update_pod(struct snapshot *s, const struct object *old, const struct object *new)
{
    uint8_t key[96];
    const struct meta *m = new ? &new->meta : &old->meta;
    char name[600];
    if (new &&new->meta.deleting)
        return;
    (void)snprintf(name, sizeof name, "%s/%s", m->namespace, m->name);
    size_t len = pod_key(s, new, key);
    struct snap_label *had = ht_del_str(&s->pod_keys, name);
    if (had)
        forget_pod(s, m, had);
    free(had);
    if (!len)
        return;
    label_put(&s->pods, key, len);
    if (s->options.clients)
        snap_client_put(s, new);
    had = xmalloc(sizeof *had + len);
    had->len = (uint8_t)len;
    memcpy(had->key, key, len);
    ht_put_str(&s->pod_keys, name, had);
}

static void add_pod(void *ctx, const struct object *o)
{
    update_pod(ctx, NULL, o);
}

/* ---- following the store ---- */

/* 1 ms times powers of two, as the reference. */
static const uint64_t programming_bounds[] = {
    1000000,     2000000,     4000000,     8000000,      16000000,     32000000,    64000000,
    128000000,   256000000,   512000000,   1024000000,   2048000000,   4096000000,  8192000000,
    16384000000, 32768000000, 65536000000, 131072000000, 262144000000, 524288000000
};

static void programming_init(struct snapshot *s)
{
    s->programming = metric_histogram(
        "coredns_kubernetes_dns_programming_duration_seconds",
        "Time from the change of a pod or Service until it could be seen in answers.",
        "service_kind=\"headless_with_selector\"", programming_bounds,
        ARRAY_SIZE(programming_bounds), 1e-9);
}

/* The SLI "DNS programming latency": only slices that a controller made for a headless Service say
 * since when they should be seen. */
static void observe_programming(const struct snapshot *s, const struct object *o)
{
    const struct slice *slice = slice_of(o);
    const struct object *service =
        slice->trigger_time_ns
            ? store_get(s->store, KIND_SERVICE, o->meta.namespace, slice->service)
            : NULL;
    if (!service || !service_of(service)->headless)
        return;
    int64_t took = clock_unix_ns() - slice->trigger_time_ns;
    histogram_observe(&s->programming, (uint64_t)MAX(took, 0));
}

static void update_slice(struct snapshot *s, const struct object *o)
{
    if (o && *slice_of(o)->service)
        update_service(s, o->meta.namespace, slice_of(o)->service);
}

static void slice_changed(struct snapshot *s, const struct change *c)
{
    if (!s->options.endpoints)
        return;
    update_slice(s, c->new);
    bool moved =
        !c->new || !c->old || strcmp(slice_of(c->old)->service, slice_of(c->new)->service) != 0;
    if (moved)
        update_slice(s, c->old);
    if (c->new)
        observe_programming(s, c->new);
}

static void store_changed(void *ctx, const struct change *c)
{
    struct snapshot *s = ctx;
    const struct object *o = c->new ? c->new : c->old;
    switch (c->kind) {
    case KIND_SERVICE:
        update_service(s, o->meta.namespace, o->meta.name);
        break;
    case KIND_SLICE:
        slice_changed(s, c);
        break;
    case KIND_NAMESPACE:
        update_namespace(s, o->meta.name);
        break;
    case KIND_POD:
        if (s->options.pods != PODS_VERIFIED)
            return;
        update_pod(s, c->old, c->new);
        break;
    default:
        return;
    }
    atomic_store_explicit(&s->serial, (uint32_t)clock_unix(), memory_order_relaxed);
}

static void add_orphans_of(void *ctx, const struct object *o)
{
    struct snapshot *s = ctx;
    const char *service = slice_of(o)->service;
    if (*service && !store_get(s->store, KIND_SERVICE, o->meta.namespace, service))
        update_service(s, o->meta.namespace, service);
}

/* Each Service is built once at the start, and not with each of its objects that comes: that would
 * leave the blocks before behind as holes. */
void snapshot_build(struct snapshot *s)
{
    if (s->builds)
        return;
    s->builds = true;
    store_each(s->store, KIND_SERVICE, NULL, update_service_of, s);
    if (s->options.endpoints)
        store_each(s->store, KIND_SLICE, NULL, add_orphans_of, s);
}

static void store_synced(void *ctx)
{
    struct snapshot *s = ctx;
    snapshot_build(s);
    atomic_store(&s->synced, true);
}

static void add_namespace(void *ctx, const struct object *o)
{
    struct snapshot *s = ctx;
    uint8_t label[64];
    size_t len = snap_label_of(o->meta.name, label);
    if (len && namespace_counts(s, o->meta.name))
        label_put(&s->namespaces, label, len);
}

struct snapshot *snapshot_new(struct store *store, const struct snapshot_options *options)
{
    struct snapshot *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->options = *options;
    rcu_table_init(&s->services, service_equal);
    rcu_table_init(&s->namespaces, label_equal);
    rcu_table_init(&s->addresses, snap_address_equal);
    rcu_table_init(&s->pods, label_equal);
    rcu_table_init(&s->clients, snap_client_equal);
    rcu_table_init(&s->externals, snap_external_equal);
    rcu_table_init(&s->external_addresses, snap_external_address_equal);
    programming_init(s);
    store_each(store, KIND_NAMESPACE, NULL, add_namespace, s);
    if (options->pods == PODS_VERIFIED)
        store_each(store, KIND_POD, NULL, add_pod, s);
    s->serial = (uint32_t)store_changed_unix(store);
    s->listener = (struct listener){ .changed = store_changed, .synced = store_synced, .ctx = s };
    store_listen(store, &s->listener);
    return s;
}

static void entry_free(struct rcu_table_entry *e)
{
    free(e);
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    store_unlisten(s->store, &s->listener);
    rcu_table_done(&s->services, entry_free);
    rcu_table_done(&s->namespaces, entry_free);
    rcu_table_done(&s->addresses, NULL); /* its entries lie in the blocks */
    rcu_table_done(&s->pods, entry_free);
    rcu_table_done(&s->clients, entry_free);
    rcu_table_done(&s->externals, entry_free);
    rcu_table_done(&s->external_addresses, NULL);
    ht_each (e, &s->pod_keys)
        free(e->value);
    ht_done(&s->pod_keys);
    free(s);
}
