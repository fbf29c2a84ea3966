/* v1 Service. Source: Kubernetes API reference, core/v1 ServiceSpec. */
#pragma once

#include "kube/object.h"

enum service_type {
    SERVICE_CLUSTER_IP,
    SERVICE_NODE_PORT,
    SERVICE_LOAD_BALANCER,
    SERVICE_EXTERNAL_NAME
};

struct service_port {
    const char *name;         /* "" when unnamed */
    const char *app_protocol; /* or NULL */
    const char *target_name;  /* targetPort as a name, or NULL: then target_port */
    enum protocol protocol;
    uint16_t port, target_port, node_port;
};

struct lb_ingress {
    struct ip ip;         /* family 0: none */
    const char *hostname; /* or NULL */
    bool proxy_mode;      /* ipMode: Proxy */
};

struct service {
    struct object object;
    enum service_type type;
    bool headless;                /* the first clusterIP is "None" */
    const struct ip *cluster_ips; /* spec.clusterIPs, else spec.clusterIP; empty when headless or
                                   * not yet allocated */
    const struct service_port *ports;
    const struct label *selector; /* n_selector == 0: endpoints are someone else's business */
    const char *external_name;
    const struct ip *external_ips;
    const struct lb_ingress *ingress;      /* status.loadBalancer.ingress */
    const struct ip_prefix *source_ranges; /* loadBalancerSourceRanges */
    const char *traffic_distribution;      /* or NULL */
    const char *load_balancer_class;       /* or NULL */
    uint8_t families[2];                   /* spec.ipFamilies: 4 or 6; 0 behind the last */
    uint8_t n_cluster_ips, n_ingress, n_external_ips, n_source_ranges;
    uint16_t n_ports, n_selector;
    bool external_local, internal_local; /* the two traffic policies: Local */
    bool publish_not_ready;
    bool dual_stack_wanted;    /* ipFamilyPolicy PreferDualStack or RequireDualStack */
    uint32_t affinity_seconds; /* sessionAffinity ClientIP; 0: None */
    uint16_t health_check_node_port;
    /* With PART_WRITING: */
    int64_t created_ns; /* metadata.creationTimestamp, Unix ns; 0: none */
    bool topology_auto; /* an annotation asks for hints in proportion to the zones' CPUs */
};

static inline const struct service *service_of(const struct object *o)
{
    return (const struct service *)o;
}
