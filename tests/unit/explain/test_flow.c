/* Packets through the rules that the proxy renders: what the walker says becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "explain/ipt_text.h"
#include "explain/nft_text.h"
#include "explain/node_view.h"
#include "world.h"

#include <netinet/in.h>

static const char node[] =
    "apiVersion: v1\nkind: Node\nmetadata: {name: node1, labels: {topology.kubernetes.io/zone: "
    "a}}\nspec: {podCIDRs: [10.244.1.0/24, \"fd00:10:244:1::/64\"]}\n"
    "status: {addresses: [{type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "
    "\"fd09::1\"}]}\n---\n";

struct scene {
    struct world world;
    struct node_view view;
    struct arena arena;
    struct strbuf said;
};

static void scene_open(struct scene *s, const char *yaml, const char *cidr4, bool everyone)
{
    struct err e = { 0 };
    struct strbuf text = { 0 };
    struct ip_prefix range;
    assert_int_equal(ip_prefix_parse("10.96.0.0/16", &range), 0);
    struct node_view_options o = {
        .node = "node1",
        .rules = { { .family = 4, .mark = 0x4000, .masquerade_all = everyone },
                   { .family = 6, .mark = 0x4000, .masquerade_all = everyone } },
        .ranges = &range,
        .n_ranges = 1
    };
    if (cidr4) {
        assert_int_equal(ip_prefix_parse(cidr4, &o.rules[0].local_cidr), 0);
        o.rules[0].local_mode = LOCAL_CIDR;
    }
    *s = (struct scene){ .said = { 0 } };
    world_init(&s->world);
    strbuf_printf(&text, "%s%s", node, yaml);
    world_apply(&s->world, text.p);
    strbuf_done(&text);
    arena_init(&s->arena, 4096);
    if (node_view_open(&s->view, s->world.store, &o, &e) < 0)
        fail_msg("%s", e.text);
}

static void scene_done(struct scene *s)
{
    node_view_done(&s->view);
    world_done(&s->world);
    arena_done(&s->arena);
    strbuf_done(&s->said);
}

static struct packet packet_of(const char *from, const char *to, uint16_t port, uint8_t protocol)
{
    struct packet p = { .protocol = protocol, .from_port = 40000, .to_port = port };
    p.from_here = strcmp(from, "node") == 0;
    assert_int_equal(ip_parse(to, &p.to), 0);
    if (p.from_here)
        from = p.to.family == 4 ? "192.168.0.1" : "fd09::1";
    assert_int_equal(ip_parse(from, &p.from), 0);
    return p;
}

static void say(struct scene *s, const struct flow_outcome *o)
{
    char text[IP_TEXT_MAX];
    if (s->said.len)
        strbuf_puts(&s->said, ", ");
    if (o->share < 0.999)
        strbuf_printf(&s->said, "%.0f%% ", o->share * 100);
    strbuf_puts(&s->said, flow_end_text(o->end));
    if (o->translated)
        strbuf_printf(&s->said, " %s:%u", ip_text(&o->to, text), o->to_port);
    if (o->masqueraded)
        strbuf_puts(&s->said, " masqueraded");
    if (o->remembered)
        strbuf_printf(&s->said, " kept %us", o->remembered);
}

static void check_packet(struct scene *s, const struct packet *p, const char *expected)
{
    struct flow flow;
    double sum = 0;
    strbuf_reset(&s->said);
    flow_walk(&s->view.firewall, s->view.addresses.items, s->view.addresses.n, p, &s->arena, &flow);
    vec_each (o, &flow.outcomes) {
        sum += o->share;
        say(s, o);
    }
    flow_done(&flow);
    assert_true(sum > 0.9999 && sum < 1.0001);
    assert_string_equal(s->said.p, expected);
}

static void check(struct scene *s, const char *from, const char *to, uint16_t port,
                  const char *expected)
{
    struct packet p = packet_of(from, to, port, IPPROTO_TCP);
    check_packet(s, &p, expected);
}

static const char web[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: ns}\n"
    "spec: {type: LoadBalancer, clusterIP: 10.96.0.10, ports: [{name: p, port: 80, nodePort: "
    "30080}], externalIPs: [198.51.100.7]%s}\n"
    "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}\n---\n"
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
    "metadata: {name: web-1, namespace: ns, labels: {kubernetes.io/service-name: web}}\n"
    "ports: [{name: p, port: 8080}]\nendpoints:\n"
    "- {addresses: [10.244.1.1], nodeName: node1}\n"
    "- {addresses: [10.244.2.2], nodeName: node2}\n";

static void open_web(struct scene *s, const char *spec, const char *cidr)
{
    struct strbuf yaml = { 0 };
    strbuf_printf(&yaml, web, spec);
    scene_open(s, yaml.p, cidr, false);
    strbuf_done(&yaml);
}

#define BOTH "50% sent 10.244.1.1:8080, 50% sent 10.244.2.2:8080"
#define BOTH_MASQUERADED                                                                           \
    "50% sent 10.244.1.1:8080 masqueraded, 50% sent 10.244.2.2:8080 masqueraded"

static void fronts(void **state)
{
    (void)state;
    struct scene s;
    open_web(&s, "", "10.244.0.0/16");
    check(&s, "10.244.1.5", "10.96.0.10", 80, BOTH);
    check(&s, "192.168.0.9", "10.96.0.10", 80, BOTH_MASQUERADED); /* from outside the cluster */
    check(&s, "node", "10.96.0.10", 80, BOTH_MASQUERADED);
    check(&s, "10.244.1.5", "203.0.113.1", 80, BOTH_MASQUERADED);
    check(&s, "192.168.0.9", "192.168.0.1", 30080, BOTH_MASQUERADED);
    check(&s, "10.244.1.5", "198.51.100.7", 80, BOTH_MASQUERADED);
    check(&s, "10.244.1.5", "10.96.0.10", 81, "rejected"); /* no such port */
    check(&s, "10.244.1.5", "10.96.9.9", 80, "dropped");   /* no such Service */
    check(&s, "10.244.1.5", "10.244.2.2", 8080, "sent");
    check(&s, "10.244.1.5", "192.168.0.1", 22, "to the node itself");
    check(&s, "node", "192.168.0.1", 22, "to the node itself");
    check(&s, "10.244.1.5", "2001:db8::1", 80, "sent");
    scene_done(&s);
}

