/* Iptables mode: names of chains, and the rules of one portal, word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/chain_frame.h"
#include "world.h"

#include <stdio.h>

/* Hashes that were seen of the original. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *owner;
        uint8_t protocol, family;
        const char *hash, *ip;
        uint16_t port;
        const char *end_hash;
    } cases[] = {
        { "ns1/svc1:p80", PROTO_TCP, 4, "XPGD46QRK7WJZT7O", "10.180.0.1", 80, "SXIVWICOYRO3J4NJ" },
        { "ns1/svc1:p80", PROTO_TCP, 6, "XPGD46QRK7WJZT7O", "fd00::1", 80, "T5UNFIPVCZXM3U7X" },
        { "ns1/svc1", PROTO_TCP, 4, "AQI2S6QIMU7PVVRP", NULL, 0, NULL },
        { "default/kubernetes:https", PROTO_TCP, 4, "NPX46M4PTMTKRN6Y", NULL, 0, NULL },
        { "kube-system/kube-dns:dns", PROTO_UDP, 4, "TCOU7JCQXEZGVUNU", "10.244.0.2", 53,
          "YIL6JZP7A3QYXJU2" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct portal p = { .owner = cases[i].owner,
                            .protocol = cases[i].protocol,
                            .family = cases[i].family };
        char name[CHAIN_NAME_SIZE], want[CHAIN_NAME_SIZE];
        for (unsigned k = 0; k < CHAIN_SEP; k++) {
            (void)snprintf(want, sizeof want, "%s%s", chain_prefixes[k], cases[i].hash);
            assert_string_equal(chain_name(k, &p, NULL, name), want);
            assert_true(chain_name_is(name, strlen(name)));
            assert_true(strlen(name) <= 28);
        }
        struct backend b = { .port = cases[i].port };
        struct ip ip;
        if (!cases[i].ip)
            continue;
        assert_int_equal(ip_parse(cases[i].ip, &ip), 0);
        memcpy(b.ip, ip.bytes, sizeof b.ip);
        (void)snprintf(want, sizeof want, "KUBE-SEP-%s", cases[i].end_hash);
        assert_string_equal(chain_name(CHAIN_SEP, &p, &b, name), want);
    }
    assert_false(chain_name_is("KUBE-SERVICES", 13));
    assert_false(chain_name_is("KUBE-SEP-", 9));
    assert_false(chain_name_is("DOCKER", 6));
}

/* ---- one portal */

/* The Service is "ns1/svc1:p80" at 172.30.0.41; E1 10.180.0.1 is here, E2 10.180.1.2 elsewhere. */
static const struct portal *portal(struct world *w, const char *spec, const char *status,
                                   const char *ends)
{
    struct strbuf y = { 0 };
    struct portal_change *c;
    strbuf_printf(&y,
                  "apiVersion: v1\nkind: Node\nmetadata: {name: node1}\n"
                  "status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}\n---\n"
                  "apiVersion: v1\nkind: Service\nmetadata: {name: svc1, namespace: ns1}\n"
                  "spec: {clusterIP: 172.30.0.41, ports: [{name: p80, port: 80%s\n"
                  "status: {loadBalancer: {ingress: [%s]}}\n---\n"
                  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
                  "metadata: {name: a, namespace: ns1,"
                  " labels: {kubernetes.io/service-name: svc1}}\n"
                  "ports: [{name: p80, port: 80}]\nendpoints:%s\n%s%s",
                  spec, status, *ends ? "" : " []",
                  strstr(ends, "1") ? "- {addresses: [10.180.0.1], nodeName: node1}\n" : "",
                  strstr(ends, "2") ? "- {addresses: [10.180.1.2], nodeName: node2}\n" : "");
    world_apply(w, y.p);
    strbuf_done(&y);
    model_refresh(w->model);
    (void)model_take_changes(w->model, &c);
    free(c);
    const struct portal *p = model_find(w->model, "4tns1/svc1:p80");
    assert_non_null(p);
    return p;
}

