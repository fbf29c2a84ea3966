/* The two forms of the proxy's rules, nftables and iptables, made of the same objects: by the
 * walker the same becomes of every packet to an address and port that a Service has. Objects and
 * packets are drawn by chance; SIGNPOST_FLOWS says how many packets (more than by default take
 * time), and SIGNPOST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "explain/node_view.h"
#include "world.h"

#include <netinet/in.h>

#define FLOWS          10000 /* by default */
#define FLOWS_OF_WORLD 500   /* then other objects */
#define SERVICES       40

struct pair {
    struct world world;
    struct node_view view[2]; /* nftables, iptables */
    struct rand rand;
    uint64_t seed;
};

static unsigned pick(struct pair *p, unsigned n)
{
    return (unsigned)rand_below(&p->rand, n);
}

static const char *one_of(struct pair *p, const char *const *words, unsigned n)
{
    return words[pick(p, n)];
}

/* ---- objects */

static void put_address(struct strbuf *b, unsigned family, const char *four, const char *six,
                        unsigned n)
{
    strbuf_printf(b, family == 4 ? "%s%u" : "\"%s%x\"", family == 4 ? four : six, n);
}

static void make_service(struct pair *p, struct strbuf *y, unsigned family, unsigned n)
{
    static const char *const protocols[] = { "TCP", "UDP", "SCTP" };
    static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer" };
    const char *type = one_of(p, types, 4);
    bool balancer = strcmp(type, "LoadBalancer") == 0;
    strbuf_printf(y, "apiVersion: v1\nkind: Service\nmetadata: {name: s%u, namespace: ns}\nspec:\n",
                  n);
    strbuf_printf(y, "  type: %s\n  clusterIP: ", type);
    put_address(y, family, "10.96.0.", "fd00:10:96::", n + 1);
    strbuf_printf(y, "\n  ports: [{name: p, port: %u, protocol: %s", 80 + pick(p, 2),
                  one_of(p, protocols, 3));
    if (strcmp(type, "ClusterIP") != 0)
        strbuf_printf(y, ", nodePort: %u", 30000 + n);
    strbuf_puts(y, "}]\n");
    if (pick(p, 4) == 0)
        strbuf_puts(y, "  internalTrafficPolicy: Local\n");
    if (pick(p, 2) == 0 && strcmp(type, "ClusterIP") != 0)
        strbuf_puts(y, "  externalTrafficPolicy: Local\n");
    if (pick(p, 4) == 0)
        strbuf_puts(y, "  sessionAffinity: ClientIP\n");
    if (pick(p, 4) == 0) {
        strbuf_puts(y, "  externalIPs: [");
        put_address(y, family, "198.51.100.", "2001:db8:1::", n + 1);
        strbuf_puts(y, "]\n");
    }
    if (balancer && pick(p, 2) == 0)
        strbuf_puts(y, family == 4 ? "  loadBalancerSourceRanges: [10.244.1.0/24, 192.0.2.0/25]\n"
                                   : "  loadBalancerSourceRanges: [\"fd00:10:244:1::/64\"]\n");
    if (balancer) {
        strbuf_puts(y, "status: {loadBalancer: {ingress: [{ip: ");
        put_address(y, family, "203.0.113.", "2001:db8:2::", n + 1);
        strbuf_puts(y, "}]}}\n");
    }
    strbuf_puts(y, "---\n");
}

static void make_slice(struct pair *p, struct strbuf *y, unsigned family, unsigned n,
                       const char *protocol)
{
    static const char *const conditions[] = { "ready: true", "ready: true", "ready: true",
                                              "ready: false",
                                              "ready: false, serving: true, terminating: true" };
    unsigned endpoints = pick(p, 6);
    strbuf_printf(y,
                  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv%u\n"
                  "metadata: {name: s%u-1, namespace: ns, labels: {kubernetes.io/service-name: "
                  "s%u}}\nports: [{name: p, port: 8080, protocol: %s}]\nendpoints:%s\n",
                  family, n, n, protocol, endpoints ? "" : " []");
    for (unsigned i = 0; i < endpoints; i++) {
        bool here = pick(p, 2) == 0;
        strbuf_puts(y, "- {addresses: [");
        put_address(y, family, here ? "10.244.1." : "10.244.2.",
                    here ? "fd00:10:244:1::" : "fd00:10:244:2::", 1 + pick(p, 30));
        strbuf_printf(y, "], nodeName: node%u, conditions: {%s}}\n", here ? 1u : 2u,
                      one_of(p, conditions, 5));
    }
    strbuf_puts(y, "---\n");
}

