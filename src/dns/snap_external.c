/* The addresses under which Services are known outside the cluster: spec.externalIPs and what a
 * load balancer was given. Few Services have any, so they live in tables of their own. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"
#include "kube/selector.h"
#include "kube/service.h"

#include <string.h>

#define EXTERNAL_IPS_MAX 510   /* of one Service: what its two lists can hold (uint8_t each) */
#define EXTERNAL_OWNERS  60000 /* bytes of names that one address may have */

/* ---- readers ---- */

const struct snap_external *snapshot_external(const struct snapshot *s, const uint8_t *key,
                                              size_t len)
{
    return (const struct snap_external *)rcu_table_find(&s->externals, hash_bytes(key, len), key,
                                                        len);
}

const struct snap_address *snapshot_external_address(const struct snapshot *s, const struct ip *ip)
{
    return (const struct snap_address *)rcu_table_find(
        &s->external_addresses, hash_bytes(ip->bytes, ip_len(ip)), ip, sizeof *ip);
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
    size_t bytes = len + 4u * d->n_a + 16u * (d->n_ips - d->n_a) + d->hosts_len;
    struct snap_external *x = xcalloc(1, sizeof *x + bytes);
    x->entry.hash = hash_bytes(key, len);
    x->key_len = (uint8_t)len;
    memcpy(x->key, key, len);
    uint8_t *at = x->key + len;
    x->a = at;
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

/* ---- reverse ---- */

/* What others own of the address, then the Service's name if it still has it. */
static size_t collect_owners(const struct snap_address *old, const uint8_t *key, size_t len,
                             bool mine, uint8_t *out, uint16_t *ret_n)
{
    uint8_t *at = out;
    for (const struct snap_owner *o = old ? snap_owner_next(old, NULL) : NULL; o;
         o = snap_owner_next(old, o)) {
        if (o->name_len == len && memcmp(o->name, key, len) == 0)
            continue;
        memcpy(at, o, sizeof *o + o->name_len);
        at += sizeof *o + o->name_len;
        ++*ret_n;
    }
    if (mine && at - out < EXTERNAL_OWNERS) {
        struct snap_owner *o = (struct snap_owner *)at;
        *o = (struct snap_owner){ .key_len = (uint8_t)len, .name_len = (uint8_t)len };
        memcpy(o->name, key, len);
        at += sizeof *o + len;
        ++*ret_n;
    }
    return (size_t)(at - out);
}

static void set_owner(struct snapshot *s, const struct ip *ip, const uint8_t *key, size_t len,
                      bool mine)
{
    static uint8_t owners[EXTERNAL_OWNERS + 512]; /* the control thread's */
    uint64_t hash = hash_bytes(ip->bytes, ip_len(ip));
    uint16_t n = 0;
    size_t bytes = collect_owners(snapshot_external_address(s, ip), key, len, mine, owners, &n);
    struct rcu_table_entry *old;
    if (n) {
        struct snap_address *a = xcalloc(1, sizeof *a + bytes);
        *a = (struct snap_address){
            .entry.hash = hash, .ip = *ip, .n_owners = n, .bytes = (uint16_t)bytes
        };
        memcpy(a->owners, owners, bytes);
        old = rcu_table_put(&s->external_addresses, &a->entry, ip, sizeof *ip);
    } else {
        old = rcu_table_del(&s->external_addresses, hash, ip, sizeof *ip);
    }
    if (old)
        rcu_retire(old, free);
}

static struct ip ip_at(const struct snap_external *x, unsigned i)
{
    struct ip ip = { .family = i < x->n_a ? 4 : 6 };
    if (i < x->n_a)
        memcpy(ip.bytes, x->a + 4u * i, 4);
    else
        memcpy(ip.bytes, x->aaaa + 16u * (i - x->n_a), 16);
    return ip;
}

static bool has_ip(const struct snap_external *x, const struct ip *ip)
{
    for (unsigned i = 0; x && i < (unsigned)x->n_a + x->n_aaaa; i++) {
        struct ip its = ip_at(x, i);
        if (ip_equal(&its, ip))
            return true;
    }
    return false;
}

/* Each address of `a` that `b` does not have. */
static void set_owners(struct snapshot *s, const struct snap_external *a,
                       const struct snap_external *b, bool mine)
{
    for (unsigned i = 0; a && i < (unsigned)a->n_a + a->n_aaaa; i++) {
        struct ip ip = ip_at(a, i);
        if (!has_ip(b, &ip))
            set_owner(s, &ip, a->key, a->key_len, mine);
    }
}

void snap_external_update(struct snapshot *s, const char *ns, const char *name, bool exposed,
                          const uint8_t *key, size_t len)
{
    if (!s->options.externals)
        return;
    struct snap_external *x = exposed ? build(s, ns, name, key, len) : NULL;
    const struct snap_external *before = snapshot_external(s, key, len);
    set_owners(s, before, x, false);
    set_owners(s, x, before, true);
    struct rcu_table_entry *old;
    if (x)
        old = rcu_table_put(&s->externals, &x->entry, key, len);
    else
        old = rcu_table_del(&s->externals, hash_bytes(key, len), key, len);
    if (old)
        rcu_retire(old, free);
}
