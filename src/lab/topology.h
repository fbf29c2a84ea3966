/* Who lives where, and with which addresses: pure arithmetic over nodes and pods.
 *
 * Nodes keep the addresses and pod networks of their manifests; what is missing is filled in. A Pod
 * keeps the node and address that its manifest names; others go to the node with the fewest Pods
 * and get that node's next address. Addresses are handed out in turn, so that one that was just
 * given back is not used again at once. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "base/vec.h"

#include <jansson.h>

#define TOPOLOGY_NODES_MAX 64
#define TOPOLOGY_FAMILIES  2

#define TOPOLOGY_OUTSIDE "172.18.0.1" /* the world behind the nodes' default route */

struct topology_node {
    char name[256];
    struct ip address[TOPOLOGY_FAMILIES];        /* InternalIPs; family 0 behind the last */
    struct ip_prefix pod_net[TOPOLOGY_FAMILIES]; /* the first host address is the gateway's */
    struct ip gateway[TOPOLOGY_FAMILIES];
    uint32_t last[TOPOLOGY_FAMILIES]; /* offset given out last */
    unsigned n_families, n_pods;
};

struct topology_pod {
    char *key; /* "NAMESPACE/NAME" */
    unsigned node;
    bool host_network;
    struct ip ips[TOPOLOGY_FAMILIES]; /* family 0 behind the last */
    unsigned n_ips;
};

struct topology {
    VEC(struct topology_node) nodes;
    VEC(struct topology_pod) pods;
};

void topology_done(struct topology *t);

/* A Node manifest, or NULL for a node that nobody described ("node-1"). */
int topology_add_node(struct topology *t, json_t *node, struct err *e);
const struct topology_node *topology_find_node(const struct topology *t, const char *name);

/* Finds the Pod a node and addresses. The result is valid until the next change. */
int topology_add_pod(struct topology *t, json_t *pod, const struct topology_pod **ret_pod,
                     struct err *e);
void topology_remove_pod(struct topology *t, const char *key);

/* Address number `offset` of a network. */
struct ip ip_at(const struct ip_prefix *net, uint32_t offset);