static struct chain_options options(void)
{
    struct chain_options o = { .rules = { .family = 4, .local_mode = LOCAL_CIDR, .mark = 1 << 14 },
                               .node_ports_everywhere = true,
                               .localhost_node_ports = true,
                               .drop_invalid = true };
    assert_int_equal(ip_prefix_parse("10.0.0.0/8", &o.rules.local_cidr), 0);
    return o;
}

#define HASH "XPGD46QRK7WJZT7O"
#define E1   "KUBE-SEP-SXIVWICOYRO3J4NJ"
#define C    " -m comment --comment "
#define AT   " -m tcp -p tcp -d 172.30.0.41 --dport 80"
#define E1S  "-A " E1 C "\"ns1/svc1:p80\" -s 10.180.0.1 -j KUBE-MARK-MASQ\n"
#define E1D  "-A " E1 C "\"ns1/svc1:p80\" -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80\n"
#define OTHER                                                                                      \
    "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 cluster IP\"" AT " ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ\n"

static const struct chains_case {
    const char *name, *spec, *status, *ends;
    const char *shared[SHARED_CHAINS];
    const char *own; /* without the chains of endpoints, unless there is one only; @: E2's */
} cases[] = {
    { "one endpoint",
      "}]}",
      "",
      "1",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVC-" HASH "\n" },
      OTHER "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 -> 10.180.0.1:80\" -j " E1 "\n" E1S E1D },
    { "two endpoints",
      "}]}",
      "",
      "12",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVC-" HASH "\n" },
      OTHER "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 -> 10.180.0.1:80\" -m statistic --mode random"
            " --probability 0.5000000000 -j " E1 "\n"
            "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 -> 10.180.1.2:80\" -j @\n" },
    { "nobody",
      ", nodePort: 30080}], type: LoadBalancer, externalIPs: [192.0.2.1]}",
      "{ip: 203.0.113.5}",
      "",
      { [SHARED_REFUSED] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 has no endpoints\"" AT " -j REJECT\n",
        [SHARED_EXTERNAL_REFUSED] =
            "-A KUBE-EXTERNAL-SERVICES" C "\"ns1/svc1:p80 has no endpoints\" -m tcp -p tcp -d"
            " 203.0.113.5 --dport 80 -j REJECT\n"
            "-A KUBE-EXTERNAL-SERVICES" C "\"ns1/svc1:p80 has no endpoints\" -m tcp -p tcp -d"
            " 192.0.2.1 --dport 80 -j REJECT\n"
            "-A KUBE-EXTERNAL-SERVICES" C "\"ns1/svc1:p80 has no endpoints\" -m addrtype --dst-type"
            " LOCAL -m tcp -p tcp --dport 30080 -j REJECT\n" },
      "" },
    { "balancer with source ranges, this node among them",
      "}], type: LoadBalancer, allocateLoadBalancerNodePorts: false,"
      " loadBalancerSourceRanges: [192.168.0.0/24]}",
      "{ip: 203.0.113.5}",
      "1",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVC-" HASH "\n"
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 loadbalancer IP\" -m tcp -p tcp -d 203.0.113.5"
            " --dport 80 -j KUBE-FW-" HASH "\n",
        [SHARED_FIREWALL] =
            "-A KUBE-PROXY-FIREWALL" C "\"ns1/svc1:p80 traffic not accepted by KUBE-FW-" HASH
            "\" -m tcp -p tcp -d 203.0.113.5 --dport 80 -j DROP\n" },
      "-A KUBE-FW-" HASH C "\"ns1/svc1:p80 loadbalancer IP\" -s 192.168.0.0/24 -j KUBE-EXT-" HASH
      "\n"
      "-A KUBE-FW-" HASH C "\"ns1/svc1:p80 loadbalancer IP\" -s 203.0.113.5/32 -j KUBE-EXT-" HASH
      "\n"
      "-A KUBE-FW-" HASH C
      "\"other traffic to ns1/svc1:p80 will be dropped by KUBE-PROXY-FIREWALL\"\n"
      "-A KUBE-EXT-" HASH C "\"masquerade traffic for ns1/svc1:p80 external destinations\""
      " -j KUBE-MARK-MASQ\n-A KUBE-EXT-" HASH " -j KUBE-SVC-" HASH "\n" OTHER "-A KUBE-SVC-" HASH C
      "\"ns1/svc1:p80 -> 10.180.0.1:80\" -j " E1 "\n" E1S E1D },
    { "policy Local, nobody here",
      ", nodePort: 30080}], type: LoadBalancer, externalTrafficPolicy: Local,"
      " healthCheckNodePort: 31000}",
      "",
      "2",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVC-" HASH "\n",
        [SHARED_NODE_PORTS] = "-A KUBE-NODEPORTS" C
                              "\"ns1/svc1:p80\" -m tcp -p tcp --dport 30080 -j KUBE-EXT-" HASH "\n",
        [SHARED_EXTERNAL_REFUSED] =
            "-A KUBE-EXTERNAL-SERVICES" C "\"ns1/svc1:p80 has no local endpoints\" -m addrtype"
            " --dst-type LOCAL -m tcp -p tcp --dport 30080 -j DROP\n",
        [SHARED_HEALTH] =
            "-A KUBE-NODEPORTS" C "\"ns1/svc1:p80 health check node port\" -m tcp -p tcp --dport"
            " 31000 -j ACCEPT\n" },
      "-A KUBE-EXT-" HASH C "\"pod traffic for ns1/svc1:p80 external destinations\" -s 10.0.0.0/8"
      " -j KUBE-SVC-" HASH "\n"
      "-A KUBE-EXT-" HASH C "\"masquerade LOCAL traffic for ns1/svc1:p80 external destinations\""
      " -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ\n"
      "-A KUBE-EXT-" HASH C "\"route LOCAL traffic for ns1/svc1:p80 external destinations\""
      " -m addrtype --src-type LOCAL -j KUBE-SVC-" HASH "\n" OTHER "-A KUBE-SVC-" HASH C
      "\"ns1/svc1:p80 -> 10.180.1.2:80\" -j @\n"
      "-A @" C "\"ns1/svc1:p80\" -s 10.180.1.2 -j KUBE-MARK-MASQ\n"
      "-A @" C "\"ns1/svc1:p80\" -m tcp -p tcp -j DNAT --to-destination 10.180.1.2:80\n" },
    { "internal policy Local, one here",
      "}], internalTrafficPolicy: Local}",
      "",
      "12",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVL-" HASH "\n" },
      "-A KUBE-SVL-" HASH C "\"ns1/svc1:p80 cluster IP\"" AT " ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ\n"
      "-A KUBE-SVL-" HASH C "\"ns1/svc1:p80 -> 10.180.0.1:80\" -j " E1 "\n" E1S E1D },
    { "internal policy Local, nobody here",
      "}], internalTrafficPolicy: Local}",
      "",
      "2",
      { [SHARED_REFUSED] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 has no local endpoints\"" AT " -j DROP\n" },
      "" },
    { "affinity",
      "}], sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}}",
      "",
      "1",
      { [SHARED_SERVICES] =
            "-A KUBE-SERVICES" C "\"ns1/svc1:p80 cluster IP\"" AT " -j KUBE-SVC-" HASH "\n" },
      OTHER "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 -> 10.180.0.1:80\" -m recent --name " E1
            " --rcheck --seconds 5 --reap -j " E1 "\n"
            "-A KUBE-SVC-" HASH C "\"ns1/svc1:p80 -> 10.180.0.1:80\" -j " E1 "\n" E1S "-A " E1 C
            "\"ns1/svc1:p80\" -m recent --name " E1 " --set -m tcp -p tcp -j DNAT"
            " --to-destination 10.180.0.1:80\n" },
};

