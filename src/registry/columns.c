#include "registry/columns.h"

#include "base/str.h"
#include "registry/age.h"
#include "registry/path.h"

#include <string.h>

#define LIST_SHOWN 3 /* elements of a list; the others are counted */

/* ---- texts ---- */

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static const char *or_none(const char *s)
{
    return s && *s ? s : "<none>";
}

static json_t *text_of(struct strbuf *b)
{
    json_t *v = json_string(b->p ? b->p : "");
    strbuf_done(b);
    return v;
}

static json_t *cell_name(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "metadata.name")));
}

static json_t *cell_age(const json_t *doc)
{
    return age_since(path_text(doc, "metadata.creationTimestamp"));
}

/* Texts of a list, at most n (0: all), joined by commas. */
static void join(const json_t *list, const char *member, size_t n, struct strbuf *out)
{
    size_t total = json_array_size(list);
    for (size_t i = 0; i < total && (n == 0 || i < n); i++) {
        const json_t *e = json_array_get(list, i);
        strbuf_printf(out, "%s%s", i ? "," : "",
                      or_empty(member ? path_text(e, member) : json_string_value(e)));
    }
    if (n && total > n)
        strbuf_printf(out, " + %zu more...", total - n);
}

#define NAME                                                                                       \
    {                                                                                              \
        "Name", "string", "name", 0, cell_name                                                     \
    }
#define AGE                                                                                        \
    {                                                                                              \
        "Age", "string", "", 0, cell_age                                                           \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, NULL, 0, NULL                                                                  \
    }

/* ---- Namespace ---- */

static json_t *cell_phase(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "status.phase")));
}

const struct column columns_namespace[] = {
    NAME, { "Status", "string", "", 0, cell_phase }, AGE, END
};

/* ---- Node ---- */

static json_t *node_status(const json_t *doc)
{
    const json_t *list = path_get(doc, "status.conditions");
    const char *word = "Unknown";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        if (str_eq(path_text(c, "type"), "Ready"))
            word = str_eq(path_text(c, "status"), "True") ? "Ready" : "NotReady";
    }
    struct strbuf b = { 0 };
    strbuf_puts(&b, word);
    if (json_is_true(path_get(doc, "spec.unschedulable")))
        strbuf_puts(&b, ",SchedulingDisabled");
    return text_of(&b);
}

static json_t *node_roles(const json_t *doc)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    struct strbuf b = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach(path_get(doc, "metadata.labels"), key, value) if (str_starts(key, prefix))
        strbuf_printf(&b, "%s%s", b.len ? "," : "", key + sizeof prefix - 1);
    if (!b.len)
        strbuf_puts(&b, "<none>");
    return text_of(&b);
}

static json_t *node_address(const json_t *doc, const char *type)
{
    const json_t *list = path_get(doc, "status.addresses");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_array_get(list, i);
        if (str_eq(path_text(a, "type"), type))
            return json_string(or_none(path_text(a, "address")));
    }
    return json_string("<none>");
}

static json_t *node_internal(const json_t *doc)
{
    return node_address(doc, "InternalIP");
}

static json_t *node_external(const json_t *doc)
{
    return node_address(doc, "ExternalIP");
}

static json_t *node_info(const json_t *doc, const char *member)
{
    const char *v = path_text(path_get(doc, "status.nodeInfo"), member);
    return json_string(v && *v ? v : "<unknown>");
}

static json_t *node_version(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "status.nodeInfo.kubeletVersion")));
}

static json_t *node_os(const json_t *doc)
{
    return node_info(doc, "osImage");
}

static json_t *node_kernel(const json_t *doc)
{
    return node_info(doc, "kernelVersion");
}

static json_t *node_runtime(const json_t *doc)
{
    return node_info(doc, "containerRuntimeVersion");
}

const struct column columns_node[] = {
    NAME,
    { "Status", "string", "", 0, node_status },
    { "Roles", "string", "", 0, node_roles },
    AGE,
    { "Version", "string", "", 0, node_version },
    { "Internal-IP", "string", "", 1, node_internal },
    { "External-IP", "string", "", 1, node_external },
    { "OS-Image", "string", "", 1, node_os },
    { "Kernel-Version", "string", "", 1, node_kernel },
    { "Container-Runtime", "string", "", 1, node_runtime },
    END,
};

/* ---- Pod ---- */

