/* One Service's block of a snapshot, from the store's objects. */
#include "dns/snapshot_build.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "kube/selector.h"
#include "kube/service.h"
#include "kube/slice.h"

#include <string.h>

#define ZONES_SHARED 8 /* different zones of a Service's endpoints that are stored once */

struct draft_endpoint {
    struct ip ip;
    struct snap_endpoint rest;
};

/* The block while it grows; compact() makes it one allocation. Its arrays are used again. */
struct draft {
    const struct snapshot *snapshot;
    const struct service *service; /* NULL: orphan slices */
    const char *fqdn;              /* of a slice with host names, or NULL */
    VEC(struct snap_port) ports;
    VEC(struct snap_group) groups;
    VEC(struct draft_endpoint) endpoints;
    VEC(uint8_t) pool;
    uint32_t zones[ZONES_SHARED]; /* pool offsets; 0: none yet */
};

size_t snap_label_of(const char *text, uint8_t out[64])
{
    size_t n = strlen(text);
    if (n == 0 || n > NAME_MAX_LABEL)
        return 0;
    out[0] = (uint8_t)n;
    name_lower(out + 1, (const uint8_t *)text, n);
    return n + 1;
}

size_t snap_key(const char *name, const char *ns, uint8_t out[128])
{
    size_t n = snap_label_of(name, out);
    size_t m = n ? snap_label_of(ns, out + n) : 0;
    return m ? n + m : 0;
}

/* Length-prefixed, lower case, at most 255 bytes; "" is pool offset 0. */
static uint32_t pool_add(struct draft *d, const char *text)
{
    size_t n = strnlen(text, 255), at = d->pool.n;
    if (n == 0)
        return 0;
    vec_reserve(&d->pool, at + 1 + n);
    d->pool.items[at] = (uint8_t)n;
    name_lower(d->pool.items + at + 1, (const uint8_t *)text, n);
    d->pool.n += 1 + n;
    return (uint32_t)at;
}

/* Endpoints lie in a handful of zones. */
static uint32_t zone_add(struct draft *d, const char *text)
{
    size_t n = strlen(text), i = 0;
    for (; n && i < ZONES_SHARED && d->zones[i]; i++) {
        const uint8_t *known = d->pool.items + d->zones[i];
        if (known[0] == n && strncasecmp((const char *)known + 1, text, n) == 0)
            return d->zones[i];
    }
    uint32_t at = pool_add(d, text);
    if (i < ZONES_SHARED)
        d->zones[i] = at;
    return at;
}

static void add_port(struct draft *d, const char *name, const char *protocol, int32_t number)
{
    vec_push(&d->ports, (struct snap_port){ .number = number,
                                            .name = pool_add(d, name),
                                            .protocol = pool_add(d, protocol) });
}

static void add_service_ports(struct draft *d)
{
    for (uint16_t i = 0; i < d->service->n_ports; i++) {
        const struct service_port *p = &d->service->ports[i];
        add_port(d, p->name, protocol_text(p->protocol), p->port);
    }
    if (d->service->n_ports == 0)
        add_port(d, "", "", -1);
}

static uint16_t add_group(struct draft *d, const struct slice *slice)
{
    struct snap_group g = { .first = (uint16_t)d->ports.n, .n = slice->n_ports };
    for (uint16_t i = 0; i < slice->n_ports; i++)
        add_port(d, slice->ports[i].name, protocol_text(slice->ports[i].protocol),
                 slice->ports[i].port);
    if (slice->n_ports == 0) {
        add_port(d, "", "", -1);
        g.n = 1;
    }
    vec_push(&d->groups, g);
    return (uint16_t)(d->groups.n - 1);
}

/* The name that the endpoint goes by: hostname, pod name if wanted, or its dashed address (0). A
 * pod name with dots would be several labels, which a Service's endpoint cannot have. */
static uint32_t endpoint_label(struct draft *d, const struct slice *slice, const struct endpoint *e)
{
    uint8_t label[64];
    if (e->hostname && snap_label_of(slice_str(slice, e->hostname), label))
        return pool_add(d, slice_str(slice, e->hostname));
    const char *pod = slice_str(slice, slice_more(slice, e).pod);
    if (d->snapshot->options.endpoint_pod_names && snap_label_of(pod, label) &&
        !memchr(label + 1, '.', label[0]))
        return pool_add(d, pod);
    return 0;
}

