/* Reverse entries: which names an address has. Only addresses that came, went or changed their name
 * are touched. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* One (address, owner name) of a Service. */
struct claim {
    struct ip ip;
    const struct snap_endpoint *endpoint; /* NULL: a cluster IP */
};

/* Walks a Service's claims in order: its cluster IPs (IPv4, IPv6), then its endpoints by address.
 */
struct claims {
    const struct snap_service *s;
    uint32_t i;
};

static uint32_t cluster_ips(const struct snap_service *s)
{
    return s->kind == SNAP_CLUSTER_IP ? s->n_a + s->n_aaaa : 0;
}

static bool claims_next(struct claims *c, struct claim *ret)
{
    const struct snap_service *s = c->s;
    if (!s)
        return false;
    uint32_t n_ips = cluster_ips(s);
    if (c->i >= n_ips + s->n_endpoints)
        return false;
    *ret = (struct claim){ 0 };
    if (c->i >= n_ips) {
        ret->endpoint = &s->endpoints[c->i - n_ips];
        ret->ip = ret->endpoint->ip;
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

static bool claim_equal(const struct snap_service *sa, const struct claim *a,
                        const struct snap_service *sb, const struct claim *b)
{
    uint8_t buf_a[64], buf_b[64];
    if (!a->endpoint != !b->endpoint || !ip_equal(&a->ip, &b->ip))
        return false;
    if (!a->endpoint || (!a->endpoint->label && !b->endpoint->label))
        return true; /* a name made from the address is the same for the same address */
    const uint8_t *la = snap_endpoint_label(sa, a->endpoint, buf_a);
    return memcmp(la, snap_endpoint_label(sb, b->endpoint, buf_b), 1u + la[0]) == 0;
}

static bool owner_is(const struct snap_owner *o, const struct snap_service *s)
{
    return o->key_len == s->key_len &&
           memcmp(o->name + o->name_len - 4 - s->key_len, s->key, s->key_len) == 0;
}

static uint8_t *put_owner(uint8_t *at, const struct snap_service *s, const struct claim *c)
{
    struct snap_owner *o = (struct snap_owner *)at;
    uint8_t *p = o->name, buf[64];
    if (c->endpoint) {
        const uint8_t *label = snap_endpoint_label(s, c->endpoint, buf);
        memcpy(p, label, 1u + label[0]);
        p += 1 + label[0];
    }
    memcpy(p, s->key, s->key_len);
    p += s->key_len;
    memcpy(p, "\003svc", 4);
    o->key_len = s->key_len;
    o->cluster_ip = !c->endpoint;
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

#define OWNERS_BYTES_MAX                                                                           \
    60000 /* of one address; some hundred Services may share a host's address */

/* The first endpoint that does not come before the address: a Service may have many thousands. */
static uint32_t first_endpoint(const struct snap_service *s, const struct ip *ip)
{
    uint32_t low = 0, high = s->n_endpoints;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ip_compare(&s->endpoints[middle].ip, ip) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What others own of the address, then every claim that `service` (NULL: none) has on it. */
static size_t collect_owners(const struct snap_address *old, const struct ip *ip,
                             const struct snap_service *mine, const struct snap_service *service,
                             uint8_t out[OWNERS_BYTES_MAX + 512], uint16_t *ret_n)
{
    uint8_t *at = out;
    struct claim c;
    for (const struct snap_owner *o = old ? snap_owner_next(old, NULL) : NULL; o;
         o = snap_owner_next(old, o)) {
        if (owner_is(o, mine))
            continue;
        memcpy(at, o, sizeof *o + o->name_len);
        at += sizeof *o + o->name_len;
        ++*ret_n;
    }
    if (!service)
        return (size_t)(at - out);
    struct claims all = { .s = service };
    while (all.i < cluster_ips(service) && claims_next(&all, &c)) {
        if (!ip_equal(&c.ip, ip))
            continue;
        at = put_owner(at, service, &c);
        ++*ret_n;
    }
    all.i = cluster_ips(service) + first_endpoint(service, ip);
    while (at - out <= OWNERS_BYTES_MAX && claims_next(&all, &c) && ip_equal(&c.ip, ip)) {
        at = put_owner(at, service, &c);
        ++*ret_n;
    }
    return (size_t)(at - out);
}

static void rebuild(struct snapshot *s, const struct ip *ip, const struct snap_service *mine,
                    const struct snap_service *service)
{
    static uint8_t owners[OWNERS_BYTES_MAX + 512]; /* the control thread's */
    uint16_t n = 0;
    size_t bytes = collect_owners(snapshot_address(s, ip), ip, mine, service, owners, &n);
    struct snap_address *a = NULL;
    if (n) {
        a = xcalloc(1, sizeof *a + bytes);
        a->ip = *ip;
        a->n_owners = n;
        a->bytes = (uint16_t)bytes;
        memcpy(a->owners, owners, bytes);
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
        while (have_y && ((!y.endpoint && x.endpoint) ||
                          (!y.endpoint == !x.endpoint && ip_compare(&y.ip, &x.ip) < 0)))
            have_y = claims_next(&all_b, &y);
        if (!have_y || !claim_equal(a, &x, b, &y))
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