static json_t *pod_ready(const json_t *doc)
{
    const json_t *list = path_get(doc, "status.containerStatuses");
    size_t ready = 0;
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++)
        ready += json_is_true(path_get(json_array_get(list, i), "ready"));
    strbuf_printf(&b, "%zu/%zu", ready, json_array_size(path_get(doc, "spec.containers")));
    return text_of(&b);
}

/* The reason that the last container in the list gives counts. */
static const char *container_reason(const json_t *list)
{
    const char *found = NULL;
    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *state = path_get(json_array_get(list, i - 1), "state");
        const char *reason = path_text(state, "waiting.reason");
        if (!reason || !*reason)
            reason = path_text(state, "terminated.reason");
        if (reason && *reason)
            found = reason;
    }
    return found;
}

static json_t *pod_status(const json_t *doc)
{
    const char *word = path_text(doc, "status.reason"), *reason;
    if (!word || !*word)
        word = or_empty(path_text(doc, "status.phase"));
    if ((reason = container_reason(path_get(doc, "status.containerStatuses"))))
        word = reason;
    if (path_get(doc, "metadata.deletionTimestamp"))
        word = str_eq(path_text(doc, "status.reason"), "NodeLost") ? "Unknown" : "Terminating";
    return json_string(word);
}

static json_t *pod_restarts(const json_t *doc)
{
    const json_t *list = path_get(doc, "status.containerStatuses");
    json_int_t n = 0;
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++)
        n += json_integer_value(path_get(json_array_get(list, i), "restartCount"));
    strbuf_printf(&b, "%lld", (long long)n);
    return text_of(&b);
}

static json_t *pod_ip(const json_t *doc)
{
    return json_string(or_none(path_text(doc, "status.podIP")));
}

static json_t *pod_node(const json_t *doc)
{
    return json_string(or_none(path_text(doc, "spec.nodeName")));
}

static json_t *pod_nominated(const json_t *doc)
{
    return json_string(or_none(path_text(doc, "status.nominatedNodeName")));
}

static bool is_met(const json_t *doc, const char *type)
{
    const json_t *list = path_get(doc, "status.conditions");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(path_text(json_array_get(list, i), "type"), type))
            return str_eq(path_text(json_array_get(list, i), "status"), "True");
    return false;
}

static json_t *pod_gates(const json_t *doc)
{
    const json_t *gates = path_get(doc, "spec.readinessGates");
    size_t met = 0, n = json_array_size(gates);
    struct strbuf b = { 0 };
    if (!n)
        return json_string("<none>");
    for (size_t i = 0; i < n; i++)
        met += is_met(doc, path_text(json_array_get(gates, i), "conditionType"));
    strbuf_printf(&b, "%zu/%zu", met, n);
    return text_of(&b);
}

const struct column columns_pod[] = {
    NAME,
    { "Ready", "string", "", 0, pod_ready },
    { "Status", "string", "", 0, pod_status },
    { "Restarts", "string", "", 0, pod_restarts },
    AGE,
    { "IP", "string", "", 1, pod_ip },
    { "Node", "string", "", 1, pod_node },
    { "Nominated Node", "string", "", 1, pod_nominated },
    { "Readiness Gates", "string", "", 1, pod_gates },
    END,
};

/* ---- Service ---- */

static json_t *service_type(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "spec.type")));
}

static json_t *service_ip(const json_t *doc)
{
    const char *ip = path_text(json_object_get(doc, "spec"), "clusterIP");
    return json_string(or_none(ip));
}

static void balancer_text(const json_t *doc, struct strbuf *b)
{
    const json_t *list = path_get(doc, "status.loadBalancer.ingress");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *ip = path_text(json_array_get(list, i), "ip");
        if (!ip || !*ip)
            ip = path_text(json_array_get(list, i), "hostname");
        strbuf_printf(b, "%s%s", b->len ? "," : "", or_empty(ip));
    }
}

static json_t *service_external(const json_t *doc)
{
    const char *type = or_empty(path_text(doc, "spec.type"));
    struct strbuf b = { 0 };
    if (strcmp(type, "ExternalName") == 0)
        return json_string(or_none(path_text(doc, "spec.externalName")));
    if (strcmp(type, "LoadBalancer") == 0)
        balancer_text(doc, &b);
    if (b.len && json_array_size(path_get(doc, "spec.externalIPs")))
        strbuf_putc(&b, ',');
    join(path_get(doc, "spec.externalIPs"), NULL, 0, &b);
    if (!b.len)
        strbuf_puts(&b, strcmp(type, "LoadBalancer") == 0 ? "<pending>" : "<none>");
    return text_of(&b);
}

