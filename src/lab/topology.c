#include "lab/topology.h"

#include "base/str.h"
#include "lab/manifest.h"

#include <string.h>

#define GATEWAY_OFFSET 1
#define FIRST_OFFSET   2

void topology_done(struct topology *t)
{
    vec_each (p, &t->pods)
        free(p->key);
    vec_done(&t->pods);
    vec_done(&t->nodes);
}

struct ip ip_at(const struct ip_prefix *net, uint32_t offset)
{
    struct ip ip = net->ip;
    uint8_t *low = ip.bytes + ip_len(&ip) - 4;
    uint32_t n = (uint32_t)low[0] << 24 | (uint32_t)low[1] << 16 | (uint32_t)low[2] << 8 | low[3];
    n += offset;
    for (int i = 0; i < 4; i++)
        low[i] = (uint8_t)(n >> (24 - 8 * i));
    return ip;
}

/* How many addresses a node hands out, the last one (broadcast) left out. */
static uint32_t capacity(const struct ip_prefix *net)
{
    unsigned host_bits = (net->ip.family == 4 ? 32u : 128u) - net->bits;
    return host_bits > 16 ? 65535 : (1u << host_bits) - 1;
}

static int add_pod_net(struct topology_node *n, const char *text, struct err *e)
{
    struct ip_prefix net;
    if (!text || ip_prefix_parse(text, &net) < 0)
        return err_set(e, ERR_INVALID, "Node %s: spec.podCIDR \"%s\" is not a network", n->name,
                       text ? text : "");
    if (capacity(&net) <= FIRST_OFFSET)
        return err_set(e, ERR_INVALID, "Node %s: spec.podCIDR %s has no room for Pods", n->name,
                       text);
    if (n->n_families == TOPOLOGY_FAMILIES)
        return err_set(e, ERR_LIMIT, "Node %s: more than two spec.podCIDRs", n->name);
    n->pod_net[n->n_families] = net;
    n->gateway[n->n_families] = ip_at(&net, GATEWAY_OFFSET);
    n->last[n->n_families++] = GATEWAY_OFFSET;
    return 0;
}

static int read_pod_nets(struct topology_node *n, json_t *node, unsigned number, struct err *e)
{
    json_t *list = json_at(node, "spec.podCIDRs"), *item;
    const char *one = json_text(node, "spec.podCIDR");
    size_t i;
    int code = 0;
    json_array_foreach(list, i, item)
    {
        if (code == 0)
            code = add_pod_net(n, json_string_value(item), e);
    }
    if (code < 0 || n->n_families)
        return code;
    char own[32];
    snprintf(own, sizeof own, "10.244.%u.0/24", number);
    return add_pod_net(n, one ? one : own, e);
}

static int read_addresses(struct topology_node *n, json_t *node, unsigned number, struct err *e)
{
    json_t *item;
    size_t i;
    unsigned have = 0;
    json_array_foreach(json_at(node, "status.addresses"), i, item)
    {
        const char *text = json_text(item, "address");
        if (!str_eq(json_text(item, "type"), "InternalIP") || have == TOPOLOGY_FAMILIES)
            continue;
        if (!text || ip_parse(text, &n->address[have++]) < 0)
            return err_set(e, ERR_INVALID, "Node %s: InternalIP \"%s\" is not an address", n->name,
                           text ? text : "");
    }
    if (!have) {
        char own[32];
        snprintf(own, sizeof own, "172.18.0.%u", 10 + number);
        return ip_parse(own, &n->address[0]);
    }
    return 0;
}

static int check_families(const struct topology_node *n, struct err *e)
{
    for (unsigned f = 0; f < n->n_families; f++) {
        bool found = false;
        for (unsigned a = 0; a < TOPOLOGY_FAMILIES; a++)
            found |= n->address[a].family == n->pod_net[f].ip.family;
        if (!found)
            return err_set(e, ERR_INVALID,
                           "Node %s: it has an IPv%u podCIDR but no InternalIP of that family",
                           n->name, n->pod_net[f].ip.family);
    }
    return 0;
}

int topology_add_node(struct topology *t, json_t *node, struct err *e)
{
    struct topology_node n = { 0 };
    unsigned number = (unsigned)t->nodes.n + 1;
    const char *name = json_text(node, "metadata.name");
    if (number > TOPOLOGY_NODES_MAX)
        return err_set(e, ERR_LIMIT, "more than %d Nodes", TOPOLOGY_NODES_MAX);
    snprintf(n.name, sizeof n.name, "%s", name ? name : "node-1");
    int code = read_pod_nets(&n, node, number, e);
    if (code == 0)
        code = read_addresses(&n, node, number, e);
    if (code == 0)
        code = check_families(&n, e);
    if (code == 0)
        vec_push(&t->nodes, n);
    return code;
}

