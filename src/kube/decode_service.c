/* Service, with the defaults that the API server fills in (Kubernetes API reference, ServiceSpec).
 */
#include "base/str.h"
#include "kube/check.h"
#include "kube/decoder.h"
#include "kube/service.h"

#include <string.h>

#define SMALL_LIST_MAX           255 /* lists whose counter has 8 bits */
#define SERVICE_PORTS_MAX        10000
#define AFFINITY_SECONDS         10800
#define AFFINITY_SECONDS_MAX     86400
#define SOURCE_RANGES_ANNOTATION "service.beta.kubernetes.io/load-balancer-source-ranges"

/* targetPort is a number or the name of a container port; absent, "" and 0 mean the port itself. */
static void decode_target(struct decoder *d, const struct tree *t, struct service_port *p)
{
    const struct tree *target = tree_get(t, "targetPort");
    long number;
    p->target_port = p->port;
    if (!target || target->kind == TREE_NULL)
        return;
    if (target->kind == TREE_SCALAR && !target->quoted &&
        str_to_long(target->text, INT32_MIN, INT32_MAX, &number) == 0) {
        number = decode_int(d, t, "targetPort", 0, 65535, 0);
        p->target_port = number ? (uint16_t)number : p->port;
        return;
    }
    p->target_name = decode_checked(d, t, "targetPort", check_port_name);
    p->target_port = p->target_name ? 0 : p->port;
}

static struct service_port decode_port(struct decoder *d, const struct tree *t)
{
    struct service_port p = { .name = "" };
    if (t->kind != TREE_MAPPING) {
        decode_fail(d, t, NULL, "must be a mapping");
        return p;
    }
    const char *name = decode_checked(d, t, "name", check_dns_label);
    p.name = name ? name : "";
    p.app_protocol = decode_text(d, t, "appProtocol");
    p.protocol = decode_protocol(d, t);
    p.port = (uint16_t)decode_int(d, t, "port", 1, 65535, 0);
    p.node_port = (uint16_t)decode_int(d, t, "nodePort", 0, 65535, 0);
    if (!p.port)
        decode_fail(d, t, "port", "is missing");
    decode_target(d, t, &p);
    return p;
}

/* Names tell several ports apart, and no two may claim the same number of the same protocol. */
static void check_ports(struct decoder *d, const struct tree *list, const struct service *s)
{
    const struct tree *t = list ? list->child : NULL;
    for (uint16_t i = 0; i < s->n_ports; i++, t = t->next) {
        const struct service_port *p = &s->ports[i];
        if (s->n_ports > 1 && !*p->name)
            decode_fail(d, t, "name", "is missing; with several ports each needs one");
        for (uint16_t k = 0; k < i; k++) {
            const struct service_port *q = &s->ports[k];
            if (p->port == q->port && p->protocol == q->protocol)
                decode_fail(d, t, "port", "%u/%s is already port %u of the list", p->port,
                            protocol_text(p->protocol), k);
            else if (strcmp(p->name, q->name) == 0)
                decode_fail(d, t, "name", "\"%s\" is already that of port %u of the list", p->name,
                            k);
        }
    }
}

static void decode_ports(struct decoder *d, const struct tree *spec, struct service *s)
{
    const struct tree *list = decode_list(d, spec, "ports", SERVICE_PORTS_MAX);
    size_t n = decode_count(list);
    struct service_port *ports = arena_alloc(&d->arena, n * sizeof *ports);
    for (const struct tree *c = list ? list->child : NULL; c && !d->failed; c = c->next)
        ports[s->n_ports++] = decode_port(d, c);
    s->ports = ports;
    if (!d->failed)
        check_ports(d, list, s);
    if (!n && !s->headless && s->type != SERVICE_EXTERNAL_NAME)
        decode_fail(d, spec, "ports",
                    "is missing; only headless and ExternalName Services go without");
}

/* clusterIPs, else clusterIP. "None" makes the Service headless; "" waits for an allocation. */
static void decode_cluster_ips(struct decoder *d, const struct tree *spec, struct service *s)
{
    const struct tree *list = decode_list(d, spec, "clusterIPs", 2);
    const struct tree *one = tree_get(spec, "clusterIP"), *first = list ? list->child : NULL;
    const char *text;
    struct ip *ips = arena_alloc(&d->arena, 2 * sizeof *ips);
    if (!first)
        first = one;
    text = first ? decode_scalar_text(d, first) : "";
    s->cluster_ips = ips;
    s->headless = strcmp(text, "None") == 0;
    if (!*text || s->headless || s->type == SERVICE_EXTERNAL_NAME)
        return;
    ips[s->n_cluster_ips++] = decode_ip(d, first);
    if (first == one || !first->next)
        return;
    ips[s->n_cluster_ips++] = decode_ip(d, first->next);
    if (ips[0].family == ips[1].family)
        decode_fail(d, first->next, NULL, "must not be of the same family as the first");
}