static json_t *service_ports(const json_t *doc)
{
    const json_t *list = path_get(doc, "spec.ports");
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        json_int_t node = json_integer_value(json_object_get(p, "nodePort"));
        strbuf_printf(&b, "%s%lld", i ? "," : "",
                      (long long)json_integer_value(json_object_get(p, "port")));
        if (node > 0)
            strbuf_printf(&b, ":%lld", (long long)node);
        strbuf_printf(&b, "/%s", or_empty(path_text(p, "protocol")));
    }
    if (!b.len)
        strbuf_puts(&b, "<none>");
    return text_of(&b);
}

static json_t *service_selector(const json_t *doc)
{
    struct strbuf b = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach(path_get(doc, "spec.selector"), key, value)
        strbuf_printf(&b, "%s%s=%s", b.len ? "," : "", key, or_empty(json_string_value(value)));
    if (!b.len)
        strbuf_puts(&b, "<none>");
    return text_of(&b);
}

const struct column columns_service[] = {
    NAME,
    { "Type", "string", "", 0, service_type },
    { "Cluster-IP", "string", "", 0, service_ip },
    { "External-IP", "string", "", 0, service_external },
    { "Port(s)", "string", "", 0, service_ports },
    AGE,
    { "Selector", "string", "", 1, service_selector },
    END,
};

/* ---- Endpoints and slices ---- */

/* Each address with each port. */
static void subset_text(const json_t *subset, struct strbuf *b, size_t *count)
{
    const json_t *ports = json_object_get(subset, "ports");
    const json_t *addresses = json_object_get(subset, "addresses");
    size_t n = json_array_size(ports);
    for (size_t p = 0; p < (n ? n : 1); p++)
        for (size_t i = 0; i < json_array_size(addresses); i++) {
            const char *ip = or_empty(path_text(json_array_get(addresses, i), "ip"));
            json_int_t port = json_integer_value(path_get(json_array_get(ports, p), "port"));
            bool bare = strchr(ip, ':') == NULL || !n;
            if ((*count)++ >= LIST_SHOWN)
                continue;
            strbuf_printf(b, "%s%s%s%s", b->len ? "," : "", bare ? "" : "[", ip, bare ? "" : "]");
            if (n)
                strbuf_printf(b, ":%lld", (long long)port);
        }
}

static json_t *endpoints_list(const json_t *doc)
{
    const json_t *subsets = json_object_get(doc, "subsets");
    struct strbuf b = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(subsets); i++)
        subset_text(json_array_get(subsets, i), &b, &count);
    if (count > LIST_SHOWN)
        strbuf_printf(&b, " + %zu more...", count - LIST_SHOWN);
    if (!count)
        strbuf_puts(&b, "<none>");
    return text_of(&b);
}

const struct column columns_endpoints[] = {
    NAME, { "Endpoints", "string", "", 0, endpoints_list }, AGE, END
};

static json_t *slice_type(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "addressType")));
}

static json_t *slice_ports(const json_t *doc)
{
    const json_t *list = json_object_get(doc, "ports");
    struct strbuf b = { 0 };
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < LIST_SHOWN; i++) {
        const json_t *port = json_object_get(json_array_get(list, i), "port");
        if (json_is_integer(port))
            strbuf_printf(&b, "%s%lld", i ? "," : "", (long long)json_integer_value(port));
        else
            strbuf_printf(&b, "%s*", i ? "," : "");
    }
    if (n > LIST_SHOWN)
        strbuf_printf(&b, " + %zu more...", n - LIST_SHOWN);
    if (!n)
        strbuf_puts(&b, "<unset>");
    return text_of(&b);
}

static json_t *slice_endpoints(const json_t *doc)
{
    const json_t *list = json_object_get(doc, "endpoints");
    struct strbuf b = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *addresses = path_get(json_array_get(list, i), "addresses");
        for (size_t k = 0; k < json_array_size(addresses); k++)
            if (count++ < LIST_SHOWN)
                strbuf_printf(&b, "%s%s", b.len ? "," : "",
                              or_empty(json_string_value(json_array_get(addresses, k))));
    }
    if (count > LIST_SHOWN)
        strbuf_printf(&b, " + %zu more...", count - LIST_SHOWN);
    if (!count)
        strbuf_puts(&b, "<unset>");
    return text_of(&b);
}