const struct topology_node *topology_find_node(const struct topology *t, const char *name)
{
    vec_each (n, &t->nodes) {
        if (str_eq(n->name, name))
            return n;
    }
    return NULL;
}

static bool is_taken(const struct topology *t, const struct ip *ip)
{
    vec_each (p, &t->pods) {
        for (unsigned i = 0; i < p->n_ips; i++) {
            if (ip_equal(&p->ips[i], ip))
                return true;
        }
    }
    vec_each (n, &t->nodes) {
        for (unsigned f = 0; f < n->n_families; f++) {
            if (ip_equal(&n->gateway[f], ip))
                return true;
        }
    }
    return false;
}

static int next_address(const struct topology *t, struct topology_node *n, unsigned f,
                        struct ip *ret_ip, struct err *e)
{
    uint32_t room = capacity(&n->pod_net[f]);
    for (uint32_t tried = 0; tried < room; tried++) {
        uint32_t offset = n->last[f] + 1 < room ? n->last[f] + 1 : FIRST_OFFSET;
        struct ip ip = ip_at(&n->pod_net[f], offset);
        n->last[f] = offset;
        if (!is_taken(t, &ip)) {
            *ret_ip = ip;
            return 0;
        }
    }
    return err_set(e, ERR_LIMIT, "Node %s has no free Pod address", n->name);
}

static int choose_node(const struct topology *t, const char *wanted, unsigned *ret, struct err *e)
{
    unsigned best = 0;
    for (unsigned i = 0; i < t->nodes.n; i++) {
        if (str_eq(t->nodes.items[i].name, wanted)) {
            *ret = i;
            return 0;
        }
        if (t->nodes.items[i].n_pods < t->nodes.items[best].n_pods)
            best = i;
    }
    if (wanted)
        return err_set(e, ERR_NOT_FOUND, "spec.nodeName %s: there is no such Node", wanted);
    *ret = best;
    return 0;
}

static int wanted_address(const struct topology *t, const struct topology_node *n, const char *text,
                          struct ip *ret_ip, struct err *e)
{
    struct ip ip;
    if (ip_parse(text, &ip) < 0)
        return err_set(e, ERR_INVALID, "status.podIP \"%s\" is not an address", text);
    if (is_taken(t, &ip))
        return err_set(e, ERR_INVALID, "status.podIP %s is taken", text);
    for (unsigned f = 0; f < n->n_families; f++) {
        if (ip_prefix_contains(&n->pod_net[f], &ip)) {
            *ret_ip = ip;
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "status.podIP %s is not in the podCIDR of Node %s", text,
                   n->name);
}

static int give_addresses(struct topology *t, struct topology_pod *p, const char *wanted,
                          struct err *e)
{
    struct topology_node *n = &t->nodes.items[p->node];
    for (unsigned f = 0; f < (p->host_network ? TOPOLOGY_FAMILIES : n->n_families); f++) {
        int code = 0;
        if (p->host_network)
            p->ips[f] = n->address[f];
        else if (wanted && f == 0)
            code = wanted_address(t, n, wanted, &p->ips[f], e);
        else
            code = next_address(t, n, f, &p->ips[f], e);
        if (code < 0)
            return code;
        p->n_ips += p->ips[f].family != 0;
    }
    return 0;
}

int topology_add_pod(struct topology *t, json_t *pod, const struct topology_pod **ret_pod,
                     struct err *e)
{
    struct topology_pod p = { 0 };
    struct strbuf key = { 0 };
    const char *node = json_text(pod, "spec.nodeName");
    p.host_network = json_is_true(json_at(pod, "spec.hostNetwork"));
    int code = choose_node(t, node && *node ? node : NULL, &p.node, e);
    if (code == 0)
        code = give_addresses(t, &p, json_text(pod, "status.podIP"), e);
    if (code < 0)
        return code;
    strbuf_printf(&key, "%s/%s", json_text(pod, "metadata.namespace"),
                  json_text(pod, "metadata.name"));
    p.key = strbuf_steal(&key);
    t->nodes.items[p.node].n_pods++;
    vec_push(&t->pods, p);
    *ret_pod = &t->pods.items[t->pods.n - 1];
    return 0;
}

void topology_remove_pod(struct topology *t, const char *key)
{
    for (size_t i = 0; i < t->pods.n; i++) {
        if (str_eq(t->pods.items[i].key, key)) {
            t->nodes.items[t->pods.items[i].node].n_pods--;
            free(t->pods.items[i].key);
            vec_swap_remove(&t->pods, i);
            return;
        }
    }
}
