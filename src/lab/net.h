/* The lab's wires. The world outside, each node and each pod have a network namespace of their own:
 *
 *   outside 172.18.0.1 -- bridge wire0 --+-- eth0 [node-1] bridge cni0 10.244.1.1 --+-- eth0 [pod]
 *                                        |                                          +-- eth0 [pod]
 *                                        +-- eth0 [node-2] bridge cni0 10.244.2.1 ----- eth0 [pod]
 *
 * A pod's address stands alone (/32, /128) and everything, its neighbours on the bridge too, is
 * behind the gateway. So all answers pass the node's address translation; were the bridge to switch
 * them directly, a client would get an answer from an address it never asked.
 *
 * Owner: the lab's first process, whose own network namespace is the world outside. */
#pragma once

#include "kernel/link.h"
#include "lab/topology.h"

struct net_place {
    int netns; /* -1: none */
    struct link_table links;
};

struct lab_net {
    struct net_place outside;
    struct net_place nodes[TOPOLOGY_NODES_MAX];
    unsigned n_nodes;
};

/* In the network namespace that is to be the world outside. */
int net_init(struct lab_net *n, struct err *e);

/* The node that the topology got last: its namespace, its link to the wire, its bridge, and routes
 * between it and all others. */
int net_add_node(struct lab_net *n, const struct topology *t, struct err *e);

/* A pod's namespace, wired to its node as link `name` (at most 15 characters) of the node. */
int net_add_pod(struct lab_net *n, const struct topology *t, const struct topology_pod *pod,
                const char *name, int *ret_netns, struct err *e);
void net_remove_pod(struct lab_net *n, unsigned node, const char *name);

/* An address of the world outside, on its loopback; nodes reach it by their default route. */
int net_add_outside_address(struct lab_net *n, const struct ip *ip, struct err *e);
