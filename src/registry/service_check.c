/* What may not be in a Service. */
#include "base/ip.h"
#include "base/str.h"
#include "kube/check.h"
#include "registry/allocate.h"
#include "registry/kind_service.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/value.h"

#include <ctype.h>
#include <string.h>

#define AFFINITY_MAX 86400

static const char *const types[] = { "ClusterIP", "ExternalName", "LoadBalancer", "NodePort",
                                     NULL };

const char *service_name_wrong(const char *name)
{
    const char *wrong = check_dns_label(name);
    if (wrong)
        return wrong;
    return isdigit((unsigned char)*name) ? "must be a DNS-1035 label: begin with a letter" : NULL;
}

/* ---- ports ---- */

static void check_target(const json_t *target, const char *field, struct fault *f)
{
    const char *wrong;
    if (json_is_integer(target))
        value_check_port(target, field, f);
    else if ((wrong = check_port_name(json_string_value(target))))
        fault_value(f, field, target, wrong);
}

static void check_port_name_of(const json_t *list, size_t i, struct fault *f)
{
    char field[64];
    const char *name = path_text(json_array_get(list, i), "name"), *wrong;
    (void)snprintf(field, sizeof field, "spec.ports[%zu].name", i);
    if (!name || !*name) {
        if (json_array_size(list) > 1)
            fault_required(f, field, "");
        return;
    }
    if ((wrong = check_dns_label(name)))
        fault_text(f, field, name, wrong);
    for (size_t k = 0; k < i; k++)
        if (str_eq(path_text(json_array_get(list, k), "name"), name)) {
            fault_duplicate(f, field, json_object_get(json_array_get(list, i), "name"));
            return;
        }
}

static void check_port(const json_t *doc, const json_t *list, size_t i, struct fault *f)
{
    char field[64];
    const json_t *p = json_array_get(list, i), *node = json_object_get(p, "nodePort");
    const char *protocol = path_text(p, "protocol"), *app = path_text(p, "appProtocol"), *wrong;
    check_port_name_of(list, i, f);
    (void)snprintf(field, sizeof field, "spec.ports[%zu].port", i);
    value_check_port(json_object_get(p, "port"), field, f);
    (void)snprintf(field, sizeof field, "spec.ports[%zu].protocol", i);
    value_check_choice(protocol, value_protocols, field, f);
    (void)snprintf(field, sizeof field, "spec.ports[%zu].targetPort", i);
    check_target(json_object_get(p, "targetPort"), field, f);
    (void)snprintf(field, sizeof field, "spec.ports[%zu].appProtocol", i);
    if (app && (wrong = check_label_key(app)))
        fault_text(f, field, app, wrong);
    (void)snprintf(field, sizeof field, "spec.ports[%zu].nodePort", i);
    if (service_is(doc, "ClusterIP") && json_integer_value(node))
        fault_field_forbidden(f, field, "may not be used when `type` is 'ClusterIP'");
}

/* Two ports of the same number and protocol are the same port. */
static void check_pairs(const json_t *list, struct fault *f)
{
    char field[64];
    for (size_t i = 0; i < json_array_size(list); i++)
        for (size_t k = 0; k < i; k++) {
            const json_t *a = json_array_get(list, i), *b = json_array_get(list, k);
            const json_t *n = json_object_get(a, "nodePort"), *m = json_object_get(b, "nodePort");
            bool protocol = str_eq(path_text(a, "protocol"), path_text(b, "protocol"));
            (void)snprintf(field, sizeof field, "spec.ports[%zu]", i);
            if (protocol && json_equal(json_object_get(a, "port"), json_object_get(b, "port"))) {
                json_t *pair = json_pack("{s:s, s:O}", "protocol", path_text(a, "protocol"), "port",
                                         json_object_get(a, "port"));
                fault_duplicate(f, field, pair);
                json_decref(pair);
            }
            (void)snprintf(field, sizeof field, "spec.ports[%zu].nodePort", i);
            if (protocol && n && m && json_equal(n, m))
                fault_duplicate(f, field, n);
        }
}

