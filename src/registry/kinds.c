/* The rows of the table of resources, and what the smaller kinds need of their own. Source:
 * Kubernetes API reference. */
#include "kube/check.h"
#include "registry/columns.h"
#include "registry/kind_pod.h"
#include "registry/kind_service.h"
#include "registry/kind_slice.h"
#include "registry/path.h"
#include "registry/resource.h"
#include "registry/value.h"

#include <string.h>

/* ---- names ---- */

/* Names that are parts of paths, and nothing more. */
static const char *path_segment_wrong(const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "must not be '.' or '..'";
    return strpbrk(name, "/%") ? "must not contain '/' or '%'" : NULL;
}

/* ---- Namespace ---- */

static void fill_namespace(struct write *w)
{
    const char *name = path_text(w->doc, "metadata.name");
    if (name && *name) {
        json_t *labels = path_object(w->doc, "metadata.labels");
        json_object_set_new(labels, "kubernetes.io/metadata.name", json_string(name));
    }
}

static void prepare_namespace(struct write *w)
{
    if (w->old)
        return;
    json_t *list = json_array();
    json_array_append_new(list, json_string("kubernetes"));
    path_default(w->doc, "spec.finalizers", list);
    path_set_text(w->doc, "status.phase", "Active");
}

/* ---- ConfigMap ---- */

#define CONFIG_MAP_BYTES_MAX ((size_t)1 << 20) /* of all values together */

/* Keys are names of files. */
static void check_data(const json_t *data, const char *path, struct fault *f)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._";
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        char field[320];
        (void)snprintf(field, sizeof field, "%s[%s]", path, key);
        if (!*key || key[strspn(key, letters)] || strlen(key) > 253 || strcmp(key, ".") == 0 ||
            strncmp(key, "..", 2) == 0)
            fault_text(f, field, key,
                       "must be letters, digits, '-', '_' and '.', at most 253, and not begin "
                       "with '..'");
    }
}

/* Of the values; those in base64 are a third longer than what counts. */
static size_t size_of(const json_t *data)
{
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        n += json_string_length(value);
    }
    return n;
}

static void check_config_map(struct write *w, struct fault *f)
{
    static const char why[] = "field is immutable when `immutable` is set";
    static const char *const fields[] = { "data", "binaryData" };
    const char *key;
    json_t *value;
    check_data(json_object_get(w->doc, "data"), "data", f);
    check_data(json_object_get(w->doc, "binaryData"), "binaryData", f);
    json_object_foreach(json_object_get(w->doc, "binaryData"), key, value)
    {
        char field[320];
        (void)snprintf(field, sizeof field, "data[%s]", key);
        if (json_object_get(json_object_get(w->doc, "data"), key))
            fault_text(f, field, key, "duplicate of key present in binaryData");
    }
    if (size_of(json_object_get(w->doc, "data")) +
            size_of(json_object_get(w->doc, "binaryData")) / 4 * 3 >
        CONFIG_MAP_BYTES_MAX)
        fault_too_long(f, "", CONFIG_MAP_BYTES_MAX);
    if (!w->old || !json_is_true(json_object_get(w->old, "immutable")))
        return;
    if (!json_is_true(json_object_get(w->doc, "immutable")))
        fault_field_forbidden(f, "immutable", why);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (!json_equal(json_object_get(w->doc, fields[i]), json_object_get(w->old, fields[i])) &&
            (json_object_get(w->doc, fields[i]) || json_object_get(w->old, fields[i])))
            fault_field_forbidden(f, fields[i], why);
}

/* ---- Lease ---- */

static void check_lease(struct write *w, struct fault *f)
{
    static const char *const positive[] = { "leaseDurationSeconds" };
    const json_t *spec = json_object_get(w->doc, "spec"), *v;
    for (size_t i = 0; i < ARRAY_SIZE(positive); i++) {
        v = json_object_get(spec, positive[i]);
        if (v && json_integer_value(v) <= 0)
            fault_value(f, "spec.leaseDurationSeconds", v, "must be greater than 0");
    }
    v = json_object_get(spec, "leaseTransitions");
    if (v && json_integer_value(v) < 0)
        fault_value(f, "spec.leaseTransitions", v, "must be greater than or equal to 0");
}

/* ---- Event ---- */

static void check_event(struct write *w, struct fault *f)
{
    const char *of = path_text(w->doc, "involvedObject.namespace");
    const char *in = path_text(w->doc, "metadata.namespace");
    of = of && *of ? of : "default";
    if (strcmp(of, in) != 0)
        fault_text(f, "involvedObject.namespace", of, "does not match event.namespace");
}

/* ---- Node ---- */

/* The old field and the new one say the same; what pods may use is all, unless it is said. */
static void fill_node(struct write *w)
{
    const json_t *capacity = path_get(w->doc, "status.capacity");
    if (capacity && !path_get(w->doc, "status.allocatable"))
        path_set(w->doc, "status.allocatable", json_deep_copy(capacity));
    const char *one = path_text(w->doc, "spec.podCIDR");
    const char *first = json_string_value(json_array_get(path_get(w->doc, "spec.podCIDRs"), 0));
    if (one && *one && !first)
        path_set(w->doc, "spec.podCIDRs", json_pack("[s]", one));
    else if (first && !(one && *one))
        path_set_text(w->doc, "spec.podCIDR", first);
}

static void check_quantities(const json_t *doc, const char *path, struct fault *f)
{
    const json_t *value;
    const char *key;
    char field[256];
    json_object_foreach(path_get(doc, path), key, value)
    {
        (void)snprintf(field, sizeof field, "%s.%.150s", path, key);
        value_check_quantity(value, field, f);
    }
}

