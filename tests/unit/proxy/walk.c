#include "walk.h"

#include "base/mem.h"

#include <string.h>

static const char *pick(struct rand *r, const char *const *list, unsigned n)
{
    return list[rand_below(r, n)];
}

#define PICK(r, list) pick(r, list, ARRAY_SIZE(list))

static void random_service(struct rand *r, struct world *w, unsigned i)
{
    static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer" };
    static const char *const policies[] = { "Cluster", "Local" };
    static const char *const affinities[] = { "None", "None", "ClientIP" };
    static const char *const ranges[] = { "", "10.0.0.0/8", "10.0.0.0/8, 10.1.0.0/16",
                                          "192.168.0.0/16, fd00::/8" };
    const char *type = PICK(r, types);
    bool ports = strcmp(type, "ClusterIP") != 0;
    struct strbuf y = { 0 };
    strbuf_printf(&y,
                  "apiVersion: v1\nkind: Service\nmetadata: {name: s%u, namespace: ns%s}\n"
                  "spec:\n  type: %s\n  clusterIPs: [10.96.0.%u, \"fd00:96::%u\"]\n"
                  "  sessionAffinity: %s\n  internalTrafficPolicy: %s\n",
                  i, rand_below(r, 8) ? "" : ", labels: {delete: x}", type,
                  rand_below(r, 20) ? i : 1, i, PICK(r, affinities), PICK(r, policies));
    if (ports)
        strbuf_printf(&y, "  externalTrafficPolicy: %s\n  loadBalancerSourceRanges: [%s]\n",
                      PICK(r, policies), PICK(r, ranges));
    strbuf_printf(&y, "  externalIPs: [%s]\n  ports:\n", rand_below(r, 2) ? "198.51.100.7" : "");
    for (unsigned p = 0; p < 1 + rand_below(r, 3); p++)
        strbuf_printf(&y, "  - {name: p%u, port: %u, protocol: %s, nodePort: %u}\n", p, 80 + p,
                      p == 2 ? "UDP" : "TCP", ports ? 30000 + rand_below(r, 6) : 0);
    if (ports && rand_below(r, 2))
        strbuf_printf(&y, "status: {loadBalancer: {ingress: [{ip: 203.0.113.%u}]}}\n",
                      rand_below(r, 3));
    world_apply(w, y.p);
    strbuf_done(&y);
}

static void random_slice(struct rand *r, struct world *w, unsigned i)
{
    static const char *const nodes[] = { "node1", "node2" };
    static const char *const states[] = { "ready: true", "ready: false",
                                          "ready: false, serving: true, terminating: true" };
    uint8_t family = rand_below(r, 3) ? 4 : 6;
    struct strbuf y = { 0 };
    strbuf_printf(&y,
                  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv%u\n"
                  "metadata: {name: s%u-%u-%u, namespace: ns,"
                  " labels: {kubernetes.io/service-name: s%u}}\n"
                  "ports: [{name: p0, port: 8080}, {name: p1, port: 8081},"
                  " {name: p2, port: 53, protocol: UDP}]\nendpoints:\n",
                  family, i, family, rand_below(r, 2), i);
    for (unsigned k = 1; k < 9; k++)
        if (rand_below(r, 2))
            strbuf_printf(&y, "- {addresses: [\"%s%u\"], nodeName: %s, conditions: {%s}}\n",
                          family == 4 ? "10.244.1." : "fd00::", k, PICK(r, nodes), PICK(r, states));
    strbuf_puts(&y, "- {addresses: [\"");
    strbuf_puts(&y, family == 4 ? "10.244.9.9" : "fd00::9");
    strbuf_puts(&y, "\"], conditions: {ready: false, serving: false}}\n");
    world_apply(w, y.p);
    strbuf_done(&y);
}

void walk_step(struct rand *r, struct world *w)
{
    for (unsigned i = 0; i < 1 + rand_below(r, 3); i++)
        if (rand_below(r, 2))
            random_service(r, w, rand_below(r, 5));
        else
            random_slice(r, w, rand_below(r, 5));
}
