#include "registry/kind_service.h"

#include "base/ip.h"
#include "base/str.h"
#include "registry/path.h"

#include <string.h>

#define AFFINITY_SECONDS 10800

/* ---- questions ---- */

const char *service_type(const json_t *doc)
{
    const char *t = path_text(doc, "spec.type");
    return t ? t : "";
}

bool service_is(const json_t *doc, const char *type)
{
    return strcmp(service_type(doc), type) == 0;
}

bool service_needs_ip(const json_t *doc)
{
    return doc && !service_is(doc, "ExternalName");
}

bool service_needs_ports(const json_t *doc)
{
    return service_is(doc, "NodePort") || service_is(doc, "LoadBalancer");
}

bool service_is_external(const json_t *doc)
{
    return service_needs_ports(doc) ||
           (service_is(doc, "ClusterIP") && json_array_size(path_get(doc, "spec.externalIPs")) > 0);
}

bool service_needs_health(const json_t *doc)
{
    return service_is(doc, "LoadBalancer") &&
           str_eq(path_text(doc, "spec.externalTrafficPolicy"), "Local");
}

bool service_is_headless(const json_t *doc)
{
    return str_eq(path_text(doc, "spec.clusterIP"), "None") ||
           str_eq(json_string_value(json_array_get(path_get(doc, "spec.clusterIPs"), 0)), "None");
}

const json_t *service_ports(const json_t *doc)
{
    return path_get(doc, "spec.ports");
}

/* ---- defaults ---- */

static void fill_affinity(json_t *doc)
{
    path_default_text(doc, "spec.sessionAffinity", "None");
    const char *how = path_text(doc, "spec.sessionAffinity");
    if (str_eq(how, "None"))
        path_delete(doc, "spec.sessionAffinityConfig");
    else if (str_eq(how, "ClientIP"))
        path_default(doc, "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                     json_integer(AFFINITY_SECONDS));
}

static void fill_ports(json_t *doc)
{
    size_t i;
    json_t *p;
    json_array_foreach((json_t *)(uintptr_t)service_ports(doc), i, p)
    {
        const json_t *target = json_object_get(p, "targetPort");
        bool none = !target || (json_is_integer(target) && json_integer_value(target) == 0) ||
                    (json_is_string(target) && !*json_string_value(target));
        path_default_text(p, "protocol", "TCP");
        if (none)
            json_object_set(p, "targetPort", json_object_get(p, "port"));
    }
}

static void fill_ingress(json_t *doc)
{
    size_t i;
    json_t *in;
    json_array_foreach(path_get(doc, "status.loadBalancer.ingress"), i, in)
    {
        const char *ip = path_text(in, "ip");
        if (ip && *ip)
            path_default_text(in, "ipMode", "VIP");
    }
}

static void fill_defaults(json_t *doc)
{
    fill_affinity(doc);
    path_default_text(doc, "spec.type", "ClusterIP");
    fill_ports(doc);
    if (service_is_external(doc))
        path_default_text(doc, "spec.externalTrafficPolicy", "Cluster");
    if (service_needs_ports(doc) || service_is(doc, "ClusterIP"))
        path_default_text(doc, "spec.internalTrafficPolicy", "Cluster");
    if (service_is(doc, "LoadBalancer"))
        path_default(doc, "spec.allocateLoadBalancerNodePorts", json_true());
    fill_ingress(doc);
}

/* ---- what an update leaves out, it means to keep ---- */

static bool same(const json_t *a, const json_t *b, const char *path)
{
    const json_t *x = path_get(a, path), *y = path_get(b, path);
    return x && y ? json_equal(x, y) : x == y;
}

static bool is_empty_text(const json_t *doc, const char *path)
{
    const char *t = path_text(doc, path);
    return !t || !*t;
}

/* The port of the old Service with this name, whatever else has changed; without one, too. */
static const json_t *old_port(const json_t *old, const json_t *port)
{
    const json_t *list = service_ports(old);
    for (size_t i = json_array_size(list); i > 0; i--)
        if (same(json_array_get(list, i - 1), port, "name"))
            return json_array_get(list, i - 1);
    return NULL;
}

static void keep_node_ports(json_t *doc, const json_t *old)
{
    const json_t *list = service_ports(doc);
    json_t *asked = json_array(), *p;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, p) if (json_object_get(p, "nodePort"))
        json_array_append(asked, json_object_get(p, "nodePort"));
    json_array_foreach((json_t *)(uintptr_t)list, i, p)
    {
        json_t *n = json_object_get(old_port(old, p), "nodePort");
        bool taken = false;
        for (size_t k = 0; n && k < json_array_size(asked); k++)
            taken |= json_equal(json_array_get(asked, k), n);
        if (n && !taken && !json_integer_value(json_object_get(p, "nodePort")))
            json_object_set(p, "nodePort", n);
    }
    json_decref(asked);
}

