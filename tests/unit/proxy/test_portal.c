/* From a Service and its endpoints to a portal: who is in which list, and what becomes of a
 * connection at each front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

/* ---- endpoints: "number node state hints", a line each */

static void put_endpoints(struct world *w, const char *lines)
{
    struct strbuf y = { 0 };
    char *copy = xstrdup(lines), *save = NULL;
    strbuf_puts(&y, "apiVersion: v1\nkind: Node\nmetadata: {name: node1,"
                    " labels: {topology.kubernetes.io/zone: z1}}\n---\n"
                    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
                    "metadata: {name: a, namespace: ns, labels: {kubernetes.io/service-name: a}}\n"
                    "ports: [{name: p, port: 8080}]\nendpoints:\n");
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char node[16], what[16], hints[128] = "";
        int n = 0;
        assert_true(sscanf(line, "%d %15s %15s %127[^\n]", &n, node, what, hints) >= 3);
        const char *conditions = strcmp(what, "ready") == 0     ? "ready: true"
                                 : strcmp(what, "leaving") == 0 ? "ready: false, terminating: true"
                                 : strcmp(what, "dying") == 0
                                     ? "ready: false, serving: false, terminating: true"
                                     : "ready: false, serving: false";
        strbuf_printf(&y, "- {addresses: [10.0.0.%d], conditions: {%s}", n, conditions);
        strbuf_printf(&y, strcmp(node, "-") == 0 ? "" : ", nodeName: %s", node);
        strbuf_printf(&y, *hints ? ", hints: {%s}}\n" : "}\n", hints);
    }
    world_apply(w, y.p);
    strbuf_done(&y);
    free(copy);
}

static const struct portal *portal(struct world *w, const char *spec, const char *endpoints)
{
    struct strbuf y = { 0 };
    struct portal_change *c;
    strbuf_printf(&y,
                  "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"
                  "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 80, nodePort: 30080}],"
                  " type: NodePort%s}\n",
                  spec);
    world_apply(w, y.p);
    put_endpoints(w, endpoints);
    strbuf_done(&y);
    model_refresh(w->model);
    (void)model_take_changes(w->model, &c);
    free(c);
    const struct portal *p = model_find(w->model, "4tns/a:p");
    assert_non_null(p);
    return p;
}

/* The last numbers of the addresses in a list, "1 2 ". */
static void list_text(const struct portal *p, uint16_t use, char out[64])
{
    size_t n = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < p->n_backends; i++)
        if (p->backends[i].use & use)
            n += (size_t)snprintf(out + n, 64 - n, "%u ", p->backends[i].ip[3]);
}

#define INTERNAL ", internalTrafficPolicy: Local"
#define EXTERNAL ", externalTrafficPolicy: Local"
#define BOTH     INTERNAL EXTERNAL
#define Z1       "forZones: [{name: z1}]"
#define Z2       "forZones: [{name: z2}]"
#define N1       "forNodes: [{name: node1}]"
#define N2       "forNodes: [{name: node2}]"

static const struct list_case {
    const char *name, *spec, *endpoints, *cluster, *local;
    bool has_any;
} list_cases[] = {
    { "nobody", "", "", "", "", false },
    { "ready ones", "", "1 node1 ready\n2 node2 not\n3 - ready", "1 3 ", "", true },
    { "none ready", BOTH, "1 node1 not\n2 node2 not", "", "", false },
    { "a ready one hides those that leave", "", "1 node1 leaving\n2 node2 ready", "2 ", "", true },
    { "all leave", "", "1 node1 leaving\n2 node2 dying", "1 ", "", true },
    { "all dying", BOTH, "1 node1 dying", "", "", false },
    { "local", EXTERNAL, "1 node1 ready\n2 node2 ready", "1 2 ", "1 ", true },
    { "nobody said where", EXTERNAL, "1 - ready", "1 ", "", true },
    { "local fallback beside a ready one elsewhere", BOTH, "1 node1 leaving\n2 node2 ready", "2 ",
      "1 ", true },
    { "both fall back", BOTH, "1 node1 leaving\n2 node2 leaving", "1 2 ", "1 ", true },
    { "hints for the zone", "", "1 node1 ready " Z1 "\n2 node2 ready " Z2, "1 ", "", true },
    { "a hint is missing", "", "1 node1 ready " Z1 "\n2 node2 ready", "1 2 ", "", true },
    { "one that is not ready needs no hint", "", "1 node1 ready " Z1 "\n2 node2 not", "1 ", "",
      true },
    { "no hint for us", "", "1 node1 ready " Z2 "\n2 node2 ready " Z2, "1 2 ", "", true },
    { "hints for the node come first", "",
      "1 node1 ready " Z1 ", " N1 "\n2 node2 ready " Z1 ", " N2, "1 ", "", true },
    { "no node hint for us: the zone", "",
      "1 node1 ready " Z1 ", " N2 "\n2 node2 ready " Z2 ", " N2, "1 ", "", true },
    { "hints do not count for Local", EXTERNAL, "1 node1 ready " Z2 "\n2 node2 ready " Z1, "2 ",
      "1 ", true },
    { "hints do not count for those that leave", "", "1 node1 leaving " Z2 "\n2 node2 dying", "1 ",
      "", true },
};

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(list_cases); i++) {
        const struct list_case *c = &list_cases[i];
        struct world w;
        char cluster[64], local[64];
        world_init(&w);
        const struct portal *p = portal(&w, c->spec, c->endpoints);
        list_text(p, BACKEND_CLUSTER, cluster);
        list_text(p, BACKEND_LOCAL, local);
        if (strcmp(cluster, c->cluster) != 0 || strcmp(local, c->local) != 0 ||
            p->has_any != c->has_any)
            fail_msg("%s: cluster %s, local %s, any %d", c->name, cluster, local, p->has_any);
        world_done(&w);
    }
}

