#include "kube/layout.h"

#include "kube/endpoints.h"
#include "kube/pod.h"
#include "kube/service.h"
#include "kube/slice.h"

#define SIZE(t, m) sizeof(((struct t *)0)->m)
#define PLAIN(t, m)                                                                                \
    {                                                                                              \
        .type = FIELD_PLAIN, .offset = offsetof(struct t, m), .size = SIZE(t, m)                   \
    }
#define TEXT(t, m)                                                                                 \
    {                                                                                              \
        .type = FIELD_TEXT, .offset = offsetof(struct t, m)                                        \
    }
#define LIST(t, m, n, of)                                                                          \
    {                                                                                              \
        .type = FIELD_LIST, .offset = offsetof(struct t, m),                                       \
        .count_offset = offsetof(struct t, n), .count_size = SIZE(t, n), .element = (of)           \
    }
#define META(t)                                                                                    \
    TEXT(t, object.meta.namespace), TEXT(t, object.meta.name), TEXT(t, object.meta.uid),           \
        { .type = FIELD_ORIGIN, .offset = offsetof(struct t, object.meta.origin) },                \
        LIST(t, object.meta.labels, object.meta.n_labels, &label_layout),                          \
        PLAIN(t, object.meta.deleting)
#define LAYOUT(t, is_flat)                                                                         \
    static const struct layout t##_layout = { .size = sizeof(struct t),                            \
                                              .fields = t##_fields,                                \
                                              .n_fields = ARRAY_SIZE(t##_fields),                  \
                                              .flat = (is_flat) }

static const struct field label_fields[] = { TEXT(label, key), TEXT(label, value) };
LAYOUT(label, false);

static const struct field ip_fields[] = { PLAIN(ip, family), PLAIN(ip, bytes) };
LAYOUT(ip, true);

static const struct field ip_prefix_fields[] = { PLAIN(ip_prefix, ip), PLAIN(ip_prefix, bits) };
LAYOUT(ip_prefix, true);

static const struct field namespace_fields[] = { META(namespace) };
LAYOUT(namespace, false);

static const struct field node_fields[] = {
    META(node),
    TEXT(node, zone),
    LIST(node, internal_ips, n_internal_ips, &ip_layout),
    LIST(node, pod_cidrs, n_pod_cidrs, &ip_prefix_layout),
    PLAIN(node, ready),
    PLAIN(node, cpu_milli),
    PLAIN(node, leaving),
};
LAYOUT(node, false);

static const struct field container_port_fields[] = {
    TEXT(container_port, name),
    PLAIN(container_port, port),
    PLAIN(container_port, protocol),
};
LAYOUT(container_port, false);

static const struct field pod_fields[] = {
    META(pod),
    LIST(pod, ips, n_ips, &ip_layout),
    TEXT(pod, node),
    TEXT(pod, hostname),
    TEXT(pod, subdomain),
    LIST(pod, ports, n_ports, &container_port_layout),
    PLAIN(pod, phase),
    PLAIN(pod, ready),
    PLAIN(pod, host_network),
    PLAIN(pod, ready_time_ns),
};
LAYOUT(pod, false);

static const struct field service_port_fields[] = {
    TEXT(service_port, name),        TEXT(service_port, app_protocol),
    TEXT(service_port, target_name), PLAIN(service_port, protocol),
    PLAIN(service_port, port),       PLAIN(service_port, target_port),
    PLAIN(service_port, node_port),
};
LAYOUT(service_port, false);

static const struct field lb_ingress_fields[] = {
    PLAIN(lb_ingress, ip),
    TEXT(lb_ingress, hostname),
    PLAIN(lb_ingress, proxy_mode),
};
LAYOUT(lb_ingress, false);

static const struct field service_fields[] = {
    META(service),
    PLAIN(service, type),
    PLAIN(service, headless),
    LIST(service, cluster_ips, n_cluster_ips, &ip_layout),
    LIST(service, ports, n_ports, &service_port_layout),
    LIST(service, selector, n_selector, &label_layout),
    TEXT(service, external_name),
    LIST(service, external_ips, n_external_ips, &ip_layout),
    LIST(service, ingress, n_ingress, &lb_ingress_layout),
    LIST(service, source_ranges, n_source_ranges, &ip_prefix_layout),
    TEXT(service, traffic_distribution),
    TEXT(service, load_balancer_class),
    PLAIN(service, families),
    PLAIN(service, external_local),
    PLAIN(service, internal_local),
    PLAIN(service, publish_not_ready),
    PLAIN(service, dual_stack_wanted),
    PLAIN(service, affinity_seconds),
    PLAIN(service, health_check_node_port),
    PLAIN(service, created_ns),
    PLAIN(service, topology_auto),
};
LAYOUT(service, false);