static void check_node(struct write *w, struct fault *f)
{
    check_quantities(w->doc, "status.capacity", f);
    check_quantities(w->doc, "status.allocatable", f);
    const json_t *now = path_get(w->doc, "spec.podCIDRs"), *old = path_get(w->old, "spec.podCIDRs");
    if (json_array_size(old) && !(now && json_equal((json_t *)(uintptr_t)now, old)))
        fault_field_forbidden(f, "spec.podCIDRs",
                              "node updates may not change podCIDR except from \"\" to valid");
}

/* ---- the table ---- */

const struct resource resources[] = {
    { .group = "",
      .version = "v1",
      .name = "namespaces",
      .singular = "namespace",
      .kind = "Namespace",
      .short_names = { "ns" },
      .has_status = true,
      .verbs = VERBS_ALL & ~(unsigned)VERB_DELETE_COLLECTION,
      .type_name = "core.Namespace",
      .fields = { "status.phase" },
      .columns = columns_namespace,
      .name_wrong = check_dns_label,
      .fill = fill_namespace,
      .prepare = prepare_namespace },
    { .group = "",
      .version = "v1",
      .name = "nodes",
      .singular = "node",
      .kind = "Node",
      .short_names = { "no" },
      .has_status = true,
      .verbs = VERBS_ALL,
      .type_name = "core.Node",
      .fields = { "spec.unschedulable" },
      .columns = columns_node,
      .name_wrong = check_dns_subdomain,
      .fill = fill_node,
      .check = check_node },
    { .group = "",
      .version = "v1",
      .name = "pods",
      .singular = "pod",
      .kind = "Pod",
      .short_names = { "po" },
      .category = "all",
      .namespaced = true,
      .has_status = true,
      .verbs = VERBS_ALL,
      .type_name = "core.Pod",
      .fields = { "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
                  "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
                  "status.nominatedNodeName" },
      .columns = columns_pod,
      .counts = true,
      .name_wrong = check_dns_subdomain,
      .fill = pod_fill,
      .prepare = pod_prepare,
      .check = pod_check },
    { .group = "",
      .version = "v1",
      .name = "services",
      .singular = "service",
      .kind = "Service",
      .short_names = { "svc" },
      .category = "all",
      .namespaced = true,
      .has_status = true,
      .verbs = VERBS_ALL,
      .type_name = "core.Service",
      .fields = { "spec.clusterIP", "spec.type" },
      .columns = columns_service,
      .put_creates = true,
      .name_wrong = service_name_wrong,
      .fill = service_fill,
      .prepare = service_prepare,
      .check = service_check,
      .take = service_take },
    { .group = "",
      .version = "v1",
      .name = "endpoints",
      .singular = "endpoints",
      .kind = "Endpoints",
      .warning = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
      .short_names = { "ep" },
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "core.Endpoints",
      .columns = columns_endpoints,
      .put_creates = true,
      .name_wrong = check_dns_subdomain,
      .check = endpoints_check },
    { .group = "",
      .version = "v1",
      .name = "configmaps",
      .singular = "configmap",
      .kind = "ConfigMap",
      .short_names = { "cm" },
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "core.ConfigMap",
      .columns = columns_config_map,
      .name_wrong = check_dns_subdomain,
      .check = check_config_map },
    { .group = "",
      .version = "v1",
      .name = "events",
      .singular = "event",
      .kind = "Event",
      .short_names = { "ev" },
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "core.Event",
      .fields = { "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
                  "involvedObject.uid", "involvedObject.apiVersion",
                  "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
                  "reportingComponent", "source.component", "type" },
      .columns = columns_event,
      .put_creates = true,
      .name_wrong = path_segment_wrong,
      .check = check_event },
    { .group = "",
      .version = "v1",
      .name = "serviceaccounts",
      .singular = "serviceaccount",
      .kind = "ServiceAccount",
      .short_names = { "sa" },
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "core.ServiceAccount",
      .columns = columns_service_account,
      .name_wrong = check_dns_subdomain },
    { .group = "coordination.k8s.io",
      .version = "v1",
      .name = "leases",
      .singular = "lease",
      .kind = "Lease",
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "coordination.Lease",
      .columns = columns_lease,
      .put_creates = true,
      .needs_version = true,
      .name_wrong = check_dns_subdomain,
      .check = check_lease },
    { .group = "discovery.k8s.io",
      .version = "v1",
      .name = "endpointslices",
      .singular = "endpointslice",
      .kind = "EndpointSlice",
      .namespaced = true,
      .verbs = VERBS_ALL,
      .type_name = "discovery.EndpointSlice",
      .columns = columns_slice,
      .counts = true,
      .name_wrong = check_dns_subdomain,
      .fill = slice_fill,
      .check = slice_check },
    { .group = "networking.k8s.io",
      .version = "v1",
      .name = "servicecidrs",
      .singular = "servicecidr",
      .kind = "ServiceCIDR",
      .has_status = true,
      .verbs = VERBS_READ,
      .type_name = "networking.ServiceCIDR",
      .columns = columns_service_cidr,
      .name_wrong = check_dns_subdomain },
    { .group = "networking.k8s.io",
      .version = "v1",
      .name = "ipaddresses",
      .singular = "ipaddress",
      .kind = "IPAddress",
      .short_names = { "ip" },
      .verbs = VERBS_READ,
      .type_name = "networking.IPAddress",
      .columns = columns_ip_address,
      .name_wrong = path_segment_wrong },
};

const size_t n_resources = ARRAY_SIZE(resources);
