#include "dns/snap_facts.h"

#include "dns/snapshot_build.h"
#include "kube/selector.h"
#include "kube/service.h"
#include "kube/slice.h"

struct count {
    const struct snapshot *snapshot;
    struct snap_facts *facts;
};

static void count_slice(void *ctx, const struct object *o)
{
    struct count *c = ctx;
    const struct slice *slice = slice_of(o);
    if (!selector_match(c->snapshot->options.labels, &o->meta))
        return;
    c->facts->slices++;
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        if (slice->endpoints[i].conditions & ENDPOINT_READY)
            c->facts->ready++;
        else
            c->facts->not_ready++;
    }
}

static const char *type_of(const struct service *s)
{
    static const char *const texts[] = { [SERVICE_CLUSTER_IP] = "ClusterIP",
                                         [SERVICE_NODE_PORT] = "NodePort",
                                         [SERVICE_LOAD_BALANCER] = "LoadBalancer",
                                         [SERVICE_EXTERNAL_NAME] = "ExternalName" };
    return s->headless && s->type != SERVICE_EXTERNAL_NAME ? "headless" : texts[s->type];
}

void snapshot_facts(const struct snapshot *s, const char *ns, const char *service,
                    struct snap_facts *ret)
{
    const struct object *o = store_get(s->store, KIND_SERVICE, ns, service);
    struct count c = { s, ret };
    *ret = (struct snap_facts){ .origin = "", .type = "" };
    ret->namespace_there = store_get(s->store, KIND_NAMESPACE, "", ns) != NULL;
    store_each_slice_of(s->store, ns, service, count_slice, &c);
    if (!o)
        return;
    ret->service_there = true;
    ret->service_fits = selector_match(s->options.labels, &o->meta);
    ret->origin = o->meta.origin ? o->meta.origin : "";
    ret->type = type_of(service_of(o));
}

void snapshot_each_namespace(const struct snapshot *s, void (*fn)(void *ctx, const uint8_t *label),
                             void *ctx)
{
    const struct rcu_table_slots *slots = rcu_load(&s->namespaces.slots);
    for (size_t i = 0; i <= slots->mask; i++) {
        const struct rcu_table_entry *e = rcu_load(&slots->slot[i]);
        if (e && e != RCU_TABLE_DELETED)
            fn(ctx, ((const struct snap_label *)e)->key);
    }
}