static void check_ports(const json_t *doc, struct fault *f)
{
    const json_t *list = service_ports(doc);
    if (!json_array_size(list) && !service_is_headless(doc) && !service_is(doc, "ExternalName"))
        fault_required(f, "spec.ports", "");
    for (size_t i = 0; i < json_array_size(list); i++)
        check_port(doc, list, i, f);
    check_pairs(list, f);
}

/* ---- addresses ---- */

static void check_external(const json_t *doc, struct fault *f)
{
    const json_t *list = path_get(doc, "spec.externalIPs");
    char field[64];
    for (size_t i = 0; i < json_array_size(list); i++) {
        (void)snprintf(field, sizeof field, "spec.externalIPs[%zu]", i);
        value_check_address(json_string_value(json_array_get(list, i)), field, f);
    }
}

static unsigned family_of(const char *text)
{
    struct ip ip;
    return ip_parse_sloppy(text, &ip) < 0 ? 0 : ip.family;
}

static void check_one_ip(const json_t *doc, const json_t *list, size_t i, struct fault *f)
{
    const char *text = json_string_value(json_array_get(list, i)), *word;
    char field[64], why[96];
    (void)snprintf(field, sizeof field, "spec.clusterIPs[%zu]", i);
    if (strcmp(text, "None") == 0) {
        if (json_array_size(list) > 1)
            fault_value(f, "spec.clusterIPs", list, "'None' must be the first and only value");
        return;
    }
    unsigned family = family_of(text);
    if (!family) {
        fault_text(f, field, text, VALUE_NO_IP);
        return;
    }
    word = json_string_value(json_array_get(path_get(doc, "spec.ipFamilies"), i));
    if (!word || family == (strcmp(word, "IPv6") == 0 ? 6u : 4u))
        return;
    (void)snprintf(why, sizeof why, "expected an %s value as indicated by `ipFamilies[%zu]`", word,
                   i);
    fault_text(f, field, text, why);
}

static void check_ips(const json_t *doc, struct fault *f)
{
    const json_t *list = path_get(doc, "spec.clusterIPs");
    const char *first = json_string_value(json_array_get(list, 0)),
               *ip = path_text(doc, "spec.clusterIP");
    size_t n = json_array_size(list);
    if (!service_needs_ip(doc)) {
        if (n)
            fault_field_forbidden(f, "spec.clusterIPs", "may not be set for ExternalName services");
        return;
    }
    if (n && (!ip || !*ip))
        fault_value(f, "spec.clusterIPs", list, "must be empty when `clusterIP` is not specified");
    else if (n && !str_eq(first, ip))
        fault_value(f, "spec.clusterIPs", list, "first value must match `clusterIP`");
    if (n > 2)
        fault_value(f, "spec.clusterIPs", list, "may only hold up to 2 values");
    for (size_t i = 0; i < n; i++)
        check_one_ip(doc, list, i, f);
    if (n == 2 && family_of(first) &&
        family_of(first) == family_of(json_string_value(json_array_get(list, 1))))
        fault_value(f, "spec.clusterIPs", list,
                    "may specify no more than one IP for each IP family");
}

static void check_headless(const json_t *doc, struct fault *f)
{
    char why[96];
    if (!service_is_headless(doc) || !service_needs_ports(doc))
        return;
    (void)snprintf(why, sizeof why, "may not be set to 'None' for %s services", service_type(doc));
    fault_text(f, "spec.clusterIPs[0]", "None", why);
}

static void check_families(const json_t *doc, struct fault *f)
{
    static const char *const families[] = { "IPv4", "IPv6", NULL };
    static const char *const policies[] = { "PreferDualStack", "RequireDualStack", "SingleStack",
                                            NULL };
    const json_t *list = path_get(doc, "spec.ipFamilies");
    const char *policy = path_text(doc, "spec.ipFamilyPolicy");
    char field[64];
    if (service_is(doc, "ExternalName")) {
        if (json_array_size(list))
            fault_field_forbidden(f, "spec.ipFamilies", "may not be set for ExternalName services");
        if (policy)
            fault_field_forbidden(f, "spec.ipFamilyPolicy",
                                  "may not be set for ExternalName services");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        (void)snprintf(field, sizeof field, "spec.ipFamilies[%zu]", i);
        if (!value_is_one_of(word, families))
            fault_unsupported(f, field, word, families);
        for (size_t k = 0; k < i; k++)
            if (json_equal(json_array_get(list, k), json_array_get(list, i)))
                fault_duplicate(f, field, json_array_get(list, i));
    }
    if (policy && !value_is_one_of(policy, policies))
        fault_unsupported(f, "spec.ipFamilyPolicy", policy, policies);
}

