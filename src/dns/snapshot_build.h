/* The writer's side of a snapshot. Private to the room. */
#pragma once

#include "base/ht.h"
#include "base/metric.h"
#include "dns/snapshot.h"
#include "store/store.h"

struct snapshot {
    struct rcu_table services;           /* struct snap_service by key */
    struct rcu_table namespaces;         /* struct snap_label */
    struct rcu_table addresses;          /* struct snap_claim of Services, by ip */
    struct rcu_table pods;               /* struct snap_label: namespace label and address bytes */
    struct rcu_table clients;            /* struct snap_client by ip */
    struct rcu_table externals;          /* struct snap_external by key */
    struct rcu_table external_addresses; /* struct snap_claim of struct snap_external, by ip */
    _Atomic uint32_t serial;
    _Atomic bool synced;
    bool builds; /* blocks of Services: see snapshot_build() */
    struct store *store;
    struct snapshot_options options;
    struct listener listener;
    struct histogram programming; /* coredns_kubernetes_dns_programming_duration_seconds */
    struct ht pod_keys; /* "ns/name" -> its counted key (struct snap_label without entry) */
};

/* An entry that is nothing but its key. Two pods may have the same address for a moment: counted.
 */
struct snap_label {
    struct rcu_table_entry entry;
    unsigned refs; /* the writer's */
    uint8_t len;
    uint8_t key[];
};

/* The key of a pod entry; returns its length. */
size_t snap_pod_key(const uint8_t *ns_label, const struct ip *ip, uint8_t out[96]);

/* Builds the block of ns/name from what the store holds (snap_service.c). NULL: neither a Service
 * nor slices that count. Names that cannot be DNS labels give NULL, too. */
struct snap_service *snap_service_build(const struct snapshot *s, const char *ns, const char *name);

/* ---- reverse entries: snap_address.c ---- */

/* Fills the claims of a block whose addresses are in place. */
void snap_claims_make(struct snap_claim *claims, const void *block, uint32_t n,
                      struct ip (*ip_at)(const void *block, uint32_t i));
uint32_t snap_service_claims(const struct snap_service *s); /* how many */
struct ip snap_service_ip(const void *service, uint32_t i);
struct ip snap_external_ip(const void *external, uint32_t i);
bool snap_address_equal(const struct rcu_table_entry *e, const void *key, size_t len);
bool snap_external_address_equal(const struct rcu_table_entry *e, const void *key, size_t len);
/* The reverse table points at the new block's claims instead of the old one's. Either may be NULL.
 */
void snap_addresses_update(struct snapshot *s, const struct snap_service *old,
                           const struct snap_service *new);
void snap_external_addresses_update(struct snapshot *s, const struct snap_external *old,
                                    const struct snap_external *new);

/* Reads the Service's external addresses anew; its key is given (snap_external.c). */
void snap_external_update(struct snapshot *s, const char *ns, const char *name, bool exposed,
                          const uint8_t *key, size_t len);
bool snap_external_equal(const struct rcu_table_entry *e, const void *key, size_t len);

/* The pod is the one that has its first address; and is no more, when it still was (snap_client.c).
 */
void snap_client_put(struct snapshot *s, const struct object *pod);
void snap_client_del(struct snapshot *s, const struct ip *ip, const struct meta *pod);
bool snap_client_equal(const struct rcu_table_entry *e, const void *key, size_t len);

/* "service namespace" as wire labels; 0 when one is not a label. out needs 128 bytes. */
size_t snap_key(const char *name, const char *ns, uint8_t out[128]);
/* The lower-cased text as a wire label; 0 when it is none. out needs 64 bytes. */
size_t snap_label_of(const char *text, uint8_t out[64]);