static void hairpin(void **state)
{
    (void)state;
    struct scene s;
    open_web(&s, "", "10.244.0.0/16");
    check(&s, "10.244.1.1", "10.96.0.10", 80,
          "50% sent 10.244.1.1:8080 masqueraded, 50% sent 10.244.2.2:8080");
    scene_done(&s);
}

static void local_policies(void **state)
{
    (void)state;
    struct scene s;
    open_web(&s, ", externalTrafficPolicy: Local", "10.244.0.0/16");
    check(&s, "192.168.0.9", "203.0.113.1", 80, "sent 10.244.1.1:8080");
    check(&s, "10.244.1.5", "203.0.113.1", 80, BOTH);
    check(&s, "node", "203.0.113.1", 80, BOTH_MASQUERADED);
    world_apply(&s.world, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: "
                          "IPv4\nmetadata: {name: web-1, namespace: ns, labels: "
                          "{kubernetes.io/service-name: web}}\nports: [{name: p, port: 8080}]\n"
                          "endpoints:\n- {addresses: [10.244.2.2], nodeName: node2}\n");
    struct err e;
    struct node_view_options o = { .node = "node1" };
    memcpy(o.rules, s.view.rules, sizeof o.rules);
    node_view_done(&s.view);
    assert_int_equal(node_view_open(&s.view, s.world.store, &o, &e), 0);
    check(&s, "192.168.0.9", "203.0.113.1", 80, "dropped");
    check(&s, "10.244.1.5", "203.0.113.1", 80, "sent 10.244.2.2:8080");
    scene_done(&s);
    open_web(&s, ", internalTrafficPolicy: Local", "10.244.0.0/16");
    check(&s, "10.244.1.5", "10.96.0.10", 80, "sent 10.244.1.1:8080");
    scene_done(&s);
}

static void source_ranges(void **state)
{
    (void)state;
    struct scene s;
    open_web(&s, ", loadBalancerSourceRanges: [192.0.2.0/24, 192.0.2.128/25, 10.1.0.0/16]", NULL);
    check(&s, "192.0.2.200", "203.0.113.1", 80, BOTH_MASQUERADED);
    check(&s, "10.1.255.255", "203.0.113.1", 80, BOTH_MASQUERADED);
    check(&s, "10.2.0.0", "203.0.113.1", 80, "dropped");
    check(&s, "10.2.0.0", "10.96.0.10", 80, BOTH);
    scene_done(&s);
}

static void affinity(void **state)
{
    (void)state;
    struct scene s;
    open_web(&s, ", sessionAffinity: ClientIP", "10.244.0.0/16");
    check(&s, "10.244.1.5", "10.96.0.10", 80,
          "50% sent 10.244.1.1:8080 kept 10800s, 50% sent 10.244.2.2:8080 kept 10800s");
    struct packet p = packet_of("10.244.1.5", "10.96.0.10", 80, IPPROTO_TCP);
    assert_int_equal(ip_parse("10.244.2.2", &p.kept), 0);
    p.kept_port = 8080;
    check_packet(&s, &p, "sent 10.244.2.2:8080 kept 10800s");
    scene_done(&s);
}