/* ipFamilies, else those of the addresses, else (headless, endpoints made by hand) both. */
static void decode_families(struct decoder *d, const struct tree *spec, struct service *s)
{
    static const char *const names[] = { "IPv4", "IPv6" };
    static const char *const policies[] = { "SingleStack", "PreferDualStack", "RequireDualStack" };
    const struct tree *list = decode_list(d, spec, "ipFamilies", 2);
    unsigned n = 0;
    s->dual_stack_wanted = decode_enum(d, spec, "ipFamilyPolicy", policies, 3, 0) > 0;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const char *text = decode_scalar_text(d, c);
        if (strcmp(text, names[0]) != 0 && strcmp(text, names[1]) != 0)
            decode_fail(d, c, NULL, "\"%.20s\" must be IPv4 or IPv6", text);
        s->families[n++] = strcmp(text, names[1]) == 0 ? 6 : 4;
    }
    if (n == 2 && s->families[0] == s->families[1])
        decode_fail(d, list, NULL, "names the same family twice");
    for (unsigned i = 0; i < s->n_cluster_ips && i < n; i++)
        if (s->families[i] != s->cluster_ips[i].family)
            decode_fail(d, list, NULL, "does not fit the families of the cluster IPs");
    for (; n < 2 && n < s->n_cluster_ips; n++)
        s->families[n] = s->cluster_ips[n].family;
    if (!n && s->headless && !s->n_selector) {
        s->families[0] = 4;
        s->families[1] = 6;
    }
}

static void decode_ingress(struct decoder *d, struct service *s)
{
    static const char *const modes[] = { "VIP", "Proxy" };
    const struct tree *balancer = decode_map(d, decode_map(d, d->root, "status"), "loadBalancer");
    const struct tree *list = decode_list(d, balancer, "ingress", SMALL_LIST_MAX);
    struct lb_ingress *ingress = arena_alloc(&d->arena, decode_count(list) * sizeof *ingress);
    s->ingress = ingress;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const struct tree *ip = tree_get(c, "ip");
        struct lb_ingress in = { .hostname = decode_text(d, c, "hostname") };
        if (ip && *decode_scalar_text(d, ip))
            in.ip = decode_ip(d, ip);
        in.proxy_mode = decode_enum(d, c, "ipMode", modes, 2, 0) == 1;
        ingress[s->n_ingress++] = in;
    }
}

static struct ip_prefix trimmed_prefix(struct decoder *d, const struct tree *at, const char *text,
                                       size_t n)
{
    while (n && (*text == ' ' || *text == '\t' || *text == '\n')) {
        text++;
        n--;
    }
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\n'))
        n--;
    return decode_prefix(d, at, arena_strndup(&d->arena, text, n));
}

/* The annotation is the older form of the field: ranges joined by commas. */
static void decode_ranges_annotation(struct decoder *d, struct service *s)
{
    const struct tree *annotations =
        decode_map(d, decode_map(d, d->root, "metadata"), "annotations");
    const struct tree *t = tree_get(annotations, SOURCE_RANGES_ANNOTATION);
    const char *text = t ? decode_scalar_text(d, t) : "";
    struct ip_prefix *ranges = arena_alloc(&d->arena, SMALL_LIST_MAX * sizeof *ranges);
    s->source_ranges = ranges;
    while (*text && s->n_source_ranges < SMALL_LIST_MAX) {
        size_t n = strcspn(text, ",");
        ranges[s->n_source_ranges++] = trimmed_prefix(d, t, text, n);
        text += n + (text[n] == ',');
    }
    if (*text)
        decode_fail(d, t, NULL, "has more than %d ranges", SMALL_LIST_MAX);
}

