/* The picture of a cluster that queries look at: Services with their addresses ready for the wire,
 * namespaces, pods, and who owns an address.
 *
 * One snapshot belongs to one `kubernetes` plugin instance and reflects its options. The control
 * thread builds it from the store and follows the store's changes; workers read it without locks.
 * Each Service is one immutable block; a change of a Service or of one of its slices replaces that
 * block and the reverse entries of the addresses that came or went, nothing else (docs/decisions).
 * Pointers that a reader gets are valid until its batch ends. */
#pragma once

#include "base/arena.h"
#include "base/ip.h"
#include "dns/rcu_table.h"
#include "wire/rr.h"

#include <string.h>

struct store;
struct selector;

enum snapshot_pods { PODS_DISABLED, PODS_INSECURE, PODS_VERIFIED };

struct snapshot_options {
    const char *const *namespaces; /* exposed ones; n_namespaces 0: all */
    size_t n_namespaces;
    const struct selector *namespace_labels; /* NULL: all */
    const struct selector *labels;           /* of Services, slices, pods; NULL: all */
    enum snapshot_pods pods;
    const char *node; /* only pods of that node (pods verified); NULL: all */
    bool endpoints;   /* false: `noendpoints` */
    bool endpoint_pod_names;
    bool ignore_empty; /* ClusterIP Services without a ready endpoint do not exist */
    bool externals;    /* someone asks for external addresses (`k8s_external`) */
    bool clients;      /* someone asks which pod the client is (`metadata`); pods verified */
};

enum snap_kind {
    SNAP_ORPHAN, /* slices without a Service: reverse names only */
    SNAP_CLUSTER_IP,
    SNAP_HEADLESS,
    SNAP_EXTERNAL,
};

/* A port; number -1: none (the Service or slice lists no ports). */
struct snap_port {
    int32_t number;
    uint32_t name;     /* offset of a length-prefixed, lower-case text in the pool */
    uint32_t protocol; /* the same: "tcp" */
};

struct snap_group { /* the ports that a slice's endpoints share */
    uint16_t first, n;
};

/* Its address is apart: snap_endpoint_ip(). */
struct snap_endpoint {
    uint32_t label; /* pool offset of the endpoint's name as a wire label; 0: dashed address */
    uint32_t zone;  /* pool offset, length-prefixed; 0: none */
    uint16_t group;
};

/* A block's claim to one address; the reverse tables point at them. */
struct snap_claim {
    struct rcu_table_entry entry;
    uint32_t back; /* bytes from the head of the block */
};

struct snap_service {
    struct rcu_table_entry entry;
    _Atomic bool visible; /* its namespace exists and is exposed */
    bool hidden_empty;    /* `ignore empty_service` applies */
    uint8_t kind;
    uint8_t key_len;
    uint16_t n_ports; /* of the Service: ports[0..n_ports) */
    uint16_t n_groups;
    uint32_t n_a, n_aaaa; /* addresses of the Service's own name, without duplicates */
    uint32_t n_endpoints;
    uint32_t n_ipv4;    /* of them, and they come first */
    const uint8_t *key; /* wire labels "service namespace", lower case, no root label */
    const uint8_t *a, *aaaa;
    const struct snap_port *ports; /* the Service's, then those of the groups */
    const struct snap_group *groups;
    const struct snap_endpoint *endpoints; /* ready ones, sorted by address */
    const uint8_t *endpoint_ips;           /* theirs: 4 bytes each of IPv4, then 16 each */
    const struct snap_claim *claims;       /* of its cluster IPs, then of its endpoints */
    const uint8_t *pool;
    const uint8_t *external; /* plain wire; NULL: none, or an address literal */
};

#define SNAP_OWNERS_MAX 1024 /* of one address; more are left out */
#define SNAP_OWNER_NAME 200  /* bytes of an owner's name */

/* Who has an address: a Service as its cluster IP (endpoint NULL), or an endpoint in a Service. */
struct snap_owner {
    const struct snap_service *service;
    const struct snap_endpoint *endpoint;
};

/* A walk over the owners of an address, in arbitrary order. */
struct snap_owners {
    struct rcu_table_walk walk;
    struct ip ip;
};

#define SNAP_EXTERNAL_HOSTS 16 /* host names of one Service's balancers; more are left out */

/* The addresses of a Service outside the cluster; only those that have some are listed. */
struct snap_external {
    struct rcu_table_entry entry;
    uint16_t n_a, n_aaaa; /* without duplicates */
    uint8_t n_hosts;
    uint8_t key_len;
    const struct snap_claim *claims; /* of a, then of aaaa */
    const uint8_t *a, *aaaa;
    const uint8_t *hosts; /* plain wires, one behind the other */
    const uint8_t *key;   /* as the Service's */
};

