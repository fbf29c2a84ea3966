/* Pod, Node, Namespace and ConfigMap. */
#include "base/str.h"
#include "kube/check.h"
#include "kube/decoder.h"
#include "kube/pod.h"
#include "kube/quantity.h"

#include <string.h>

#define SMALL_LIST_MAX 255
#define CONTAINERS_MAX 1000
#define PORTS_MAX      1000 /* of one container */
#define CONDITIONS_MAX 1000

/* The entry of status.conditions with type Ready, or NULL. */
static const struct tree *ready_condition(struct decoder *d, const struct tree *status)
{
    const struct tree *list = decode_list(d, status, "conditions", CONDITIONS_MAX);
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next)
        if (str_eq(tree_str(c, "type"), "Ready"))
            return c;
    return NULL;
}

static bool is_true(struct decoder *d, const struct tree *condition)
{
    static const char *const names[] = { "False", "True", "Unknown" };
    return condition && decode_enum(d, condition, "status", names, 3, 0) == 1;
}

static const struct tree *containers_of(struct decoder *d, const struct tree *spec, bool sidecars)
{
    return decode_list(d, spec, sidecars ? "initContainers" : "containers", CONTAINERS_MAX);
}

static size_t count_ports(struct decoder *d, const struct tree *containers)
{
    size_t n = 0;
    for (const struct tree *c = containers ? containers->child : NULL; c; c = c->next)
        n += decode_count(decode_list(d, c, "ports", PORTS_MAX));
    return n;
}

/* Init containers serve only when they keep running (restartPolicy Always). */
static void add_ports(struct decoder *d, const struct tree *containers, bool sidecars,
                      struct container_port *ports, uint16_t *n)
{
    for (const struct tree *c = containers ? containers->child : NULL; c; c = c->next) {
        const char *restart = sidecars ? decode_text(d, c, "restartPolicy") : NULL;
        const struct tree *list = decode_list(d, c, "ports", PORTS_MAX);
        if (sidecars && !str_eq(restart, "Always"))
            continue;
        for (const struct tree *p = list ? list->child : NULL; p; p = p->next) {
            struct container_port *port = &ports[(*n)++];
            *port = (struct container_port){
                .name = decode_checked(d, p, "name", check_port_name),
                .port = (uint16_t)decode_int(d, p, "containerPort", 1, 65535, 0),
                .protocol = decode_protocol(d, p),
            };
            if (!port->port)
                decode_fail(d, p, "containerPort", "is missing");
        }
    }
}

static void decode_container_ports(struct decoder *d, const struct tree *spec, struct pod *pod)
{
    const struct tree *containers = containers_of(d, spec, false);
    const struct tree *sidecars = containers_of(d, spec, true);
    size_t n = count_ports(d, containers) + count_ports(d, sidecars);
    if (n > DECODE_LIST_MAX) {
        decode_fail(d, spec, NULL, "has more than %d container ports", DECODE_LIST_MAX);
        return;
    }
    struct container_port *ports = arena_alloc(&d->arena, n * sizeof *ports);
    add_ports(d, containers, false, ports, &pod->n_ports);
    add_ports(d, sidecars, true, ports, &pod->n_ports);
    pod->ports = ports;
}

/* status.podIPs holds {ip: ...} entries; older objects have podIP only. */
static void decode_pod_ips(struct decoder *d, const struct tree *status, struct pod *pod)
{
    const struct tree *list = decode_list(d, status, "podIPs", SMALL_LIST_MAX);
    const struct tree *one = tree_get(status, "podIP");
    struct ip *ips = arena_alloc(&d->arena, (decode_count(list) + 1) * sizeof *ips);
    pod->ips = ips;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const struct tree *ip = tree_get(c, "ip");
        if (ip)
            ips[pod->n_ips++] = decode_ip(d, ip);
        else
            decode_fail(d, c, "ip", "is missing");
    }
    if (!pod->n_ips && one && *decode_scalar_text(d, one))
        ips[pod->n_ips++] = decode_ip(d, one);
}