static void add_slice(void *ctx, const struct object *o)
{
    struct draft *d = ctx;
    const struct slice *slice = slice_of(o);
    if (!selector_match(d->snapshot->options.labels, &o->meta))
        return;
    if (!slice->family) {
        d->fqdn = slice->fqdn;
        return;
    }
    uint16_t group = add_group(d, slice);
    for (uint32_t i = 0; i < slice->n_endpoints; i++) {
        const struct endpoint *e = &slice->endpoints[i];
        if (!(e->conditions & ENDPOINT_READY))
            continue;
        vec_push(&d->endpoints, (struct draft_endpoint){
                                    .ip = e->ip,
                                    .rest = { .group = group,
                                              .label = endpoint_label(d, slice, e),
                                              .zone = zone_add(d, slice_str(slice, e->zone)) } });
    }
}

static int by_address(const void *a, const void *b)
{
    return ip_compare(&((const struct draft_endpoint *)a)->ip,
                      &((const struct draft_endpoint *)b)->ip);
}

static uint8_t kind_of(const struct service *s)
{
    if (!s)
        return SNAP_ORPHAN;
    if (s->type == SERVICE_EXTERNAL_NAME)
        return SNAP_EXTERNAL;
    return s->headless ? SNAP_HEADLESS : SNAP_CLUSTER_IP;
}

/* The wire form of an externalName, or of a headless Service's host name; nothing for address
 * literals, which cannot be a CNAME's target. */
static uint8_t external_wire(const struct draft *d, uint8_t kind, struct name *ret_name)
{
    struct ip ip;
    const char *text = kind == SNAP_EXTERNAL   ? d->service->external_name
                       : kind == SNAP_HEADLESS ? d->fqdn
                                               : NULL;
    if (!text || ip_parse(text, &ip) == 0 || name_from_text(text, ret_name) < 0)
        return 0;
    return ret_name->len;
}

static uint8_t *put_ip(uint8_t *at, const struct ip *ip)
{
    return (uint8_t *)memcpy(at, ip->bytes, ip_len(ip)) + ip_len(ip);
}

static uint8_t *put_endpoint_ips(struct snap_service *b, uint8_t *at, const struct draft *d)
{
    b->n_endpoints = (uint32_t)d->endpoints.n;
    b->endpoint_ips = at;
    for (size_t i = 0; i < d->endpoints.n; i++) {
        at = put_ip(at, &d->endpoints.items[i].ip);
        b->n_ipv4 += d->endpoints.items[i].ip.family == 4;
    }
    return at;
}

static uint32_t put_family(uint8_t **at, const struct service *s, uint8_t family)
{
    uint32_t n = 0;
    for (uint8_t i = 0; i < s->n_cluster_ips; i++)
        if (s->cluster_ips[i].family == family) {
            *at = put_ip(*at, &s->cluster_ips[i]);
            n++;
        }
    return n;
}

static uint8_t *put_cluster_ips(struct snap_service *b, uint8_t *at, const struct draft *d)
{
    b->a = at;
    b->n_a = put_family(&at, d->service, 4);
    b->aaaa = at;
    b->n_aaaa = put_family(&at, d->service, 6);
    return at;
}

static bool is_repeated(const struct draft *d, size_t i)
{
    const struct draft_endpoint *e = &d->endpoints.items[i];
    return i > 0 && ip_equal(&e->ip, &e[-1].ip);
}

static bool some_repeated(const struct draft *d)
{
    for (size_t i = 1; i < d->endpoints.n; i++)
        if (is_repeated(d, i))
            return true;
    return false;
}

/* Each address of the endpoints once; mostly they are that already. */
static uint8_t *put_distinct(struct snap_service *b, uint8_t *at, const struct draft *d)
{
    bool copy = some_repeated(d);
    b->a = copy ? at : b->endpoint_ips;
    for (size_t i = 0; i < d->endpoints.n; i++) {
        const struct ip *ip = &d->endpoints.items[i].ip;
        if (is_repeated(d, i))
            continue;
        b->n_a += ip->family == 4;
        b->n_aaaa += ip->family == 6;
        if (copy)
            at = put_ip(at, ip);
    }
    b->aaaa = b->a + 4 * (size_t)b->n_a;
    return at;
}

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* Upper bound of what put_addresses() writes. */
static size_t addresses_max(uint8_t kind, const struct draft *d)
{
    size_t ips = 0, own = 0;
    for (size_t i = 0; i < d->endpoints.n; i++)
        ips += ip_len(&d->endpoints.items[i].ip);
    for (uint8_t i = 0; kind == SNAP_CLUSTER_IP && i < d->service->n_cluster_ips; i++)
        own += ip_len(&d->service->cluster_ips[i]);
    if (kind == SNAP_HEADLESS && some_repeated(d))
        own = ips;
    return align8(ips + own);
}

