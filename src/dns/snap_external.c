/* The addresses under which Services are known outside the cluster: spec.externalIPs and what a
 * load balancer was given. Few Services have any, so they live in tables of their own. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"
#include "kube/selector.h"
#include "kube/service.h"

#include <string.h>

#define EXTERNAL_IPS_MAX 510 /* of one Service: what its two lists can hold (uint8_t each) */

/* ---- readers ---- */

const struct snap_external *snapshot_external(const struct snapshot *s, const uint8_t *key,
                                              size_t len)
{
    return (const struct snap_external *)rcu_table_find(&s->externals, hash_bytes(key, len), key,
                                                        len);
}

bool snap_external_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    const struct snap_external *x = (const struct snap_external *)e;
    return x->key_len == len && memcmp(x->key, key, len) == 0;
}

/* ---- one Service ---- */

struct draft {
    struct ip ips[EXTERNAL_IPS_MAX];
    unsigned n_ips, n_a;
    struct name hosts[SNAP_EXTERNAL_HOSTS];
    unsigned n_hosts;
    size_t hosts_len;
};

static void add_ip(struct draft *d, const struct ip *ip)
{
    for (unsigned i = 0; i < d->n_ips; i++)
        if (ip_equal(&d->ips[i], ip))
            return;
    if (d->n_ips == EXTERNAL_IPS_MAX || !ip->family)
        return;
    d->ips[d->n_ips++] = *ip;
    d->n_a += ip->family == 4;
}

static void add_host(struct draft *d, const char *text)
{
    struct name *n = &d->hosts[d->n_hosts];
    if (d->n_hosts == SNAP_EXTERNAL_HOSTS || name_from_text(text, n) < 0)
        return;
    for (unsigned i = 0; i < d->n_hosts; i++)
        if (name_equal(d->hosts[i].wire, n->wire))
            return;
    d->n_hosts++;
    d->hosts_len += n->len;
}

/* A balancer's entry with both has its address only, as in the reference. */
static void read_service(struct draft *d, const struct service *s)
{
    for (unsigned i = 0; i < s->n_external_ips; i++)
        add_ip(d, &s->external_ips[i]);
    for (unsigned i = 0; i < s->n_ingress; i++) {
        const struct lb_ingress *in = &s->ingress[i];
        if (in->ip.family)
            add_ip(d, &in->ip);
        else if (in->hostname && *in->hostname)
            add_host(d, in->hostname);
    }
}

static struct snap_external *compact(const struct draft *d, const uint8_t *key, size_t len)
{
    size_t claims = d->n_ips * sizeof(struct snap_claim);
    size_t bytes = len + 4u * d->n_a + 16u * (d->n_ips - d->n_a) + d->hosts_len;
    struct snap_external *x = xcalloc(1, sizeof *x + claims + bytes);
    x->entry.hash = (uint32_t)hash_bytes(key, len);
    x->claims = (struct snap_claim *)(x + 1);
    uint8_t *at = (uint8_t *)(x + 1) + claims;
    x->key = memcpy(at, key, len);
    x->key_len = (uint8_t)len;
    x->a = at += len;
    for (unsigned i = 0; i < d->n_ips; i++)
        if (d->ips[i].family == 4)
            memcpy(at + 4u * x->n_a++, d->ips[i].bytes, 4);
    x->aaaa = at += 4u * x->n_a;
    for (unsigned i = 0; i < d->n_ips; i++)
        if (d->ips[i].family == 6)
            memcpy(at + 16u * x->n_aaaa++, d->ips[i].bytes, 16);
    x->hosts = at += 16u * x->n_aaaa;
    for (unsigned i = 0; i < d->n_hosts; i++) {
        memcpy(at, d->hosts[i].wire, d->hosts[i].len);
        at += d->hosts[i].len;
        x->n_hosts++;
    }
    snap_claims_make((struct snap_claim *)(x + 1), x, d->n_ips, snap_external_ip);
    return x;
}

static struct snap_external *build(const struct snapshot *s, const char *ns, const char *name,
                                   const uint8_t *key, size_t len)
{
    static struct draft d; /* the control thread's */
    const struct object *o = store_get(s->store, KIND_SERVICE, ns, name);
    if (!o || !selector_match(s->options.labels, &o->meta))
        return NULL;
    d.n_ips = d.n_a = d.n_hosts = 0;
    d.hosts_len = 0;
    read_service(&d, service_of(o));
    return d.n_ips || d.n_hosts ? compact(&d, key, len) : NULL;
}

void snap_external_update(struct snapshot *s, const char *ns, const char *name, bool exposed,
                          const uint8_t *key, size_t len)
{
    if (!s->options.externals)
        return;
    struct snap_external *x = exposed ? build(s, ns, name, key, len) : NULL;
    snap_external_addresses_update(s, snapshot_external(s, key, len), x);
    struct rcu_table_entry *old;
    if (x)
        old = rcu_table_put(&s->externals, &x->entry, key, len);
    else
        old = rcu_table_del(&s->externals, hash_bytes(key, len), key, len);
    if (old)
        rcu_retire(old, free);
}