static const struct field slice_port_fields[] = {
    TEXT(slice_port, name),
    TEXT(slice_port, app_protocol),
    PLAIN(slice_port, port),
    PLAIN(slice_port, protocol),
};
LAYOUT(slice_port, false);

static const struct field endpoint_fields[] = {
    PLAIN(endpoint, ip),           PLAIN(endpoint, conditions), PLAIN(endpoint, n_hints),
    PLAIN(endpoint, n_node_hints), PLAIN(endpoint, hostname),   PLAIN(endpoint, zone),
};
LAYOUT(endpoint, true);

static const struct field endpoint_more_fields[] = {
    PLAIN(endpoint_more, first_hint),
    PLAIN(endpoint_more, node),
    PLAIN(endpoint_more, pod),
    PLAIN(endpoint_more, pod_namespace),
};
LAYOUT(endpoint_more, true);

static const struct field endpoint_target_fields[] = {
    PLAIN(endpoint_target, kind),        PLAIN(endpoint_target, namespace),
    PLAIN(endpoint_target, name),        PLAIN(endpoint_target, uid),
    PLAIN(endpoint_target, api_version), PLAIN(endpoint_target, field_path),
    PLAIN(endpoint_target, version),
};
LAYOUT(endpoint_target, true);

static const struct layout offset_layout = { .size = sizeof(uint32_t), .flat = true };
static const struct layout byte_layout = { .size = 1, .flat = true };

static const struct field slice_fields[] = {
    META(slice),
    TEXT(slice, service),
    LIST(slice, ports, n_ports, &slice_port_layout),
    LIST(slice, endpoints, n_endpoints, &endpoint_layout),
    LIST(slice, more, n_more, &endpoint_more_layout),
    LIST(slice, hints, n_hints, &offset_layout),
    LIST(slice, pool, pool_len, &byte_layout),
    TEXT(slice, fqdn),
    PLAIN(slice, family),
    PLAIN(slice, computed),
    PLAIN(slice, trigger_time_ns),
    TEXT(slice, version),
    TEXT(slice, owner_kind),
    TEXT(slice, owner_uid),
    LIST(slice, annotations, n_annotations, &label_layout),
    LIST(slice, targets, n_targets, &endpoint_target_layout),
};
LAYOUT(slice, false);

static const struct field endpoints_address_fields[] = {
    PLAIN(endpoints_address, ip),
    TEXT(endpoints_address, hostname),
    TEXT(endpoints_address, node),
    TEXT(endpoints_address, target.kind),
    TEXT(endpoints_address, target.namespace),
    TEXT(endpoints_address, target.name),
    TEXT(endpoints_address, target.uid),
    TEXT(endpoints_address, target.api_version),
    TEXT(endpoints_address, target.field_path),
    TEXT(endpoints_address, target.version),
};
LAYOUT(endpoints_address, false);

static const struct field endpoints_subset_fields[] = {
    LIST(endpoints_subset, addresses, n_addresses, &endpoints_address_layout),
    LIST(endpoints_subset, not_ready, n_not_ready, &endpoints_address_layout),
    LIST(endpoints_subset, ports, n_ports, &slice_port_layout),
};
LAYOUT(endpoints_subset, false);

static const struct field endpoints_fields[] = {
    META(endpoints),
    LIST(endpoints, subsets, n_subsets, &endpoints_subset_layout),
    TEXT(endpoints, version),
    LIST(endpoints, annotations, n_annotations, &label_layout),
    PLAIN(endpoints, trigger_time_ns),
};
LAYOUT(endpoints, false);

static const struct field configmap_fields[] = {
    META(configmap),
    LIST(configmap, data, n_data, &label_layout),
};
LAYOUT(configmap, false);

static const struct field service_cidr_fields[] = {
    META(service_cidr),
    LIST(service_cidr, cidrs, n_cidrs, &ip_prefix_layout),
};
LAYOUT(service_cidr, false);

const struct layout *const layouts[KIND_COUNT] = {
    [KIND_NAMESPACE] = &namespace_layout,
    [KIND_NODE] = &node_layout,
    [KIND_POD] = &pod_layout,
    [KIND_SERVICE] = &service_layout,
    [KIND_SLICE] = &slice_layout,
    [KIND_CONFIGMAP] = &configmap_layout,
    [KIND_ENDPOINTS] = &endpoints_layout,
    [KIND_SERVICE_CIDR] = &service_cidr_layout,
};