static uint8_t *put_addresses(struct snap_service *b, uint8_t *at, const struct draft *d)
{
    uint8_t *end = b->kind == SNAP_CLUSTER_IP ? put_cluster_ips(b, at, d) : at;
    end = put_endpoint_ips(b, end, d);
    if (b->kind == SNAP_HEADLESS)
        end = put_distinct(b, end, d);
    return at + align8((size_t)(end - at));
}

static struct snap_endpoint *put_endpoints(uint8_t **at, const struct draft *d)
{
    struct snap_endpoint *all = (struct snap_endpoint *)(void *)*at;
    for (size_t i = 0; i < d->endpoints.n; i++)
        all[i] = d->endpoints.items[i].rest;
    *at += align8(d->endpoints.n * sizeof *all);
    return all;
}

static void *carve(uint8_t **at, const void *from, size_t n)
{
    uint8_t *p = *at;
    if (n)
        memcpy(p, from, n);
    *at += align8(n);
    return p;
}

static struct snap_service *compact(struct draft *d, const uint8_t *key, size_t key_len)
{
    struct name external;
    uint8_t kind = kind_of(d->service);
    uint8_t external_len = external_wire(d, kind, &external);
    size_t ports = d->ports.n * sizeof(struct snap_port);
    size_t groups = d->groups.n * sizeof(struct snap_group);
    size_t endpoints = d->endpoints.n * sizeof(struct snap_endpoint);
    size_t n_claims = d->endpoints.n + (d->service ? d->service->n_cluster_ips : 0);
    struct snap_service *b =
        xcalloc(1, align8(sizeof *b) + align8(endpoints) + align8(ports) + align8(groups) +
                       align8(d->pool.n) + align8(key_len) + align8(external_len) +
                       addresses_max(kind, d) + n_claims * sizeof(struct snap_claim));
    uint8_t *at = (uint8_t *)b + align8(sizeof *b);
    b->entry.hash = (uint32_t)hash_bytes(key, key_len);
    b->kind = kind;
    b->key_len = (uint8_t)key_len;
    /* What most questions need comes first, next to the head: one or two cache lines. */
    b->key = carve(&at, key, key_len);
    at = put_addresses(b, at, d);
    b->external = external_len ? carve(&at, external.wire, external_len) : NULL;
    b->ports = carve(&at, d->ports.items, ports);
    b->groups = carve(&at, d->groups.items, groups);
    b->endpoints = put_endpoints(&at, d);
    b->pool = carve(&at, d->pool.items, d->pool.n);
    b->n_groups = (uint16_t)d->groups.n;
    b->claims = (struct snap_claim *)at;
    snap_claims_make((struct snap_claim *)at, b, snap_service_claims(b), snap_service_ip);
    return b;
}

/* Most slices are in order already. */
static void sort_endpoints(struct draft *d)
{
    size_t i = 1;
    while (i < d->endpoints.n &&
           by_address(&d->endpoints.items[i - 1], &d->endpoints.items[i]) <= 0)
        i++;
    if (i < d->endpoints.n)
        qsort(d->endpoints.items, d->endpoints.n, sizeof *d->endpoints.items, by_address);
}

static void begin(struct draft *d, const struct snapshot *s, const struct service *service)
{
    d->snapshot = s;
    d->service = service;
    d->fqdn = NULL;
    vec_clear(&d->ports);
    vec_clear(&d->groups);
    vec_clear(&d->endpoints);
    vec_clear(&d->pool);
    memset(d->zones, 0, sizeof d->zones);
    vec_push(&d->pool, 0); /* offset 0: the empty text */
}

struct snap_service *snap_service_build(const struct snapshot *s, const char *ns, const char *name)
{
    uint8_t key[128];
    static struct draft d; /* the control thread's */
    size_t key_len = snap_key(name, ns, key);
    const struct object *o = store_get(s->store, KIND_SERVICE, ns, name);
    if (o && !selector_match(s->options.labels, &o->meta))
        o = NULL;
    begin(&d, s, o ? service_of(o) : NULL);
    if (d.service)
        add_service_ports(&d);
    uint16_t n_service_ports = (uint16_t)d.ports.n;
    if (s->options.endpoints)
        store_each_slice_of(s->store, ns, name, add_slice, &d);
    sort_endpoints(&d);
    struct snap_service *b = NULL;
    if (key_len && (d.service || d.endpoints.n)) {
        b = compact(&d, key, key_len);
        b->n_ports = n_service_ports;
        b->hidden_empty = s->options.ignore_empty && b->kind == SNAP_CLUSTER_IP && !b->n_endpoints;
    }
    return b;
}