/* "@" stands for the chain of 10.180.1.2. */
static void put_expected(const struct portal *p, const char *text, struct strbuf *out)
{
    struct backend b = { .ip = { 10, 180, 1, 2 }, .port = 80 };
    char name[CHAIN_NAME_SIZE];
    chain_name(CHAIN_SEP, p, &b, name);
    strbuf_puts(out, "");
    for (; *text; text++)
        if (*text == '@')
            strbuf_puts(out, name);
        else
            strbuf_putc(out, *text);
}

/* The rules of all chains, in order; where there are several endpoints, without theirs. */
static void put_own(const struct chains *x, bool with_ends, struct strbuf *out)
{
    strbuf_puts(out, "");
    vec_each (c, &x->own)
        if (with_ends || !str_starts(c->name, "KUBE-SEP-"))
            strbuf_add(out, x->text.p + c->at, c->len);
}

static void test_portals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct chains_case *c = &cases[i];
        struct chain_options o = options();
        struct strbuf own = { 0 }, want = { 0 };
        struct chains x = { 0 };
        struct world w;
        world_init(&w);
        const struct portal *p = portal(&w, c->spec, c->status, c->ends);
        chains_render(p, &o, true, &x);
        for (unsigned k = 0; k < SHARED_CHAINS; k++)
            if (strcmp(x.shared[k].p ? x.shared[k].p : "", c->shared[k] ? c->shared[k] : "") != 0)
                fail_msg("%s: shared chain %u: %s", c->name, k, x.shared[k].p);
        put_expected(p, c->own, &want);
        put_own(&x, strcmp(c->name, "two endpoints") != 0, &own);
        if (strcmp(own.p, want.p) != 0)
            fail_msg("%s:\n%swanted:\n%s", c->name, own.p, want.p);
        strbuf_done(&own);
        strbuf_done(&want);
        chains_done(&x);
        world_done(&w);
    }
}

