/* v1 Pod, Node, Namespace, ConfigMap: what discovery and networking need of them. */
#pragma once

#include "kube/object.h"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

struct container_port {
    const char *name; /* or NULL */
    uint16_t port;
    enum protocol protocol;
};

struct pod {
    struct object object;
    const struct ip *ips;               /* status.podIPs, else status.podIP */
    const char *node;                   /* spec.nodeName or "" */
    const char *hostname, *subdomain;   /* or NULL */
    const struct container_port *ports; /* containers in order, then sidecar init containers */
    enum pod_phase phase;
    uint16_t n_ports;
    uint8_t n_ips;
    bool ready; /* condition Ready is True */
    bool host_network;
    int64_t ready_time_ns; /* lastTransitionTime of Ready, Unix ns; 0: none */
};

struct node {
    struct object object;
    const char *zone;                  /* label topology.kubernetes.io/zone or "" */
    const struct ip *internal_ips;     /* status.addresses of type InternalIP */
    const struct ip_prefix *pod_cidrs; /* spec.podCIDRs, else podCIDR */
    uint8_t n_internal_ips, n_pod_cidrs;
    bool ready;
    int64_t cpu_milli; /* status.allocatable.cpu in thousandths, with PART_WRITING; 0: none */
    bool leaving;      /* taint ToBeDeletedByClusterAutoscaler */
};

/* A range of cluster IPs. */
struct service_cidr {
    struct object object;
    const struct ip_prefix *cidrs; /* spec.cidrs: at most one a family */
    uint8_t n_cidrs;
};

struct namespace
{
    struct object object;
};

/* One of which no more is known than its name, with the label that every Namespace has. */
struct object *namespace_new(const char *name);

struct configmap {
    struct object object;
    const struct label *data; /* key, text */
    uint16_t n_data;
};

static inline const struct pod *pod_of(const struct object *o)
{
    return (const struct pod *)o;
}

/* It will not run again. */
static inline bool pod_is_finished(const struct pod *p)
{
    return p->phase == POD_SUCCEEDED || p->phase == POD_FAILED;
}

static inline const struct node *node_of(const struct object *o)
{
    return (const struct node *)o;
}

static inline const struct service_cidr *service_cidr_of(const struct object *o)
{
    return (const struct service_cidr *)o;
}

static inline const struct configmap *configmap_of(const struct object *o)
{
    return (const struct configmap *)o;
}