/* ---- the rest ---- */

static void check_external_name(const json_t *doc, struct fault *f)
{
    const char *name = path_text(doc, "spec.externalName"), *wrong;
    char text[256];
    if (!service_is(doc, "ExternalName"))
        return;
    (void)snprintf(text, sizeof text, "%s", name ? name : "");
    if (str_ends(text, "."))
        text[strlen(text) - 1] = 0;
    if (!*text)
        fault_required(f, "spec.externalName", "");
    else if ((wrong = check_dns_subdomain(text)))
        fault_text(f, "spec.externalName", name, wrong);
}

static void check_affinity(const json_t *doc, struct fault *f)
{
    static const char *const words[] = { "ClientIP", "None", NULL };
    static const char field[] = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    const char *how = path_text(doc, "spec.sessionAffinity");
    const json_t *seconds = path_get(doc, field);
    value_check_choice(how, words, "spec.sessionAffinity", f);
    if (str_eq(how, "ClientIP") && seconds &&
        (json_integer_value(seconds) <= 0 || json_integer_value(seconds) > AFFINITY_MAX))
        fault_value(f, field, seconds, "must be greater than 0 and less than or equal to 86400");
}

static void check_policies(const json_t *doc, struct fault *f)
{
    static const char *const words[] = { "Cluster", "Local", NULL };
    static const char *const wishes[] = { "PreferClose", "PreferSameNode", "PreferSameZone", NULL };
    const char *external = path_text(doc, "spec.externalTrafficPolicy");
    const char *internal = path_text(doc, "spec.internalTrafficPolicy");
    const char *traffic = path_text(doc, "spec.trafficDistribution");
    bool outside = service_is_external(doc);
    external = external ? external : "";
    if (!outside && *external)
        fault_text(f, "spec.externalTrafficPolicy", external,
                   "may only be set for externally-accessible services");
    else if (outside)
        value_check_choice(external, words, "spec.externalTrafficPolicy", f);
    if ((service_needs_ports(doc) || service_is(doc, "ClusterIP")) && !internal)
        fault_required(f, "spec.internalTrafficPolicy", "");
    else if (internal && !value_is_one_of(internal, words))
        fault_unsupported(f, "spec.internalTrafficPolicy", internal, words);
    if (traffic && !value_is_one_of(traffic, wishes))
        fault_unsupported(f, "spec.trafficDistribution", traffic, wishes);
}

