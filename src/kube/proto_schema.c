/* Field numbers are those of generated.proto in k8s.io/api and k8s.io/apimachinery, which never
 * change. */
#include "kube/proto_schema.h"

#include "base/mem.h"
#include "kube/object.h"
#include "kube/proto.h"

#include <string.h>

/* clang-format off */
#define STRING(n, name)       { n, PROTO_STRING, false, 0, name, NULL }
#define STRINGS(n, name)      { n, PROTO_STRING, true, 0, name, NULL }
#define INT(n, name)          { n, PROTO_INT, false, 0, name, NULL }
#define BOOL(n, name)         { n, PROTO_BOOL, false, 0, name, NULL }
#define TIME(n, name)         { n, PROTO_TIME, false, 0, name, NULL }
#define MAP(n, name)          { n, PROTO_MAP, false, 0, name, NULL }
#define INT_OR_STRING(n, name) { n, PROTO_INT_OR_STRING, false, 0, name, NULL }
#define ONE(n, name, of)      { n, PROTO_MESSAGE, false, 0, name, &of }
#define MANY(n, name, of)     { n, PROTO_MESSAGE, true, 0, name, &of }
/* Read only for those who want one of these parts of objects. */
#define STRING_FOR(parts, n, name)   { n, PROTO_STRING, false, parts, name, NULL }
#define TIME_FOR(parts, n, name)     { n, PROTO_TIME, false, parts, name, NULL }
#define QUANTITIES_FOR(parts, n, name) { n, PROTO_QUANTITIES, false, parts, name, NULL }
#define ONE_FOR(parts, n, name, of)  { n, PROTO_MESSAGE, false, parts, name, &of }
#define MANY_FOR(parts, n, name, of) { n, PROTO_MESSAGE, true, parts, name, &of }
#define MESSAGE(m, ...)                                                                            \
    static const struct proto_field m##_fields[] = { __VA_ARGS__ };                                \
    _Static_assert(ARRAY_SIZE(m##_fields) <= PROTO_FIELDS_MAX, "too many fields");                 \
    static const struct proto_message m = { m##_fields, ARRAY_SIZE(m##_fields) }

/* ---- metav1 ---- */

MESSAGE(owner_reference, STRING(1, "kind"), STRING(3, "name"), STRING(4, "uid"), STRING(5, "apiVersion"),
        BOOL(6, "controller"), BOOL(7, "blockOwnerDeletion"));
MESSAGE(object_meta, STRING(1, "name"), STRING(3, "namespace"),
        STRING_FOR(PART_UID, 5, "uid"), STRING(6, "resourceVersion"),
        TIME_FOR(PART_WRITING, 8, "creationTimestamp"), TIME(9, "deletionTimestamp"), MAP(11, "labels"), MAP(12, "annotations"),
        MANY_FOR(PART_WRITING, 13, "ownerReferences", owner_reference));
MESSAGE(list_meta, STRING(2, "resourceVersion"), STRING(3, "continue"), INT(4, "remainingItemCount"));
MESSAGE(partial_metadata, ONE(1, "metadata", object_meta));
MESSAGE(list, ONE(1, "metadata", list_meta)); /* of any kind; its items are walked, not read */
MESSAGE(status_cause, STRING(1, "reason"), STRING(2, "message"), STRING(3, "field"));
MESSAGE(status_details, STRING(1, "name"), STRING(3, "kind"), MANY(4, "causes", status_cause),
        INT(5, "retryAfterSeconds"));
MESSAGE(status, STRING(2, "status"), STRING(3, "message"), STRING(4, "reason"),
        ONE(5, "details", status_details), INT(6, "code"));

/* ---- core/v1 ---- */

MESSAGE(namespace, ONE(1, "metadata", object_meta));

MESSAGE(taint, STRING(1, "key"));
MESSAGE(node_spec, STRING(1, "podCIDR"), MANY(5, "taints", taint), STRINGS(7, "podCIDRs"));
MESSAGE(condition, STRING(1, "type"), STRING(2, "status"), TIME(4, "lastTransitionTime"));
MESSAGE(node_address, STRING(1, "type"), STRING(2, "address"));
MESSAGE(node_status, QUANTITIES_FOR(PART_WRITING, 2, "allocatable"), MANY(4, "conditions", condition), MANY(5, "addresses", node_address));
MESSAGE(node, ONE(1, "metadata", object_meta), ONE(2, "spec", node_spec), ONE(3, "status", node_status));

MESSAGE(container_port, STRING(1, "name"), INT(3, "containerPort"), STRING(4, "protocol"));
MESSAGE(container, STRING(1, "name"), MANY(6, "ports", container_port), STRING(24, "restartPolicy"));
MESSAGE(pod_spec, MANY(2, "containers", container), STRING(10, "nodeName"), BOOL(11, "hostNetwork"),
        STRING(16, "hostname"), STRING(17, "subdomain"), MANY(20, "initContainers", container));
MESSAGE(pod_ip, STRING(1, "ip"));
MESSAGE(pod_status, STRING(1, "phase"), MANY(2, "conditions", condition), STRING(5, "hostIP"),
        STRING(6, "podIP"), MANY(12, "podIPs", pod_ip));
MESSAGE(pod, ONE(1, "metadata", object_meta), ONE(2, "spec", pod_spec), ONE(3, "status", pod_status));

MESSAGE(service_port, STRING(1, "name"), STRING(2, "protocol"), INT(3, "port"), INT_OR_STRING(4, "targetPort"),
        INT(5, "nodePort"), STRING(6, "appProtocol"));
MESSAGE(client_ip, INT(1, "timeoutSeconds"));
MESSAGE(affinity_config, ONE(1, "clientIP", client_ip));
MESSAGE(service_spec, MANY(1, "ports", service_port), MAP(2, "selector"), STRING(3, "clusterIP"), STRING(4, "type"),
        STRINGS(5, "externalIPs"), STRING(7, "sessionAffinity"), STRINGS(9, "loadBalancerSourceRanges"),
        STRING(10, "externalName"), STRING(11, "externalTrafficPolicy"), INT(12, "healthCheckNodePort"),
        BOOL(13, "publishNotReadyAddresses"), ONE(14, "sessionAffinityConfig", affinity_config),
        STRING(17, "ipFamilyPolicy"), STRINGS(18, "clusterIPs"), STRINGS(19, "ipFamilies"),
        STRING(21, "loadBalancerClass"), STRING(22, "internalTrafficPolicy"), STRING(23, "trafficDistribution"));
MESSAGE(ingress, STRING(1, "ip"), STRING(2, "hostname"), STRING(3, "ipMode"));
MESSAGE(balancer_status, MANY(1, "ingress", ingress));
MESSAGE(service_status, ONE(1, "loadBalancer", balancer_status));
MESSAGE(service, ONE(1, "metadata", object_meta), ONE(2, "spec", service_spec), ONE(3, "status", service_status));

MESSAGE(configmap, ONE(1, "metadata", object_meta), MAP(2, "data"));

MESSAGE(object_reference, STRING(1, "kind"), STRING(2, "namespace"), STRING(3, "name"), STRING(4, "uid"),
        STRING_FOR(PART_WRITING, 5, "apiVersion"), STRING_FOR(PART_WRITING, 6, "resourceVersion"),
        STRING_FOR(PART_WRITING, 7, "fieldPath"));
MESSAGE(endpoint_address, STRING(1, "ip"), ONE(2, "targetRef", object_reference), STRING(3, "hostname"),
        STRING(4, "nodeName"));
MESSAGE(subset_port, STRING(1, "name"), INT(2, "port"), STRING(3, "protocol"), STRING(4, "appProtocol"));
MESSAGE(endpoint_subset, MANY(1, "addresses", endpoint_address), MANY(2, "notReadyAddresses", endpoint_address),
        MANY(3, "ports", subset_port));
MESSAGE(endpoints, ONE(1, "metadata", object_meta), MANY(2, "subsets", endpoint_subset));

/* ---- discovery.k8s.io/v1, networking.k8s.io/v1, coordination.k8s.io/v1 ---- */

MESSAGE(endpoint_conditions, BOOL(1, "ready"), BOOL(2, "serving"), BOOL(3, "terminating"));
MESSAGE(named, STRING(1, "name"));
MESSAGE(endpoint_hints, MANY(1, "forZones", named), MANY(2, "forNodes", named));
MESSAGE(endpoint, STRINGS(1, "addresses"), ONE(2, "conditions", endpoint_conditions), STRING(3, "hostname"),
        ONE_FOR(PART_ENDPOINT_POD | PART_WRITING, 4, "targetRef", object_reference),
        STRING_FOR(PART_ENDPOINT_NODE, 6, "nodeName"), STRING(7, "zone"),
        ONE_FOR(PART_ENDPOINT_HINTS, 8, "hints", endpoint_hints));
MESSAGE(slice_port, STRING(1, "name"), STRING(2, "protocol"), INT(3, "port"), STRING(4, "appProtocol"));
MESSAGE(slice, ONE(1, "metadata", object_meta), MANY(2, "endpoints", endpoint), MANY(3, "ports", slice_port),
        STRING(4, "addressType"));

MESSAGE(service_cidr_spec, STRINGS(1, "cidrs"));
MESSAGE(service_cidr, ONE(1, "metadata", object_meta), ONE(2, "spec", service_cidr_spec));

MESSAGE(lease_spec, STRING(1, "holderIdentity"), INT(2, "leaseDurationSeconds"), TIME(3, "acquireTime"),
        TIME(4, "renewTime"), INT(5, "leaseTransitions"));
MESSAGE(lease, ONE(1, "metadata", object_meta), ONE(2, "spec", lease_spec));
/* clang-format on */

const struct proto_message *proto_message_find(const char *kind)
{
    static const struct {
        const char *kind;
        const struct proto_message *message;
    } kinds[] = {
        { "Namespace", &namespace },
        { "Node", &node },
        { "Pod", &pod },
        { "Service", &service },
        { "EndpointSlice", &slice },
        { "ConfigMap", &configmap },
        { "Endpoints", &endpoints },
        { "Lease", &lease },
        { "ServiceCIDR", &service_cidr },
        { "Status", &status },
        { "List", &list },
        { "PartialObjectMetadata", &partial_metadata },
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].message;
    return NULL;
}