static const char *protocol_in(const struct strbuf *y, size_t at)
{
    const char *text = strstr(y->p + at, "protocol: ") + strlen("protocol: ");
    return *text == 'T' ? "TCP" : *text == 'U' ? "UDP" : "SCTP";
}

static void make_objects(struct pair *p)
{
    struct strbuf y = { 0 };
    strbuf_puts(&y, "apiVersion: v1\nkind: Node\nmetadata: {name: node1}\n"
                    "spec: {podCIDRs: [10.244.1.0/24, \"fd00:10:244:1::/64\"]}\n"
                    "status: {addresses: [{type: InternalIP, address: 192.168.0.1}, {type: "
                    "InternalIP, address: \"fd09::1\"}]}\n---\n");
    for (unsigned n = 0; n < SERVICES; n++) {
        unsigned family = pick(p, 2) ? 4 : 6;
        size_t at = y.len;
        make_service(p, &y, family, n);
        make_slice(p, &y, family, n, protocol_in(&y, at));
    }
    world_apply(&p->world, y.p);
    strbuf_done(&y);
}

static void open_pair(struct pair *p)
{
    struct err e = { 0 };
    struct chain_options chains[2] = { { .drop_invalid = true, .node_ports_everywhere = true },
                                       { .drop_invalid = true, .node_ports_everywhere = true } };
    struct node_view_options o = { .node = "node1",
                                   .rules = { { .family = 4, .mark = 0x4000 },
                                              { .family = 6, .mark = 0x4000 } } };
    bool everyone = pick(p, 5) == 0, detects = pick(p, 3) > 0;
    for (unsigned f = 0; f < 2; f++) {
        o.rules[f].masquerade_all = everyone;
        o.rules[f].local_mode = detects ? LOCAL_CIDR : LOCAL_UNKNOWN;
        assert_int_equal(
            ip_prefix_parse(f == 0 ? "10.244.0.0/16" : "fd00:10:244::/48", &o.rules[f].local_cidr),
            0);
    }
    world_init(&p->world);
    make_objects(p);
    for (unsigned i = 0; i < 2; i++) {
        o.chains = i == 0 ? NULL : chains;
        if (node_view_open(&p->view[i], p->world.store, &o, &e) < 0)
            fail_msg("seed %llu: %s", (unsigned long long)p->seed, e.text);
    }
}

static void close_pair(struct pair *p)
{
    node_view_done(&p->view[0]);
    node_view_done(&p->view[1]);
    world_done(&p->world);
}

/* ---- packets */

/* As in the original, rules of iptables mode that refuse what comes to addresses of the outside do
 * not look at what this node sends itself, and come before those that guard balancers. */
static bool differs_by_design(const struct portal *portal, const struct front *f,
                              const struct packet *p)
{
    return f->kind != FRONT_CLUSTER_IP && front_plan(portal, f).refusal != REFUSE_NOTHING &&
           (p->from_here || front_is_guarded(portal, f));
}

/* To some front of some Service: another address may be refused in one form and not in the other.
 * False: so may this one. */
static bool make_packet(struct pair *p, const struct portal_change *all, size_t n,
                        struct packet *ret)
{
    static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
    static const char *const sources[2][5] = {
        { "10.244.1.77", "10.244.2.99", "192.168.0.1", "192.0.2.9", "192.0.2.200" },
        { "fd00:10:244:1::77", "fd00:10:244:2::99", "fd09::1", "2001:db8::9", "2001:db8::10" }
    };
    const struct portal *portal = all[pick(p, (unsigned)n)].new;
    const struct front *f = &portal->fronts[pick(p, portal->n_fronts)];
    unsigned family = portal->family == 6, source = pick(p, 6);
    *ret = (struct packet){ .protocol = numbers[portal->protocol],
                            .from_port = 40000,
                            .to_port = f->port,
                            .from_here = source == 2 };
    ret->to = f->kind == FRONT_NODE_PORT ? p->view[0].addresses.items[family]
                                         : ip_of_bytes(portal->family, f->ip);
    if (source == 5 && portal->n_backends > 0)
        ret->from = ip_of_bytes(portal->family, portal->backends[pick(p, portal->n_backends)].ip);
    else
        assert_int_equal(ip_parse(sources[family][source % 5], &ret->from), 0);
    /* An endpoint of another node is masqueraded only where it meets itself: there. */
    if (source == 5 && ret->from.bytes[family ? 7 : 2] != 1)
        assert_int_equal(ip_parse(sources[family][0], &ret->from), 0);
    return !differs_by_design(portal, f, ret);
}