static void nobody(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, "", NULL, false);
    world_service(&s.world, "none", "10.96.0.20");
    world_service(&s.world, "six", "fd00:10:96::20");
    struct err e;
    struct node_view_options o = { .node = "node1" };
    memcpy(o.rules, s.view.rules, sizeof o.rules);
    node_view_done(&s.view);
    assert_int_equal(node_view_open(&s.view, s.world.store, &o, &e), 0);
    check(&s, "10.244.1.5", "10.96.0.20", 80, "rejected");
    check(&s, "node", "10.96.0.20", 80, "rejected");
    check(&s, "fd00:10:244:1::5", "fd00:10:96::20", 80, "rejected");
    scene_done(&s);
}

static void masquerade_all(void **state)
{
    (void)state;
    struct scene s;
    struct strbuf yaml = { 0 };
    strbuf_printf(&yaml, web, "");
    scene_open(&s, yaml.p, NULL, true);
    strbuf_done(&yaml);
    check(&s, "10.244.1.5", "10.96.0.10", 80, BOTH_MASQUERADED);
    scene_done(&s);
}

/* A modulus larger than the list: every endpoint gets its share, slot 0 a little more. */
static void many_endpoints(void **state)
{
    (void)state;
    struct scene s;
    struct strbuf numbers = { 0 };
    scene_open(&s, "", NULL, false);
    world_service(&s.world, "big", "10.96.0.20");
    for (unsigned i = 1; i <= 201; i++)
        strbuf_printf(&numbers, "%s%u", i > 1 ? " " : "", i);
    world_slice(&s.world, "big", numbers.p, NULL);
    strbuf_done(&numbers);
    struct err e;
    struct node_view_options o = { .node = "node1" };
    memcpy(o.rules, s.view.rules, sizeof o.rules);
    node_view_done(&s.view);
    assert_int_equal(node_view_open(&s.view, s.world.store, &o, &e), 0);
    struct packet p = packet_of("10.244.2.5", "10.96.0.20", 80, IPPROTO_TCP);
    struct flow flow;
    flow_walk(&s.view.firewall, NULL, 0, &p, &s.arena, &flow);
    assert_int_equal(flow.outcomes.n, 201);
    double sum = 0;
    vec_each (one, &flow.outcomes) {
        assert_true(one->share > 0.9 / 201 && one->share < 1.2 / 201);
        sum += one->share;
    }
    assert_true(sum > 0.9999 && sum < 1.0001);
    flow_done(&flow);
    scene_done(&s);
}

/* Each step names its chain and what was found there. */
static void steps(void **state)
{
    (void)state;
    struct scene s;
    const struct flow_step *const *list;
    struct flow flow;
    open_web(&s, "", "10.244.0.0/16");
    struct packet p = packet_of("10.244.1.1", "10.96.0.10", 80, IPPROTO_TCP);
    flow_walk(&s.view.firewall, s.view.addresses.items, s.view.addresses.n, &p, &s.arena, &flow);
    size_t n = flow_steps(&flow.outcomes.items[0], &s.arena, &list);
    for (size_t i = 0; i < n; i++)
        strbuf_printf(&s.said, "%s%s%s%s", i ? " " : "", list[i]->chain->name,
                      list[i]->map ? "/" : "", list[i]->map ? list[i]->map->name : "");
    assert_string_equal(s.said.p,
                        "prerouting-before nat-prerouting services/services choose-list/lists "
                        "draw2-tcp/endpoints-tcp prerouting-behind translated filter-forward "
                        "filter-forward filter-forward nat-postrouting masquerading/hairpin");
    flow_done(&flow);
    scene_done(&s);
}

static void refused_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "add rule ip t c meta l4proto tcp frobnicate", "line 1: \"frobnicate\"" },
        { "\n\nadd rule ip t c ip daddr . th dport == 5", "line 3: \"5\" where a set" },
        { "add element ip t nowhere { 1 }", "no map \"nowhere\"" },
        { "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\nadd element ip t s { 1.2.3 }",
          "line 6: \"1.2.3\"" },
        { "flush ruleset", "\"flush\" where a command" },
        { "table ip t {\n\tchain c {\n\t\ttype filter hook ingress priority 0;\n\t}\n}\n",
          "\"ingress\" where a hook" },
        { "add rule ip t c numgen random mod 0 vmap @x", "\"0\" where a modulus" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct firewall f;
        struct err e = { 0 };
        firewall_init(&f);
        assert_true(nft_text_read(&f, cases[i].text, &e) < 0);
        if (!strstr(e.text, cases[i].error))
            fail_msg("%s, not %s", e.text, cases[i].error);
        firewall_done(&f);
    }
}