/* The pod that has an address. */
struct snap_client {
    struct rcu_table_entry entry;
    struct ip ip;
    uint16_t n_labels;
    char text[]; /* namespace, name, and keys and values of the labels, each with its NUL */
};

struct snapshot;

struct snapshot *snapshot_new(struct store *store, const struct snapshot_options *options);
/* Services are not in it before the store is synced, or this is called. Control thread. */
void snapshot_build(struct snapshot *s);
/* Control thread; after the workers have ended. */
void snapshot_free(struct snapshot *s);

/* ---- readers ---- */

/* key: the wire labels "service namespace" of the lower-cased question. NULL when there is none. */
const struct snap_service *snapshot_service(const struct snapshot *s, const uint8_t *key,
                                            size_t len);
/* The same in steps, for look-ahead: the key's hash, hints, and the look-up with a hash at hand. */
uint64_t snapshot_hash(const uint8_t *key, size_t len);
void snapshot_prefetch(const struct snapshot *s, uint64_t hash, bool entry);
const struct snap_service *snapshot_service_hashed(const struct snapshot *s, uint64_t hash,
                                                   const uint8_t *key, size_t len);
/* label: one wire label (length and lower-case text). Exists and is exposed? */
bool snapshot_namespace(const struct snapshot *s, const uint8_t *label);
struct snap_owners snapshot_owners(const struct snapshot *s, const struct ip *ip);
bool snap_owners_next(struct snap_owners *w, struct snap_owner *ret);
/* The owner's name below the zone: [endpoint] service namespace "svc", labels without root. Returns
 * its length. */
size_t snap_owner_name(const struct snap_owner *o, uint8_t out[SNAP_OWNER_NAME]);
/* Is there a pod with this podIP in the namespace (wire label)? (pods verified) */
bool snapshot_pod(const struct snapshot *s, const uint8_t *ns_label, const struct ip *ip);
/* The pod with this podIP, of two the one that came later; NULL: none, or nobody asked for clients
 * in the options. */
const struct snap_client *snapshot_client(const struct snapshot *s, const struct ip *ip);
const char *snap_client_name(const struct snap_client *c);
const char *snap_client_label(const struct snap_client *c, const char *key); /* NULL: none */
/* NULL: no external addresses, or nobody asked for them in the options. Whether the Service is
 * visible is not looked at. */
const struct snap_external *snapshot_external(const struct snapshot *s, const uint8_t *key,
                                              size_t len);
/* Whose external address is that? NULL ends. */
struct snap_owners snapshot_external_owners(const struct snapshot *s, const struct ip *ip);
const struct snap_external *snap_external_owners_next(struct snap_owners *w);
/* Every Service that is visible, in arbitrary order. Control thread, or a worker within one batch.
 */
void snapshot_each_service(const struct snapshot *s,
                           void (*fn)(void *ctx, const struct snap_service *service), void *ctx);
bool snapshot_synced(const struct snapshot *s);
uint32_t snapshot_serial(
    const struct snapshot *s); /* Unix seconds of the last change; 0: none yet */

/* The dashed form of an address as a wire label ("\x08" "10-1-0-2"); out needs 64 bytes. */
void snap_dashed_text(const struct ip *ip, uint8_t out[64]);
/* The same as an endpoint's name: "fd00-1--" would end in a dash, which no host name may, and is
 * "fd00-1--0". */
void snap_dashed_label(const struct ip *ip, uint8_t out[64]);
/* And back: text of a label, dots for dashes or colons for dashes; false when it is no address. */
bool snap_dashed_ip(const uint8_t *label, struct ip *ret_ip);

/* i: of a Service's endpoints. The bytes live as long as the block. */
static inline const uint8_t *snap_endpoint_bytes(const struct snap_service *s, uint32_t i)
{
    uint32_t v6 = i < s->n_ipv4 ? 0 : i - s->n_ipv4;
    return s->endpoint_ips + 4 * (size_t)(i - v6) + 16 * (size_t)v6;
}

static inline struct ip snap_endpoint_ip_at(const struct snap_service *s, uint32_t i)
{
    struct ip ip = { .family = i < s->n_ipv4 ? 4 : 6 };
    memcpy(ip.bytes, snap_endpoint_bytes(s, i), ip_len(&ip));
    return ip;
}

static inline struct ip snap_endpoint_ip(const struct snap_service *s,
                                         const struct snap_endpoint *e)
{
    return snap_endpoint_ip_at(s, (uint32_t)(e - s->endpoints));
}

/* The endpoint's name as a wire label; derived ones are written to buf (64 bytes). */
const uint8_t *snap_endpoint_label(const struct snap_service *s, const struct snap_endpoint *e,
                                   uint8_t buf[64]);