static void keep_values(json_t *doc, const json_t *old)
{
    if (service_needs_ip(doc) && service_needs_ip(old)) {
        if (is_empty_text(doc, "spec.clusterIP") && path_get(old, "spec.clusterIP") &&
            !json_array_size(path_get(doc, "spec.clusterIPs")))
            path_set(doc, "spec.clusterIP", json_incref(path_get(old, "spec.clusterIP")));
        if (!json_array_size(path_get(doc, "spec.clusterIPs")) &&
            same(doc, old, "spec.clusterIP") && path_get(old, "spec.clusterIPs"))
            path_set(doc, "spec.clusterIPs", json_deep_copy(path_get(old, "spec.clusterIPs")));
    }
    if (service_needs_ports(doc) && service_needs_ports(old))
        keep_node_ports(doc, old);
    if (service_needs_health(doc) && service_needs_health(old) &&
        !path_get(doc, "spec.healthCheckNodePort") && path_get(old, "spec.healthCheckNodePort"))
        path_set(doc, "spec.healthCheckNodePort",
                 json_incref(path_get(old, "spec.healthCheckNodePort")));
}

/* clusterIP and clusterIPs say the same, whichever of them was written. */
static void align_ips(json_t *doc, const json_t *old)
{
    const char *ip = path_text(doc, "spec.clusterIP");
    json_t *list = path_get(doc, "spec.clusterIPs");
    bool kept = old && same(doc, old, "spec.clusterIPs");
    if (!old || !kept) {
        if (ip && *ip && !json_array_size(list))
            path_set(doc, "spec.clusterIPs", json_pack("[s]", ip));
        return;
    }
    if (same(doc, old, "spec.clusterIP"))
        return;
    if (!ip || !*ip)
        path_delete(doc, "spec.clusterIPs");
    else if (!json_array_size(list))
        path_set(doc, "spec.clusterIPs", json_pack("[s]", ip));
    else
        json_array_set_new(list, 0, json_string(ip));
}

/* ---- what goes with the type ---- */

static bool same_node_ports(const json_t *doc, const json_t *old)
{
    const json_t *a = service_ports(doc), *b = service_ports(old);
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *n = json_object_get(json_array_get(a, i), "nodePort");
        bool found = !n;
        for (size_t k = 0; n && k < json_array_size(b); k++) {
            const json_t *o = json_object_get(json_array_get(b, k), "nodePort");
            found |= o && json_equal(n, o);
        }
        if (!found)
            return false;
    }
    return true;
}

static void drop(json_t *doc, const json_t *old, const char *path)
{
    if (same(doc, old, path))
        path_delete(doc, path);
}

static void drop_by_type(json_t *doc, const json_t *old)
{
    size_t i;
    json_t *p;
    if (service_needs_ip(old) && !service_needs_ip(doc)) {
        if (same(doc, old, "spec.clusterIPs")) {
            path_delete(doc, "spec.clusterIP");
            path_delete(doc, "spec.clusterIPs");
        }
        drop(doc, old, "spec.ipFamilies");
        drop(doc, old, "spec.ipFamilyPolicy");
        drop(doc, old, "spec.internalTrafficPolicy");
    }
    if (service_needs_ports(old) && !service_needs_ports(doc) && same_node_ports(doc, old))
        json_array_foreach((json_t *)(uintptr_t)service_ports(doc), i, p)
            json_object_del(p, "nodePort");
    if (service_needs_health(old) && !service_needs_health(doc))
        drop(doc, old, "spec.healthCheckNodePort");
    if (service_is(old, "LoadBalancer") && !service_is(doc, "LoadBalancer")) {
        drop(doc, old, "spec.allocateLoadBalancerNodePorts");
        drop(doc, old, "spec.loadBalancerClass");
    }
    if (service_is_external(old) && !service_is_external(doc))
        drop(doc, old, "spec.externalTrafficPolicy");
}

void service_fill(struct write *w)
{
    fill_defaults(w->doc);
}

/* Before addresses are looked at: what the type rules out goes, what was left out is kept. */
void service_prepare(struct write *w)
{
    align_ips(w->doc, w->old);
    if (w->old && !*w->sub) {
        drop_by_type(w->doc, w->old);
        keep_values(w->doc, w->old);
    }
    align_ips(w->doc, w->old);
}
