#include "lab/net.h"

#include "kernel/netns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WIRE "wire0"
#define CNI  "cni0"

static int failed(struct err *e, int code, const char *what, const char *where)
{
    return err_set(e, code, "%s (%s): %s", what, where, strerror(-code));
}

static struct ip_prefix alone(const struct ip *ip)
{
    return (struct ip_prefix){ .ip = *ip, .bits = ip->family == 4 ? 32 : 128 };
}

static struct ip outside_address(void)
{
    struct ip ip;
    (void)!ip_parse(TOPOLOGY_OUTSIDE, &ip);
    return ip;
}

static int place_open(struct net_place *p, int netns)
{
    p->netns = netns;
    if (netns < 0)
        return netns;
    int home = netns_current(), code = home < 0 ? home : netns_enter(netns);
    if (code == 0)
        code = link_table_open(&p->links);
    if (home >= 0) {
        netns_enter(home);
        close(home);
    }
    return code;
}

static void place_close(struct net_place *p)
{
    link_table_done(&p->links);
    if (p->netns >= 0)
        close(p->netns);
    p->netns = -1;
}

/* Settings of a namespace that forwards. The redirects: a packet that comes from one pod of a
 * bridge and goes to another is meant to take the way over the node. */
static int set_forwarding(int netns)
{
    static const char *const settings[][2] = {
        { "net/ipv4/ip_forward", "1" },
        { "net/ipv4/conf/all/send_redirects", "0" },
        { "net/ipv4/conf/default/send_redirects", "0" },
        { "net/ipv6/conf/all/forwarding", "1" },
    };
    int home = netns_current(), code = home < 0 ? home : netns_enter(netns);
    for (size_t i = 0; code == 0 && i < ARRAY_SIZE(settings); i++) {
        code = netns_sysctl(settings[i][0], settings[i][1]);
        if (code == -ENOENT && strstr(settings[i][0], "ipv6"))
            code = 0; /* a kernel without IPv6 */
    }
    if (home >= 0) {
        netns_enter(home);
        close(home);
    }
    return code;
}

int net_init(struct lab_net *n, struct err *e)
{
    *n = (struct lab_net){ .outside.netns = -1 };
    struct ip ip = outside_address();
    struct link_table *t = &n->outside.links;
    int code = place_open(&n->outside, netns_current());
    if (code == 0)
        code = link_set_up(t, "lo");
    if (code == 0)
        code = set_forwarding(n->outside.netns);
    if (code == 0)
        code = link_add_bridge(t, WIRE);
    if (code == 0)
        code = link_add_address(t, WIRE, &ip, 32);
    if (code == 0)
        code = link_set_up(t, WIRE);
    return code < 0 ? failed(e, code, "cannot build the lab's wire", WIRE) : 0;
}

/* "to" is reached at node `at`: its address on the link itself, its pod networks behind it. */
static int route_to_node(struct link_table *t, const char *link, const struct topology_node *to)
{
    int code = 0;
    for (unsigned a = 0; code == 0 && a < TOPOLOGY_FAMILIES && to->address[a].family; a++) {
        struct ip_prefix here = alone(&to->address[a]);
        code = route_add(t, &here, NULL, link);
        for (unsigned f = 0; code == 0 && f < to->n_families; f++) {
            if (to->pod_net[f].ip.family == to->address[a].family)
                code = route_add(t, &to->pod_net[f], &to->address[a], link);
        }
    }
    return code;
}

static int wire_node(struct lab_net *n, const struct topology_node *node, struct net_place *p,
                     const char *link)
{
    int code = link_add_veth(&n->outside.links, link, "eth0", p->netns);
    if (code == 0)
        code = link_set_master(&n->outside.links, link, WIRE);
    if (code == 0)
        code = link_set_up(&n->outside.links, link);
    for (unsigned a = 0; code == 0 && a < TOPOLOGY_FAMILIES && node->address[a].family; a++)
        code = link_add_address(&p->links, "eth0", &node->address[a],
                                node->address[a].family == 4 ? 32 : 128);
    return code < 0 ? code : link_set_up(&p->links, "eth0");
}