void decode_pod(struct decoder *d, struct pod *pod)
{
    static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed", "Unknown" };
    decode_meta(d, KIND_POD, &pod->object.meta);
    const struct tree *spec = decode_map(d, d->root, "spec");
    const struct tree *status = decode_map(d, d->root, "status");
    const char *node = decode_text(d, spec, "nodeName");
    pod->node = node ? node : "";
    pod->hostname = decode_checked(d, spec, "hostname", check_dns_label);
    pod->subdomain = decode_checked(d, spec, "subdomain", check_dns_label);
    pod->host_network = decode_bool(d, spec, "hostNetwork", false);
    decode_container_ports(d, spec, pod);
    pod->phase = (enum pod_phase)decode_enum(d, status, "phase", phases, 5, POD_PENDING);
    decode_pod_ips(d, status, pod);
    const struct tree *ready = ready_condition(d, status);
    pod->ready = is_true(d, ready);
    pod->ready_time_ns = decode_time(d, ready, "lastTransitionTime");
}

static void decode_internal_ips(struct decoder *d, const struct tree *status, struct node *node)
{
    const struct tree *list = decode_list(d, status, "addresses", SMALL_LIST_MAX);
    struct ip *ips = arena_alloc(&d->arena, decode_count(list) * sizeof *ips);
    node->internal_ips = ips;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next) {
        const struct tree *address = tree_get(c, "address");
        if (!str_eq(decode_text(d, c, "type"), "InternalIP"))
            continue;
        if (address)
            ips[node->n_internal_ips++] = decode_ip(d, address);
        else
            decode_fail(d, c, "address", "is missing");
    }
}

static void decode_pod_cidrs(struct decoder *d, const struct tree *spec, struct node *node)
{
    const struct tree *list = decode_list(d, spec, "podCIDRs", SMALL_LIST_MAX);
    const char *one = decode_text(d, spec, "podCIDR");
    struct ip_prefix *cidrs = arena_alloc(&d->arena, (decode_count(list) + 1) * sizeof *cidrs);
    node->pod_cidrs = cidrs;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next)
        cidrs[node->n_pod_cidrs++] = decode_prefix(d, c, decode_scalar_text(d, c));
    if (!node->n_pod_cidrs && one)
        cidrs[node->n_pod_cidrs++] = decode_prefix(d, tree_get(spec, "podCIDR"), one);
}

/* One that cannot be read counts as none: only hints for zones depend on it. */
static int64_t decode_cpu(struct decoder *d, const struct tree *status)
{
    const struct tree *cpu = tree_get(decode_map(d, status, "allocatable"), "cpu");
    int64_t milli = 0;
    if (!cpu || cpu->kind != TREE_SCALAR || quantity_milli(cpu->text, &milli) < 0)
        return 0;
    return milli;
}

static bool has_taint(struct decoder *d, const struct tree *spec, const char *key)
{
    const struct tree *list = decode_list(d, spec, "taints", SMALL_LIST_MAX);
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next)
        if (str_eq(decode_text(d, c, "key"), key))
            return true;
    return false;
}

void decode_node(struct decoder *d, struct node *node)
{
    decode_meta(d, KIND_NODE, &node->object.meta);
    const struct tree *status = decode_map(d, d->root, "status");
    const char *zone = meta_label(&node->object.meta, LABEL_ZONE);
    node->zone = zone ? zone : "";
    decode_internal_ips(d, status, node);
    const struct tree *spec = decode_map(d, d->root, "spec");
    decode_pod_cidrs(d, spec, node);
    node->leaving = has_taint(d, spec, "ToBeDeletedByClusterAutoscaler");
    node->ready = is_true(d, ready_condition(d, status));
    if (!(d->without & PART_WRITING))
        node->cpu_milli = decode_cpu(d, status);
}

void decode_service_cidr(struct decoder *d, struct service_cidr *s)
{
    decode_meta(d, KIND_SERVICE_CIDR, &s->object.meta);
    const struct tree *list =
        decode_list(d, decode_map(d, d->root, "spec"), "cidrs", SMALL_LIST_MAX);
    struct ip_prefix *cidrs = arena_alloc(&d->arena, decode_count(list) * sizeof *cidrs);
    s->cidrs = cidrs;
    for (const struct tree *c = list ? list->child : NULL; c; c = c->next)
        cidrs[s->n_cidrs++] = decode_prefix(d, c, decode_scalar_text(d, c));
}

void decode_namespace(struct decoder *d, struct namespace *ns)
{
    decode_meta(d, KIND_NAMESPACE, &ns->object.meta);
}

void decode_configmap(struct decoder *d, struct configmap *c)
{
    decode_meta(d, KIND_CONFIGMAP, &c->object.meta);
    c->n_data = decode_labels(d, decode_map(d, d->root, "data"), NULL, NULL, &c->data);
}