static void decode_source_ranges(struct decoder *d, const struct tree *spec, struct service *s)
{
    const struct tree *list = decode_list(d, spec, "loadBalancerSourceRanges", SMALL_LIST_MAX);
    if (!decode_count(list)) {
        decode_ranges_annotation(d, s);
        return;
    }
    struct ip_prefix *ranges = arena_alloc(&d->arena, decode_count(list) * sizeof *ranges);
    s->source_ranges = ranges;
    for (const struct tree *c = list->child; c; c = c->next) {
        const char *text = decode_scalar_text(d, c);
        ranges[s->n_source_ranges++] = trimmed_prefix(d, c, text, strlen(text));
    }
}

static void decode_traffic(struct decoder *d, const struct tree *spec, struct service *s)
{
    static const char *const policies[] = { "Cluster", "Local" };
    static const char *const affinities[] = { "None", "ClientIP" };
    const struct tree *client =
        decode_map(d, decode_map(d, spec, "sessionAffinityConfig"), "clientIP");
    s->external_local = decode_enum(d, spec, "externalTrafficPolicy", policies, 2, 0) == 1;
    s->internal_local = decode_enum(d, spec, "internalTrafficPolicy", policies, 2, 0) == 1;
    if (decode_enum(d, spec, "sessionAffinity", affinities, 2, 0) == 1)
        s->affinity_seconds = (uint32_t)decode_int(d, client, "timeoutSeconds", 1,
                                                   AFFINITY_SECONDS_MAX, AFFINITY_SECONDS);
    s->publish_not_ready = decode_bool(d, spec, "publishNotReadyAddresses", false);
    s->traffic_distribution = decode_text(d, spec, "trafficDistribution");
    s->health_check_node_port = (uint16_t)decode_int(d, spec, "healthCheckNodePort", 0, 65535, 0);
}

static void decode_external_name(struct decoder *d, const struct tree *spec, struct service *s)
{
    const char *name = decode_text(d, spec, "externalName");
    s->external_name = name;
    if (s->type != SERVICE_EXTERNAL_NAME)
        return;
    if (!name) {
        decode_fail(d, spec, "externalName", "is missing; type ExternalName needs it");
        return;
    }
    size_t n = strlen(name);
    const char *trimmed = arena_strndup(&d->arena, name, n - (name[n - 1] == '.'));
    const char *wrong = check_dns_subdomain(trimmed);
    if (wrong)
        decode_fail(d, spec, "externalName", "\"%.80s\" %s", name, wrong);
}

/* Of the two annotations the older counts first. */
static bool is_topology_auto(struct decoder *d, const struct tree *metadata)
{
    const struct tree *map = decode_map(d, metadata, "annotations");
    const struct tree *mode = tree_get(map, "service.kubernetes.io/topology-aware-hints");
    if (!mode)
        mode = tree_get(map, "service.kubernetes.io/topology-mode");
    return mode && (str_eq(mode->text, "Auto") || str_eq(mode->text, "auto"));
}

static void decode_for_writers(struct decoder *d, struct service *s)
{
    const struct tree *metadata = tree_get(d->root, "metadata");
    s->created_ns = decode_time(d, metadata, "creationTimestamp");
    s->topology_auto = is_topology_auto(d, metadata);
}

void decode_service(struct decoder *d, struct service *s)
{
    static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName" };
    decode_meta(d, KIND_SERVICE, &s->object.meta);
    if (!(d->without & PART_WRITING))
        decode_for_writers(d, s);
    const struct tree *spec = decode_map(d, d->root, "spec");
    if (!spec) {
        decode_fail(d, d->root, "spec", "is missing");
        return;
    }
    s->type = (enum service_type)decode_enum(d, spec, "type", types, 4, SERVICE_CLUSTER_IP);
    s->n_selector = decode_labels(d, decode_map(d, spec, "selector"), check_label_key,
                                  check_label_value, &s->selector);
    decode_cluster_ips(d, spec, s);
    if (s->headless && (s->type == SERVICE_NODE_PORT || s->type == SERVICE_LOAD_BALANCER))
        decode_fail(d, spec, "clusterIP", "must not be None for type %s", types[s->type]);
    decode_families(d, spec, s);
    decode_ports(d, spec, s);
    decode_external_name(d, spec, s);
    s->n_external_ips =
        decode_ips(d, decode_list(d, spec, "externalIPs", SMALL_LIST_MAX), &s->external_ips);
    s->load_balancer_class = decode_text(d, spec, "loadBalancerClass");
    decode_ingress(d, s);
    decode_source_ranges(d, spec, s);
    decode_traffic(d, spec, s);
}