static int build_bridge(const struct topology_node *node, struct net_place *p)
{
    int code = link_add_bridge(&p->links, CNI);
    for (unsigned f = 0; code == 0 && f < node->n_families; f++)
        code = link_add_address(&p->links, CNI, &node->gateway[f], node->pod_net[f].bits);
    return code < 0 ? code : link_set_up(&p->links, CNI);
}

static int build_routes(struct lab_net *n, const struct topology *t, unsigned me)
{
    struct net_place *p = &n->nodes[me];
    struct ip gateway = outside_address();
    struct ip_prefix here = alone(&gateway), all = { .ip.family = 4 };
    int code = route_add(&p->links, &here, NULL, "eth0");
    if (code == 0)
        code = route_add(&p->links, &all, &gateway, "eth0");
    if (code == 0)
        code = route_to_node(&n->outside.links, WIRE, &t->nodes.items[me]);
    for (unsigned i = 0; code == 0 && i < me; i++) {
        code = route_to_node(&p->links, "eth0", &t->nodes.items[i]);
        if (code == 0)
            code = route_to_node(&n->nodes[i].links, "eth0", &t->nodes.items[me]);
    }
    return code;
}

int net_add_node(struct lab_net *n, const struct topology *t, struct err *e)
{
    unsigned me = n->n_nodes;
    const struct topology_node *node = &t->nodes.items[me];
    struct net_place *p = &n->nodes[me];
    char link[16];
    snprintf(link, sizeof link, "node%u", me + 1);
    int code = place_open(p, netns_new());
    if (code == 0)
        code = set_forwarding(p->netns);
    if (code == 0)
        code = wire_node(n, node, p, link);
    if (code == 0)
        code = build_bridge(node, p);
    if (code == 0)
        code = build_routes(n, t, me);
    if (code < 0) {
        place_close(p);
        return failed(e, code, "cannot build a node's network", node->name);
    }
    n->n_nodes++;
    return 0;
}

static int address_pod(struct net_place *pod, const struct topology_node *node,
                       const struct topology_pod *p)
{
    int code = 0;
    for (unsigned i = 0; code == 0 && i < p->n_ips; i++)
        code = link_add_address(&pod->links, "eth0", &p->ips[i], p->ips[i].family == 4 ? 32 : 128);
    if (code == 0)
        code = link_set_up(&pod->links, "eth0");
    for (unsigned f = 0; code == 0 && f < node->n_families; f++) {
        struct ip_prefix all = { .ip.family = node->gateway[f].family };
        struct ip_prefix gateway = alone(&node->gateway[f]);
        code = route_add(&pod->links, &gateway, NULL, "eth0");
        if (code == 0)
            code = route_add(&pod->links, &all, &node->gateway[f], "eth0");
    }
    return code;
}

int net_add_pod(struct lab_net *n, const struct topology *t, const struct topology_pod *pod,
                const char *name, int *ret_netns, struct err *e)
{
    struct link_table *node = &n->nodes[pod->node].links;
    struct net_place p = { .netns = -1 };
    int code = place_open(&p, netns_new());
    if (code == 0)
        code = link_add_veth(node, name, "eth0", p.netns);
    if (code == 0)
        code = link_set_master(node, name, CNI);
    if (code == 0)
        code = link_set_hairpin(node, name);
    if (code == 0)
        code = link_set_up(node, name);
    if (code == 0)
        code = address_pod(&p, &t->nodes.items[pod->node], pod);
    link_table_done(&p.links);
    if (code < 0) {
        if (p.netns >= 0)
            close(p.netns);
        return failed(e, code, "cannot build a pod's network", pod->key);
    }
    *ret_netns = p.netns;
    return 0;
}

void net_remove_pod(struct lab_net *n, unsigned node, const char *name)
{
    /* The link may be gone already, with the last process of the pod's namespace. */
    link_delete(&n->nodes[node].links, name);
}

int net_add_outside_address(struct lab_net *n, const struct ip *ip, struct err *e)
{
    char text[IP_TEXT_MAX];
    int code = link_add_address(&n->outside.links, "lo", ip, ip->family == 4 ? 32 : 128);
    return code < 0 && code != -EEXIST ? failed(e, code, "cannot add an address", ip_text(ip, text))
                                       : 0;
}