static void say(struct strbuf *b, const struct packet *p, const struct flow *f, const char *mode)
{
    char from[IP_TEXT_MAX], to[IP_TEXT_MAX];
    strbuf_printf(b, "\n%s: %s -> %s %u:", mode, ip_text(&p->from, from), ip_text(&p->to, to),
                  p->to_port);
    vec_each (o, &f->outcomes)
        strbuf_printf(b, " %.4f %s %s:%u%s%s", o->share, flow_end_text(o->end), ip_text(&o->to, to),
                      o->to_port, o->masqueraded ? " masqueraded" : "",
                      o->remembered ? " kept" : "");
}

static bool same_outcome(const struct flow_outcome *x, const struct flow_outcome *y)
{
    double d = x->share - y->share;
    return x->end == y->end && ip_equal(&x->to, &y->to) && x->to_port == y->to_port &&
           x->translated == y->translated && x->masqueraded == y->masqueraded &&
           x->remembered == y->remembered && d < 1e-6 && d > -1e-6;
}

static int by_address(const void *a, const void *b)
{
    const struct flow_outcome *x = a, *y = b;
    return ip_compare(&x->to, &y->to);
}

static void compare_packet(struct pair *p, const struct packet *packet)
{
    struct flow flows[2];
    struct arena a;
    arena_init(&a, 16384);
    for (unsigned i = 0; i < 2; i++) {
        const struct node_view *v = &p->view[i];
        flow_walk(&v->firewall, v->addresses.items, v->addresses.n, packet, &a, &flows[i]);
        qsort(flows[i].outcomes.items, flows[i].outcomes.n, sizeof(struct flow_outcome),
              by_address);
    }
    bool same = flows[0].outcomes.n == flows[1].outcomes.n;
    for (size_t i = 0; i < flows[0].outcomes.n && same; i++)
        same = same_outcome(&flows[0].outcomes.items[i], &flows[1].outcomes.items[i]);
    if (!same) {
        struct strbuf b = { 0 };
        say(&b, packet, &flows[0], "nftables");
        say(&b, packet, &flows[1], "iptables");
        fail_msg("SIGNPOST_SEED=%llu:%s", (unsigned long long)p->seed, b.p);
    }
    flow_done(&flows[0]);
    flow_done(&flows[1]);
    arena_done(&a);
}

static unsigned compare_world(struct pair *p, unsigned flows)
{
    struct portal_change *all[2];
    open_pair(p);
    size_t n[2] = { model_all(p->view[0].model, 4, &all[0]),
                    model_all(p->view[0].model, 6, &all[1]) };
    for (unsigned i = 0; i < flows;) {
        struct packet packet;
        unsigned f = n[1] == 0 || (n[0] > 0 && pick(p, 2)) ? 0 : 1;
        if (!make_packet(p, all[f], n[f], &packet))
            continue;
        compare_packet(p, &packet);
        i++;
    }
    free(all[0]);
    free(all[1]);
    close_pair(p);
    return flows;
}

static void both_modes_do_the_same(void **state)
{
    (void)state;
    const char *flows = getenv("SIGNPOST_FLOWS"), *seed = getenv("SIGNPOST_SEED");
    unsigned wanted = flows ? (unsigned)strtoul(flows, NULL, 10) : FLOWS;
    struct pair p = { .seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)clock_unix_ns() };
    for (unsigned done = 0; done < wanted; p.seed++) {
        p.rand = (struct rand){ { p.seed, ~p.seed, p.seed * 0x9e3779b97f4a7c15u, 1 } };
        for (unsigned i = 0; i < 16; i++)
            (void)rand_next(&p.rand);
        done += compare_world(&p, FLOWS_OF_WORLD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_modes_do_the_same) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