/* In IPv6 the rule that remembers clients is not text of nft's. */
static void affinity_in_ipv6(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s,
               "apiVersion: v1\nkind: Service\nmetadata: {name: six, namespace: ns}\n"
               "spec: {clusterIP: \"fd00:10:96::9\", sessionAffinity: ClientIP, ports: [{name: p, "
               "port: 80}]}\n---\n"
               "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv6\n"
               "metadata: {name: six-1, namespace: ns, labels: {kubernetes.io/service-name: six}}\n"
               "ports: [{name: p, port: 8080}]\nendpoints: [{addresses: "
               "[\"fd00:10:244:1::1\"]}]\n",
               NULL, false);
    check(&s, "fd00:10:244:1::5", "fd00:10:96::9", 80, "sent fd00:10:244:1::1:8080 kept 10800s");
    check(&s, "fd00:10:244:1::1", "fd00:10:96::9", 80,
          "sent fd00:10:244:1::1:8080 masqueraded kept 10800s");
    scene_done(&s);
}

/* ---- iptables */

static const char tables[] =
    "*filter\n:KUBE-SERVICES - [0:0]\n:KUBE-PROXY-FIREWALL - [0:0]\n:KUBE-FORWARD - [0:0]\n"
    "-I FORWARD -m conntrack --ctstate NEW -m comment --comment \"service portals\" -j "
    "KUBE-SERVICES\n"
    "-I OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES\n-I FORWARD -j KUBE-FORWARD\n"
    "-I FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL\n"
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name x -j DROP\n"
    "-A KUBE-FORWARD -m mark --mark 0x00004000/0x00004000 -j ACCEPT\n"
    "-A KUBE-PROXY-FIREWALL -m tcp -p tcp -d 203.0.113.1 --dport 80 -j DROP\n"
    "-A KUBE-SERVICES -m comment --comment \"ns/none has no endpoints\" -m tcp -p tcp -d "
    "10.96.0.20 "
    "--dport 80 -j REJECT\nCOMMIT\n"
    "*nat\n"
    "-I OUTPUT -j KUBE-SERVICES\n-I PREROUTING -j KUBE-SERVICES\n"
    "-I POSTROUTING -j KUBE-POSTROUTING\n"
    "-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000\n"
    "-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN\n"
    "-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000\n"
    "-A KUBE-POSTROUTING -j MASQUERADE --random-fully\n"
    "-A KUBE-SERVICES -m tcp -p tcp -d 10.96.0.10 --dport 80 -j KUBE-SVC-A\n"
    "-A KUBE-SERVICES -m tcp -p tcp -d 203.0.113.1 --dport 80 -j KUBE-FW-A\n"
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS\n"
    "-A KUBE-NODEPORTS -m tcp -p tcp --dport 30080 -j KUBE-EXT-A\n"
    "-A KUBE-FW-A -s 10.0.0.0/8 -j KUBE-EXT-A\n-A KUBE-FW-A -m comment --comment \"no target\"\n"
    "-A KUBE-EXT-A -j KUBE-MARK-MASQ\n-A KUBE-EXT-A -j KUBE-SVC-A\n"
    "-A KUBE-SVC-A -m tcp -p tcp -d 10.96.0.10 --dport 80 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ\n"
    "-A KUBE-SVC-A -m recent --name KUBE-SEP-2 --rcheck --seconds 60 --reap -j KUBE-SEP-2\n"
    "-A KUBE-SVC-A -m statistic --mode random --probability 0.2500000000 -j KUBE-SEP-1\n"
    "-A KUBE-SVC-A -j KUBE-SEP-2\n"
    "-A KUBE-SEP-1 -s 10.244.1.1 -j KUBE-MARK-MASQ\n"
    "-A KUBE-SEP-1 -m tcp -p tcp -j DNAT --to-destination 10.244.1.1:8080\n"
    "-A KUBE-SEP-2 -m recent --name KUBE-SEP-2 --set -m tcp -p tcp -j DNAT --to-destination "
    "10.244.2.2:8080\nCOMMIT\n";

