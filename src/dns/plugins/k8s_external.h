/* The `k8s_external` plugin: Services under the names and addresses that they have outside the
 * cluster. Shared by its files only. */
#pragma once

#include "dns/plugins/kubernetes.h"

#define EXTERNAL_TTL_DEFAULT 5

struct external {
    struct zone_set *zones;
    int primary;      /* where PTR names live: the first zone that is not a reverse one, or 0 */
    uint8_t apex[64]; /* a wire label */
    uint32_t ttl;     /* of addresses, PTR, NS and SOA; the rest has that of `kubernetes` */
    bool headless;
    struct zone_set *fallthrough; /* NULL: none */
    struct offers *offers;
    const struct kubernetes *k; /* of the same block; since the start */
};

/* One question. */
struct external_query {
    struct query *q;
    const struct external *x;
    int zone;
    const struct snap_service *service;
    const struct snap_external *addresses; /* NULL: its endpoints are what is published */
    struct place place;                    /* port, protocol, endpoint of the name */
};

/* k8s_external_answer.c; false: no such name. *ret_step is what the plugin's step returns. */
bool external_answer(struct external_query *e, enum step *ret_step);
bool external_ptr(struct external_query *e, const struct ip *ip);
void external_soa(struct external_query *e, enum section s);
/* NS at the zone's apex, and the addresses of what it names. */
void external_ns(struct external_query *e);
/* Our own external addresses, of one family or (0) of both. */
void external_own_addresses(struct external_query *e, enum section s, const uint8_t *owner,
                            uint8_t family);