static void check_source_ranges(const json_t *doc, struct fault *f)
{
    const json_t *list = path_get(doc, "spec.loadBalancerSourceRanges");
    char field[64], text[128];
    if (json_array_size(list) && !service_is(doc, "LoadBalancer"))
        fault_field_forbidden(f, "spec.LoadBalancerSourceRanges",
                              "may only be used when `type` is 'LoadBalancer'");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *given = json_string_value(json_array_get(list, i));
        struct ip_prefix prefix;
        int skip = (int)strspn(given, " \t");
        (void)snprintf(text, sizeof text, "%s", given + skip);
        text[strcspn(text, " \t")] = 0;
        (void)snprintf(field, sizeof field, "spec.LoadBalancerSourceRanges[%zu]", i);
        if (ip_prefix_parse(text, &prefix) < 0)
            fault_text(f, field, given,
                       "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

static void check_balancer(const json_t *doc, struct fault *f)
{
    const json_t *health = path_get(doc, "spec.healthCheckNodePort");
    const char *class = path_text(doc, "spec.loadBalancerClass"), *wrong;
    bool balancer = service_is(doc, "LoadBalancer");
    check_source_ranges(doc, f);
    if (health && json_integer_value(health) && !service_needs_health(doc))
        fault_value(f, "spec.healthCheckNodePort", health,
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                    "'Local'");
    if (path_get(doc, "spec.allocateLoadBalancerNodePorts") && !balancer)
        fault_field_forbidden(f, "spec.allocateLoadBalancerNodePorts",
                              "may only be used when `type` is 'LoadBalancer'");
    else if (!path_get(doc, "spec.allocateLoadBalancerNodePorts") && balancer)
        fault_required(f, "spec.allocateLoadBalancerNodePorts",
                       "field is required when `type` is 'LoadBalancer'");
    if (class && !balancer)
        fault_field_forbidden(f, "spec.loadBalancerClass",
                              "may only be used when `type` is 'LoadBalancer'");
    else if (class && (wrong = check_label_key(class)))
        fault_text(f, "spec.loadBalancerClass", class, wrong);
}

static void check_ingress(const json_t *doc, struct fault *f)
{
    static const char *const modes[] = { "Proxy", "VIP", NULL };
    const json_t *list = path_get(doc, "status.loadBalancer.ingress");
    char field[96];
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *in = json_array_get(list, i);
        const char *ip = path_text(in, "ip"), *mode = path_text(in, "ipMode");
        (void)snprintf(field, sizeof field, "status.loadBalancer.ingress[%zu].ip", i);
        if (ip && *ip && !family_of(ip))
            fault_text(f, field, ip, VALUE_NO_IP);
        (void)snprintf(field, sizeof field, "status.loadBalancer.ingress[%zu].ipMode", i);
        if (mode && !value_is_one_of(mode, modes))
            fault_unsupported(f, field, mode, modes);
    }
}

/* ---- changes ---- */

static void check_fixed_ip(const json_t *doc, const json_t *old, const char *list, struct fault *f)
{
    char path[64], field[64];
    (void)snprintf(path, sizeof path, "spec.%s", list);
    (void)snprintf(field, sizeof field, "spec.%s[0]", list);
    const json_t *a = json_array_get(path_get(doc, path), 0);
    const json_t *b = json_array_get(path_get(old, path), 0);
    if (b && a && !json_equal(a, b))
        fault_value(f, field, a, "may not change once set");
}

static void check_change(const json_t *doc, const json_t *old, struct fault *f)
{
    const json_t *health = path_get(doc, "spec.healthCheckNodePort");
    const json_t *before = path_get(old, "spec.healthCheckNodePort");
    if (service_needs_ip(doc) && service_needs_ip(old)) {
        check_fixed_ip(doc, old, "clusterIPs", f);
        if (!service_is_headless(old))
            check_fixed_ip(doc, old, "ipFamilies", f);
    }
    if (service_needs_health(doc) && service_needs_health(old) && health && before &&
        !json_equal(health, before))
        fault_field_forbidden(f, "spec.healthCheckNodePort", "field is immutable");
    const char *class = path_text(doc, "spec.loadBalancerClass");
    if (service_is(doc, "LoadBalancer") && service_is(old, "LoadBalancer") &&
        !str_eq(class, path_text(old, "spec.loadBalancerClass")))
        fault_text(f, "spec.loadBalancerClass", class ? class : "", "may not change once set");
}

void service_check_ips(const json_t *doc, struct fault *f)
{
    check_families(doc, f);
    check_ips(doc, f);
}

void service_check(struct write *w, struct fault *f)
{
    const json_t *doc = w->doc;
    check_ports(doc, f);
    value_check_choice(service_type(doc), types, "spec.type", f);
    check_external_name(doc, f);
    service_check_ips(doc, f);
    check_headless(doc, f);
    check_affinity(doc, f);
    meta_check_labels(path_get(doc, "spec.selector"), "spec.selector", f);
    check_external(doc, f);
    check_policies(doc, f);
    check_balancer(doc, f);
    check_ingress(doc, f);
    if (w->old)
        check_change(doc, w->old, f);
    if (service_is(doc, "ExternalName")) /* the original checks it, too, and never shows it */
        path_delete(w->doc, "spec.internalTrafficPolicy");
}
