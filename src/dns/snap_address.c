/* Reverse entries: which names an address has. Only addresses that came, went or changed their name are
 * touched. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* One (address, owner name) of a Service. */
struct claim {
    struct ip ip;
    bool cluster_ip;
    uint8_t label[64]; /* endpoint's label, or empty */
};

/* Walks a Service's claims in order: its cluster IPs (IPv4, IPv6), then its endpoints by address. */
struct claims {
    const struct snap_service *s;
    uint32_t i;
};

static bool claims_next(struct claims *c, struct claim *ret)
{
    const struct snap_service *s = c->s;
    if (!s)
        return false;
    uint32_t n_ips = s->kind == SNAP_CLUSTER_IP ? s->n_a + s->n_aaaa : 0;
    if (c->i >= n_ips + s->n_endpoints)
        return false;
    *ret = (struct claim){ .cluster_ip = c->i < n_ips };
    if (c->i >= n_ips) {
        const struct snap_endpoint *e = &s->endpoints[c->i - n_ips];
        uint8_t buf[64];
        const uint8_t *label = snap_endpoint_label(s, e, buf);
        ret->ip = e->ip;
        memcpy(ret->label, label, 1u + label[0]);
    } else if (c->i < s->n_a) {
        ret->ip.family = 4;
        memcpy(ret->ip.bytes, s->a + 4 * c->i, 4);
    } else {
        ret->ip.family = 6;
        memcpy(ret->ip.bytes, s->aaaa + 16 * (c->i - s->n_a), 16);
    }
    c->i++;
    return true;
}

static bool claim_equal(const struct claim *a, const struct claim *b)
{
    return a->cluster_ip == b->cluster_ip && ip_equal(&a->ip, &b->ip) &&
           memcmp(a->label, b->label, 1u + a->label[0]) == 0;
}

static bool owner_is(const struct snap_owner *o, const struct snap_service *s)
{
    return o->key_len == s->key_len && memcmp(o->name + o->name_len - 4 - s->key_len, s->key,
                                              s->key_len) == 0;
}

static uint8_t *put_owner(uint8_t *at, const struct snap_service *s, const struct claim *c)
{
    struct snap_owner *o = (struct snap_owner *)at;
    uint8_t *p = o->name;
    if (c->label[0]) {
        memcpy(p, c->label, 1u + c->label[0]);
        p += 1 + c->label[0];
    }
    memcpy(p, s->key, s->key_len);
    p += s->key_len;
    memcpy(p, "\003svc", 4);
    o->key_len = s->key_len;
    o->cluster_ip = c->cluster_ip;
    o->name_len = (uint8_t)(p + 4 - o->name);
    return p + 4;
}

static void replace(struct snapshot *s, const struct ip *ip, struct snap_address *new)
{
    uint64_t hash = hash_bytes(ip->bytes, ip_len(ip));
    struct rcu_table_entry *old;
    if (new) {
        new->entry.hash = hash;
        old = rcu_table_put(&s->addresses, &new->entry, ip, sizeof *ip);
    } else {
        old = rcu_table_del(&s->addresses, hash, ip, sizeof *ip);
    }
    if (old)
        rcu_retire(old, free);
}

#define OWNERS_BYTES_MAX 60000 /* of one address; some hundred Services may share a host's address */

/* The address anew: what others own, then every claim that `service` (NULL: none) has on it. */
static void rebuild(struct snapshot *s, const struct ip *ip, const struct snap_service *mine,
                    const struct snap_service *service)
{
    const struct snap_address *old = snapshot_address(s, ip);
    size_t room = (old ? old->bytes : 0) + 4 * sizeof(struct snap_owner) + 2048;
    struct snap_address *a = xcalloc(1, sizeof *a + room + 300);
    uint8_t *at = a->owners;
    a->ip = *ip;
    for (const struct snap_owner *o = old ? snap_owner_next(old, NULL) : NULL; o;
         o = snap_owner_next(old, o)) {
        if (owner_is(o, mine))
            continue;
        memcpy(at, o, sizeof *o + o->name_len);
        at += sizeof *o + o->name_len;
        a->n_owners++;
    }
    struct claim c;
    for (struct claims all = { .s = service }; claims_next(&all, &c);) {
        if (!ip_equal(&c.ip, ip) || (size_t)(at - a->owners) > MIN(room, OWNERS_BYTES_MAX))
            continue;
        at = put_owner(at, service, &c);
        a->n_owners++;
    }
    a->bytes = (uint16_t)(at - a->owners);
    if (a->n_owners == 0) {
        free(a);
        a = NULL;
    }
    replace(s, ip, a);
}

/* Claims of `a` that `b` does not have: each address is made anew, with the claims of `now`. */
static void changed_claims(struct snapshot *s, const struct snap_service *a,
                           const struct snap_service *b, const struct snap_service *now)
{
    struct claims all_a = { .s = a }, all_b = { .s = b };
    struct claim x, y;
    bool have_y = claims_next(&all_b, &y);
    while (claims_next(&all_a, &x)) {
        /* Both walks are sorted the same way: skip what comes before x in b. */
        while (have_y && ((y.cluster_ip && !x.cluster_ip) ||
                          (y.cluster_ip == x.cluster_ip && ip_compare(&y.ip, &x.ip) < 0)))
            have_y = claims_next(&all_b, &y);
        if (!have_y || !claim_equal(&x, &y))
            rebuild(s, &x.ip, a, now);
    }
}

void snap_addresses_update(struct snapshot *s, const struct snap_service *old,
                           const struct snap_service *new)
{
    if (old)
        changed_claims(s, old, new, new);
    if (new)
        changed_claims(s, new, old, new);
}