const struct column columns_slice[] = {
    NAME,
    { "AddressType", "string", "", 0, slice_type },
    { "Ports", "string", "", 0, slice_ports },
    { "Endpoints", "string", "", 0, slice_endpoints },
    AGE,
    END,
};

/* ---- the smaller ones ---- */

static json_t *config_map_data(const json_t *doc)
{
    return json_integer((json_int_t)(json_object_size(json_object_get(doc, "data")) +
                                     json_object_size(json_object_get(doc, "binaryData"))));
}

const struct column columns_config_map[] = {
    NAME, { "Data", "integer", "", 0, config_map_data }, AGE, END
};

static json_t *account_secrets(const json_t *doc)
{
    return json_integer((json_int_t)json_array_size(json_object_get(doc, "secrets")));
}

const struct column columns_service_account[] = {
    NAME, { "Secrets", "string", "", 0, account_secrets }, AGE, END
};

static json_t *lease_holder(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "spec.holderIdentity")));
}

const struct column columns_lease[] = {
    NAME, { "Holder", "string", "", 0, lease_holder }, AGE, END
};

static json_t *cidr_list(const json_t *doc)
{
    struct strbuf b = { 0 };
    join(path_get(doc, "spec.cidrs"), NULL, 0, &b);
    return text_of(&b);
}

const struct column columns_service_cidr[] = {
    NAME, { "CIDRs", "string", "", 0, cidr_list }, AGE, END
};

static json_t *address_parent(const json_t *doc)
{
    const json_t *p = path_get(doc, "spec.parentRef");
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%s/%s/%s", or_empty(path_text(p, "resource")),
                  or_empty(path_text(p, "namespace")), or_empty(path_text(p, "name")));
    return text_of(&b);
}

const struct column columns_ip_address[] = {
    NAME, { "ParentRef", "string", "", 0, address_parent }, AGE, END
};

/* ---- Event ---- */

static json_t *event_last(const json_t *doc)
{
    const char *t = path_text(doc, "series.lastObservedTime");
    if (!t)
        t = path_text(doc, "lastTimestamp");
    return age_since(t ? t : path_text(doc, "eventTime"));
}

static json_t *event_first(const json_t *doc)
{
    const char *t = path_text(doc, "firstTimestamp");
    return age_since(t ? t : path_text(doc, "eventTime"));
}

static json_t *event_type(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "type")));
}

static json_t *event_reason(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "reason")));
}

static json_t *event_object(const json_t *doc)
{
    char kind[128];
    struct strbuf b = { 0 };
    (void)snprintf(kind, sizeof kind, "%s", or_empty(path_text(doc, "involvedObject.kind")));
    strbuf_puts(&b, str_lower(kind));
    if (*or_empty(path_text(doc, "involvedObject.name")))
        strbuf_printf(&b, "/%s", path_text(doc, "involvedObject.name"));
    return text_of(&b);
}

static json_t *event_part(const json_t *doc)
{
    return json_string(or_empty(path_text(doc, "involvedObject.fieldPath")));
}

static json_t *event_source(const json_t *doc)
{
    const char *who = path_text(doc, "source.component");
    struct strbuf b = { 0 };
    strbuf_puts(&b, who && *who ? who : or_empty(path_text(doc, "reportingComponent")));
    if (*or_empty(path_text(doc, "source.host")))
        strbuf_printf(&b, ", %s", path_text(doc, "source.host"));
    return text_of(&b);
}

static json_t *event_message(const json_t *doc)
{
    const char *text = or_empty(path_text(doc, "message"));
    return json_string(text);
}

static json_t *event_count(const json_t *doc)
{
    const json_t *n = path_get(doc, "series.count");
    n = n ? n : path_get(doc, "count");
    json_int_t count = json_integer_value(n);
    return json_integer(count ? count : 1);
}

const struct column columns_event[] = {
    { "Last Seen", "string", "", 0, event_last },
    { "Type", "string", "", 0, event_type },
    { "Reason", "string", "", 0, event_reason },
    { "Object", "string", "", 0, event_object },
    { "Subobject", "string", "", 1, event_part },
    { "Source", "string", "", 1, event_source },
    { "Message", "string", "", 0, event_message },
    { "First Seen", "string", "", 1, event_first },
    { "Count", "integer", "", 1, event_count },
    { "Name", "string", "name", 1, cell_name },
    END,
};