/* ---- what becomes of connections: the cluster IP, then the node port */

static const struct plan_case {
    const char *name, *spec, *endpoints;
    struct front_plan internal, external;
} plan_cases[] = {
    { "nobody", BOTH, "", { ROUTE_NONE, REFUSE_REJECT }, { ROUTE_NONE, REFUSE_REJECT } },
    { "Cluster", "", "1 node2 ready", { ROUTE_CLUSTER, 0 }, { ROUTE_EXTERNAL, 0 } },
    { "Local, here", BOTH, "1 node1 ready", { ROUTE_LOCAL, 0 }, { ROUTE_BY_SOURCE, 0 } },
    { "Local, elsewhere",
      BOTH,
      "1 node2 ready",
      { ROUTE_NONE, REFUSE_DROP },
      { ROUTE_BY_SOURCE, REFUSE_DROP } },
    { "internal only",
      INTERNAL,
      "1 node2 ready",
      { ROUTE_NONE, REFUSE_DROP },
      { ROUTE_EXTERNAL, 0 } },
};

static void test_plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plan_cases); i++) {
        const struct plan_case *c = &plan_cases[i];
        struct world w;
        world_init(&w);
        const struct portal *p = portal(&w, c->spec, c->endpoints);
        struct front_plan in = front_plan(p, &p->fronts[0]), out = front_plan(p, &p->fronts[1]);
        if (in.route != c->internal.route || in.refusal != c->internal.refusal ||
            out.route != c->external.route || out.refusal != c->external.refusal)
            fail_msg("%s: %d %d, %d %d", c->name, in.route, in.refusal, out.route, out.refusal);
        world_done(&w);
    }
}

/* ---- sources */

static const struct source_case {
    const char *ranges, *want; /* "address/bits " in order */
} source_cases[] = {
    { "", "" },
    { "10.0.0.0/8", "10.0.0.0/8 " },
    { "10.1.0.0/16, 10.0.0.0/8, 10.1.2.3/32, 10.0.0.0/8", "10.0.0.0/8 " },
    { "\" 172.16.0.0/12 \", 10.0.0.0/8", "10.0.0.0/8 172.16.0.0/12 " },
    { "fd00::/8", "" },              /* only the other family: everyone */
    { "0.0.0.0/0, 10.0.0.0/8", "" }, /* everyone */
    { "192.168.0.0/16, 10.0.0.0/8",  /* this node may come, so may the address itself */
      "10.0.0.0/8 192.168.0.0/16 203.0.113.1/32 " },
};

static void test_sources(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(source_cases); i++) {
        struct world w;
        struct strbuf y = { 0 };
        char got[128] = "", ip[IP_TEXT_MAX];
        size_t n = 0;
        world_init(&w);
        strbuf_printf(&y,
                      "apiVersion: v1\nkind: Node\nmetadata: {name: node1}\n"
                      "status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}\n---\n"
                      "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"
                      "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 80}],"
                      " type: LoadBalancer, loadBalancerSourceRanges: [%s]}\n"
                      "status: {loadBalancer: {ingress: [{ip: 203.0.113.1},"
                      " {ip: 203.0.113.2, ipMode: Proxy}, {hostname: x.example}]}}\n",
                      source_cases[i].ranges);
        world_apply(&w, y.p);
        model_refresh(w.model);
        const struct portal *p = model_find(w.model, "4tns/a:p");
        assert_int_equal(p->n_fronts, 2);
        for (unsigned k = 0; k < p->n_sources; k++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s/%u ", ip_text(&p->sources[k].ip, ip),
                                  p->sources[k].bits);
        assert_string_equal(got, source_cases[i].want);
        assert_int_equal(front_is_guarded(p, &p->fronts[1]), p->n_sources > 0);
        assert_false(front_is_guarded(p, &p->fronts[0]));
        strbuf_done(&y);
        world_done(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lists), cmocka_unit_test(test_plans),
                                        cmocka_unit_test(test_sources) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