static void test_options(void **state)
{
    (void)state;
    static const struct {
        uint8_t mode;
        bool all;
        const char *want; /* in the first rule of the Service's chain; NULL: no such rule */
    } ways[] = {
        { LOCAL_UNKNOWN, false, NULL },
        { LOCAL_UNKNOWN, true, "--dport 80 -j KUBE-MARK-MASQ" },
        { LOCAL_CIDR, true, "--dport 80 -j KUBE-MARK-MASQ" },
        { LOCAL_BRIDGE, false, "--dport 80 ! -i cni0 -j KUBE-MARK-MASQ" },
        { LOCAL_PREFIX, false, "--dport 80 ! -i cni0+ -j KUBE-MARK-MASQ" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        struct chain_options o = options();
        struct chains x = { 0 };
        struct world w;
        world_init(&w);
        o.rules.local_mode = ways[i].mode;
        o.rules.masquerade_all = ways[i].all;
        (void)snprintf(o.rules.local_interface, sizeof o.rules.local_interface, "cni0");
        chains_render(portal(&w, "}]}", "", "1"), &o, false, &x);
        const char *first = strchr(x.text.p, '\n');
        char line[256];
        (void)snprintf(line, sizeof line, "%.*s", (int)(first - x.text.p), x.text.p);
        if (ways[i].want)
            assert_non_null(strstr(line, ways[i].want));
        else
            assert_null(strstr(line, "KUBE-MARK-MASQ"));
        assert_null(strstr(x.text.p, "->")); /* no comments that name endpoints */
        chains_done(&x);
        world_done(&w);
    }
}

/* ---- the frame */

static void test_node_ports(void **state)
{
    (void)state;
    static const struct {
        uint8_t family;
        bool everywhere, localhost;
        const char *want;
    } ways[] = {
        { 4, true, true, " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n" },
        { 4, true, false, " -m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS\n" },
        { 6, true, false, " -m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS\n" },
        { 4, false, true, " -d 192.168.0.2 -j KUBE-NODEPORTS\n" },
        { 6, false, false, "" },
    };
    struct ip ip = { .family = 4, .bytes = { 192, 168, 0, 2 } };
    struct surroundings around = { .node_ips = &ip, .n_node_ips = 1 };
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        struct chain_options o = { .rules.family = ways[i].family,
                                   .node_ports_everywhere = ways[i].everywhere,
                                   .localhost_node_ports = ways[i].localhost };
        struct strbuf text = { 0 };
        strbuf_puts(&text, "");
        frame_node_ports(&o, &around, &text);
        assert_true(str_ends(text.p, ways[i].want));
        assert_int_equal(text.len == 0, *ways[i].want == '\0');
        strbuf_done(&text);
    }
}

