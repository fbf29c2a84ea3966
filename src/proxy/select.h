/* Which endpoints stand behind one port of a Service, and for whom: pure functions over slices.
 * Sources: Kubernetes, "EndpointSlices", conditions; "Traffic policies", terminating endpoints;
 * "Topology Aware Routing"; "Service", trafficDistribution. */
#pragma once

#include "base/vec.h"
#include "kube/service.h"
#include "kube/slice.h"
#include "proxy/portal.h"

/* A Service or slice with one of these labels belongs to another proxy, or to none. */
bool proxy_ignores(const struct meta *m);

struct slice_list {
    VEC(const struct slice *) slices;
};

/* Where this proxy is. */
struct place {
    const char *node_name;
    const char *zone;       /* "" when the node has none */
    struct ip addresses[2]; /* of the node, IPv4 and IPv6; family 0: not known */
};

/* Which lists the policies ask for. */
struct selection {
    bool want_cluster, want_local;
    bool want_serving; /* also backends of no list that still answer, for the clean-up of flows */
};

typedef VEC(struct backend) backends;

/* The backends of one port, sorted, each address and port once. Endpoints count when their slice
 * has the family and a port with the name and the protocol of `port`. Cluster list: ready ones,
 * narrowed by hints for this node or else this zone when every ready endpoint has such; Local list:
 * ready ones of this node. When no ready one is left, those that still serve while they terminate.
 * *ret_left_out: how many were above PORTAL_BACKENDS_MAX. Returns whether any endpoint anywhere
 * could answer. */
bool select_backends(const struct service_port *port, uint8_t family,
                     const struct slice_list *slices, const struct place *place,
                     const struct selection *s, backends *ret, size_t *ret_left_out);

/* How many addresses of ready endpoints this node has, of all ports and families: what a load
 * balancer's health check is told. */
unsigned select_local_ready(const struct slice_list *slices, const struct place *place);
