/* Hints for zones in proportion to their CPUs, for Services with the annotation
 * service.kubernetes.io/topology-mode: Auto. A pure function: every ready endpoint gets the zone
 * that is to use it, mostly its own; zones with more endpoints than their share of the CPUs give
 * some to those with fewer. When that cannot be done without that a zone's endpoints get more than
 * 20 % too much to do, there are no hints at all.
 *
 * Source: Kubernetes "Topology Aware Routing" and its EndpointSlice controller. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "kube/pod.h"
#include "store/store.h"

/* A zone and its part of all CPUs. */
struct zone_share {
    const char *zone;
    int64_t cpu_milli;
    double ratio;
};

/* By name. Fewer than two: nothing can be said of them. */
struct zones {
    VEC(struct zone_share) shares;
    struct arena names;
    bool insufficient; /* a Node without zone or CPUs, or there are not two zones */
};

/* Of the ready Nodes that are not a control plane's. */
void zones_read(const struct store *store, struct zones *ret);
void zones_done(struct zones *z);

struct topology_endpoint {
    const char *zone; /* "": unknown */
    const char *hint; /* the only zone that it is for; "": none. In and out */
    bool ready;
};

/* written: its hints may be chosen. Otherwise it keeps those that it has if they will do; when not,
 * it is written as well. */
struct topology_slice {
    struct topology_endpoint *endpoints;
    size_t n;
    bool written;
};

struct zone_count {
    const char *zone;
    unsigned n;
};

struct topology {
    const struct zones *zones;
    struct topology_slice *slices; /* of one Service and family */
    size_t n_slices;
    struct arena *arena;
    /* Out: endpoints for each zone, in the arena; or why there are none, in words. */
    struct zone_count *counts;
    size_t n_counts;
    const char *refusal;
};

/* False: refused; there are no hints left. */
bool topology_hint(struct topology *t);
/* Have the CPUs moved so that a zone has too few endpoints now? */
bool topology_is_overloaded(const struct zones *z, const struct zone_count *counts, size_t n);