/* Jumps and the guard of loopback addresses come once, wherever they are already. */
static void test_jumps(void **state)
{
    (void)state;
    struct chain_options o = options();
    struct strbuf text = { 0 }, again = { 0 };
    size_t rules = frame_rules(TABLE_FILTER, &o, NULL, &text);
    assert_int_equal(rules, 3);
    assert_int_equal(lines_count(text.p), 3 + 11 + 1);
    assert_non_null(strstr(text.p,
                           "-I INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes"
                           " load balancer firewall\" -j KUBE-PROXY-FIREWALL\n"));
    for (char *p = text.p; (p = strstr(p, "-I ")); p++)
        p[1] = 'A';
    (void)frame_rules(TABLE_FILTER, &o, text.p, &again);
    assert_null(strstr(again.p, "-I "));
    for (unsigned i = 0; frame_hook(i); i++)
        if (frame_hook(i)->table == TABLE_FILTER) {
            assert_true(frame_hook_is_whole(frame_hook(i), text.p));
            assert_false(frame_hook_is_whole(frame_hook(i), "-A INPUT -j KUBE-FIREWALL\n"));
        }
    o.drop_invalid = false;
    strbuf_reset(&text);
    assert_int_equal(frame_rules(TABLE_FILTER, &o, "", &text), 2);
    strbuf_done(&text);
    strbuf_done(&again);
}

static void test_remove(void **state)
{
    (void)state;
    static const char saved[] = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n"
                                ":KUBE-FIREWALL - [0:0]\n:KUBE-SERVICES - [0:0]\n"
                                "-A INPUT -j KUBE-FIREWALL\n-A INPUT -s 10.0.0.0/8 -j DROP\n"
                                "-A INPUT -m comment --comment \"x -j y\" -j KUBE-SERVICES\n"
                                "-A KUBE-SERVICES -j KUBE-FIREWALL\nCOMMIT\n";
    struct strbuf text = { 0 };
    frame_remove("filter", saved, false, &text);
    assert_string_equal(text.p, "*filter\n:KUBE-SERVICES - [0:0]\n"
                                "-D INPUT -m comment --comment \"x -j y\" -j KUBE-SERVICES\n"
                                "-X KUBE-SERVICES\nCOMMIT\n");
    strbuf_reset(&text);
    frame_remove("filter", saved, true, &text);
    assert_string_equal(text.p, "*filter\n:KUBE-FIREWALL - [0:0]\n:KUBE-SERVICES - [0:0]\n"
                                "-D INPUT -j KUBE-FIREWALL\n"
                                "-D INPUT -m comment --comment \"x -j y\" -j KUBE-SERVICES\n"
                                "-X KUBE-FIREWALL\n-X KUBE-SERVICES\nCOMMIT\n");
    strbuf_reset(&text);
    frame_remove("nat", "*nat\n:DOCKER - [0:0]\nCOMMIT\n", true, &text);
    assert_int_equal(text.len, 0);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_portals),
        cmocka_unit_test(test_options), cmocka_unit_test(test_node_ports),
        cmocka_unit_test(test_jumps),   cmocka_unit_test(test_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
