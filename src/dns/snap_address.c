/* Who has an address. Each block holds a claim for each of its addresses, and the reverse tables
 * point at the claims, so that an address costs a place in a table and eight bytes, and no name is
 * kept twice. When a block is replaced, only addresses that came or went change the table's places;
 * the others' pointers are exchanged. */
#include "dns/snapshot_build.h"

#include "base/hash.h"

#include <string.h>

/* ---- claims ---- */

static uint32_t hash_of(const struct ip *ip)
{
    return (uint32_t)hash_bytes(ip->bytes, ip_len(ip));
}

static const void *block_of(const struct rcu_table_entry *e)
{
    const struct snap_claim *c = (const struct snap_claim *)e;
    return (const uint8_t *)c - c->back;
}

void snap_claims_make(struct snap_claim *claims, const void *block, uint32_t n,
                      struct ip (*ip_at)(const void *block, uint32_t i))
{
    for (uint32_t i = 0; i < n; i++) {
        struct ip ip = ip_at(block, i);
        claims[i].entry.hash = hash_of(&ip);
        claims[i].back = (uint32_t)((const uint8_t *)&claims[i] - (const uint8_t *)block);
    }
}

static struct ip wire_ip(const uint8_t *a, const uint8_t *aaaa, uint32_t n_a, uint32_t i)
{
    struct ip ip = { .family = i < n_a ? 4 : 6 };
    memcpy(ip.bytes, i < n_a ? a + 4 * (size_t)i : aaaa + 16 * (size_t)(i - n_a), ip_len(&ip));
    return ip;
}

static uint32_t cluster_ips(const struct snap_service *s)
{
    return s->kind == SNAP_CLUSTER_IP ? s->n_a + s->n_aaaa : 0;
}

uint32_t snap_service_claims(const struct snap_service *s)
{
    return cluster_ips(s) + s->n_endpoints;
}

struct ip snap_service_ip(const void *block, uint32_t i)
{
    const struct snap_service *s = block;
    uint32_t n = cluster_ips(s);
    return i < n ? wire_ip(s->a, s->aaaa, s->n_a, i) : snap_endpoint_ip_at(s, i - n);
}

struct ip snap_external_ip(const void *block, uint32_t i)
{
    const struct snap_external *x = block;
    return wire_ip(x->a, x->aaaa, x->n_a, i);
}

static uint32_t place_in(const struct snap_service *s, const struct rcu_table_entry *e)
{
    return (uint32_t)((const struct snap_claim *)e - s->claims);
}

bool snap_address_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    const struct snap_service *s = block_of(e);
    struct ip ip = snap_service_ip(s, place_in(s, e));
    (void)len;
    return ip_equal(&ip, key);
}

bool snap_external_address_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    const struct snap_external *x = block_of(e);
    struct ip ip = snap_external_ip(x, (uint32_t)((const struct snap_claim *)e - x->claims));
    (void)len;
    return ip_equal(&ip, key);
}

/* ---- readers ---- */

struct snap_owners snapshot_owners(const struct snapshot *s, const struct ip *ip)
{
    return (struct snap_owners){ .walk = rcu_table_walk(&s->addresses, hash_of(ip)), .ip = *ip };
}

bool snap_owners_next(struct snap_owners *w, struct snap_owner *ret)
{
    const struct rcu_table_entry *e = rcu_table_next(&w->walk, &w->ip, sizeof w->ip);
    if (!e)
        return false;
    ret->service = block_of(e);
    uint32_t i = place_in(ret->service, e), n = cluster_ips(ret->service);
    ret->endpoint = i < n ? NULL : &ret->service->endpoints[i - n];
    return true;
}

struct snap_owners snapshot_external_owners(const struct snapshot *s, const struct ip *ip)
{
    return (struct snap_owners){ .walk = rcu_table_walk(&s->external_addresses, hash_of(ip)),
                                 .ip = *ip };
}

const struct snap_external *snap_external_owners_next(struct snap_owners *w)
{
    const struct rcu_table_entry *e = rcu_table_next(&w->walk, &w->ip, sizeof w->ip);
    return e ? block_of(e) : NULL;
}

size_t snap_owner_name(const struct snap_owner *o, uint8_t out[SNAP_OWNER_NAME])
{
    uint8_t buf[64], *at = out;
    if (o->endpoint) {
        const uint8_t *label = snap_endpoint_label(o->service, o->endpoint, buf);
        memcpy(at, label, 1u + label[0]);
        at += 1 + label[0];
    }
    memcpy(at, o->service->key, o->service->key_len);
    at += o->service->key_len;
    memcpy(at, "\003svc", 4);
    return (size_t)(at + 4 - out);
}

/* ---- the writer ---- */

static int claim_order(const struct snap_service *x, uint32_t i, const struct snap_service *y,
                       uint32_t k)
{
    bool x_endpoint = i >= cluster_ips(x), y_endpoint = k >= cluster_ips(y);
    struct ip a = snap_service_ip(x, i), b = snap_service_ip(y, k);
    return x_endpoint != y_endpoint ? x_endpoint - y_endpoint : ip_compare(&a, &b);
}

static void add(struct rcu_table *t, const struct snap_claim *c, struct ip ip)
{
    (void)rcu_table_add(t, (struct rcu_table_entry *)&c->entry, &ip, sizeof ip, SNAP_OWNERS_MAX);
}

static void exchange(struct rcu_table *t, const struct snap_claim *old,
                     const struct snap_claim *new, struct ip ip)
{
    if (!rcu_table_exchange(t, &old->entry, (struct rcu_table_entry *)&new->entry))
        add(t, new, ip); /* it had been one too many; perhaps there is room now */
}

void snap_addresses_update(struct snapshot *s, const struct snap_service *old,
                           const struct snap_service *new)
{
    struct rcu_table *t = &s->addresses;
    uint32_t i = 0, k = 0;
    uint32_t n = old ? snap_service_claims(old) : 0, m = new ? snap_service_claims(new) : 0;
    for (uint32_t next = 0; next < m; next++) /* they are far from one another */
        rcu_table_prefetch_place(t, new->claims[next].entry.hash);
    while (i < n || k < m) {
        int order = i == n ? 1 : k == m ? -1 : claim_order(old, i, new, k);
        if (order < 0) {
            (void)rcu_table_exchange(t, &old->claims[i++].entry, NULL);
        } else if (order > 0) {
            add(t, &new->claims[k], snap_service_ip(new, k));
            k++;
        } else {
            exchange(t, &old->claims[i++], &new->claims[k], snap_service_ip(new, k));
            k++;
        }
    }
}

static uint32_t external_claims(const struct snap_external *x)
{
    return x ? (uint32_t)x->n_a + x->n_aaaa : 0;
}

/* Few, and in no order. */
void snap_external_addresses_update(struct snapshot *s, const struct snap_external *old,
                                    const struct snap_external *new)
{
    struct rcu_table *t = &s->external_addresses;
    for (uint32_t i = 0; i < external_claims(new); i++) {
        struct ip ip = snap_external_ip(new, i);
        uint32_t k = 0;
        for (; k < external_claims(old); k++) {
            struct ip its = snap_external_ip(old, k);
            if (ip_equal(&its, &ip))
                break;
        }
        if (k < external_claims(old))
            exchange(t, &old->claims[k], &new->claims[i], ip);
        else
            add(t, &new->claims[i], ip);
    }
    for (uint32_t k = 0; k < external_claims(old); k++)
        (void)rcu_table_exchange(t, &old->claims[k].entry, NULL); /* what has not been exchanged */
}