static void iptables(void **state)
{
    (void)state;
    struct scene s;
    struct err e;
    scene_open(&s, "", NULL, false);
    firewall_done(&s.view.firewall);
    firewall_init(&s.view.firewall);
    if (ipt_text_read(&s.view.firewall, 4, tables, &e) < 0)
        fail_msg("%s", e.text);
    check(&s, "10.244.1.5", "10.96.0.10", 80,
          "75% sent 10.244.2.2:8080 kept 60s, 25% sent 10.244.1.1:8080");
    check(&s, "10.244.1.1", "10.96.0.10", 80,
          "75% sent 10.244.2.2:8080 kept 60s, 25% sent 10.244.1.1:8080 masqueraded");
    check(&s, "192.168.0.9", "10.96.0.10", 80,
          "75% sent 10.244.2.2:8080 masqueraded kept 60s, 25% sent 10.244.1.1:8080 masqueraded");
    check(&s, "10.1.1.1", "203.0.113.1", 80,
          "75% sent 10.244.2.2:8080 masqueraded kept 60s, 25% sent 10.244.1.1:8080 masqueraded");
    check(&s, "192.0.2.1", "203.0.113.1", 80, "dropped");
    check(&s, "node", "192.168.0.1", 30080,
          "75% sent 10.244.2.2:8080 masqueraded kept 60s, 25% sent 10.244.1.1:8080 masqueraded");
    check(&s, "node", "192.168.0.1", 30081, "to the node itself");
    check(&s, "node", "10.96.0.20", 80, "rejected");
    check(&s, "10.244.1.5", "10.96.0.20", 80, "rejected");
    check(&s, "10.244.1.5", "10.96.0.20", 81, "sent");
    struct packet p = packet_of("10.244.1.5", "10.96.0.10", 80, IPPROTO_TCP);
    assert_int_equal(ip_parse("10.244.2.2", &p.kept), 0);
    p.kept_port = 8080;
    check_packet(&s, &p, "sent 10.244.2.2:8080 kept 60s");
    scene_done(&s);
}

static void refused_iptables(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "-A X -j ACCEPT", "*TABLE" },
        { "*raw\n", "table raw" },
        { "*nat\n-A X -j DNAT --to-source 1.2.3.4:5", "--to-destination" },
        { "*nat\n\n-A X -m u32 -j ACCEPT", "line 3: \"u32\"" },
        { "*nat\n-A X -p icmp", "a protocol" },
        { "*nat\n-A X --dport 70000", "a port" },
        { "*nat\n-A X --ctstate OLD", "a state" },
        { "*nat\n-A X -s 1.2.3", "an address" },
        { "*nat\n-A X -m recent --name L --update", "--rcheck" },
        { "*nat\n-Z X", "-A, -I, -X or -F" },
        { "*nat\n-A X -j", "a target" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct firewall f;
        struct err e = { 0 };
        firewall_init(&f);
        assert_true(ipt_text_read(&f, 4, cases[i].text, &e) < 0);
        if (!strstr(e.text, cases[i].error))
            fail_msg("%s, not %s", e.text, cases[i].error);
        firewall_done(&f);
    }
}

/* Rules that call each other for ever end the walk, not the walker. */
static void loops(void **state)
{
    (void)state;
    static const char text[] = "table ip t {\n\tchain a {\n\t\ttype filter hook prerouting "
                               "priority 0; policy accept;\n\t\tjump b\n\t}\n\tchain b {\n\t\tgoto "
                               "c\n\t}\n\tchain c {\n\t\tgoto b\n\t}\n}\n";
    struct firewall f;
    struct flow flow;
    struct arena a;
    struct err e;
    struct packet p = packet_of("10.0.0.1", "10.0.0.2", 80, IPPROTO_TCP);
    firewall_init(&f);
    arena_init(&a, 4096);
    assert_int_equal(nft_text_read(&f, text, &e), 0);
    flow_walk(&f, NULL, 0, &p, &a, &flow);
    assert_int_equal(flow.outcomes.n, 1);
    assert_int_equal(flow.outcomes.items[0].end, FLOW_UNKNOWN);
    flow_done(&flow);
    arena_done(&a);
    firewall_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fronts),         cmocka_unit_test(hairpin),
        cmocka_unit_test(local_policies), cmocka_unit_test(source_ranges),
        cmocka_unit_test(affinity),       cmocka_unit_test(nobody),
        cmocka_unit_test(masquerade_all), cmocka_unit_test(many_endpoints),
        cmocka_unit_test(steps),          cmocka_unit_test(refused_text),
        cmocka_unit_test(loops),          cmocka_unit_test(affinity_in_ipv6),
        cmocka_unit_test(iptables),       cmocka_unit_test(refused_iptables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
