/* Which UDP flows are stale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/conntrack.h"
#include "proxy/stale.h"
#include "world.h"

static const struct ip node_ips[] = { { 4, { 192, 168, 0, 1 } } };
static const struct surroundings around = { node_ips, 1, NULL, 0 };

static struct flow flow(const char *to, uint16_t port, const char *from)
{
    struct flow f = { .original = { .protocol = IPPROTO_UDP, .to_port = port } };
    assert_int_equal(ip_parse(to, &f.original.to), 0);
    assert_int_equal(ip_parse(from, &f.reply.from), 0);
    return f;
}

static void service(struct world *w, const char *more)
{
    struct strbuf y = { 0 };
    strbuf_printf(&y,
                  "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"
                  "spec: {clusterIP: 10.96.0.1, type: NodePort, externalIPs: [198.51.100.1],"
                  " ports: [{name: u, port: 53, protocol: UDP, nodePort: 30053},"
                  " {name: t, port: 53, nodePort: 30053}]}\n%s",
                  more);
    world_apply(w, y.p);
    strbuf_done(&y);
}

#define SLICE                                                                                      \
    "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"               \
    "metadata: {name: a, namespace: ns, labels: {kubernetes.io/service-name: a}}\n"                \
    "ports: [{name: u, port: 5353, protocol: UDP}, {name: t, port: 5353}]\nendpoints:\n"           \
    "- {addresses: [10.244.1.1]}\n"                                                                \
    "- {addresses: [10.244.1.2], conditions: {ready: false, serving: true, terminating: true}}\n"  \
    "- {addresses: [10.244.1.3], conditions: {ready: false, serving: false}}\n"

static bool is_stale(struct world *w, const char *to, uint16_t port, const char *from)
{
    struct portal_change *changes;
    struct flow f = flow(to, port, from);
    size_t n = model_all(w->model, 4, &changes);
    struct stale_index *x = stale_index_new(changes, n, &around);
    bool is = stale_is(x, &f);
    f.original.protocol = IPPROTO_TCP;
    assert_false(stale_is(x, &f));
    stale_index_free(x);
    free(changes);
    return is;
}

static void test_places(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    service(&w, SLICE);
    model_refresh(w.model);
    static const struct {
        const char *ip;
        uint16_t port;
        bool ours;
    } places[] = {
        { "10.96.0.1", 53, true },      { "198.51.100.1", 53, true },
        { "192.168.0.1", 30053, true }, { "192.168.0.2", 30053, false }, /* no address of ours */
        { "10.96.0.1", 54, false },     { "198.51.100.1", 8472, false },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        assert_int_equal(is_stale(&w, places[i].ip, places[i].port, "10.244.1.9"), places[i].ours);
        assert_int_equal(is_stale(&w, places[i].ip, places[i].port, places[i].ip), places[i].ours);
        assert_false(is_stale(&w, places[i].ip, places[i].port, "10.244.1.1"));
        assert_false(is_stale(&w, places[i].ip, places[i].port, "10.244.1.2")); /* still serves */
        assert_int_equal(is_stale(&w, places[i].ip, places[i].port, "10.244.1.3"), places[i].ours);
    }
    world_done(&w);
}

/* A Service that is gone, or a front that it has no more: flows there are stale, too. */
static void test_gone(void **state)
{
    (void)state;
    struct world w;
    struct portal_change *changes;
    world_init(&w);
    service(&w, SLICE);
    model_refresh(w.model);
    (void)model_take_changes(w.model, &changes);
    free(changes);
    world_apply(&w, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"
                    "spec: {clusterIP: 10.96.0.1, ports: [{name: u, port: 53, protocol: UDP}]}\n");
    model_refresh(w.model);
    size_t n = model_take_changes(w.model, &changes);
    struct stale_index *x = stale_index_new(changes, n, &around);
    struct flow gone = flow("198.51.100.1", 53, "10.244.1.1"),
                stays = flow("10.96.0.1", 53, "10.244.1.1");
    assert_true(stale_is(x, &gone));
    assert_false(stale_is(x, &stays));
    stale_index_free(x);
    free(changes);
    world_done(&w);
}

static struct stale_index *after(struct world *w, const char *slice)
{
    struct portal_change *changes;
    world_apply(w, slice);
    model_refresh(w->model);
    size_t n = model_take_changes(w->model, &changes);
    struct stale_index *x = stale_index_new(changes, n, &around);
    free(changes);
    return x;
}

/* When an endpoint comes nobody looks after flows; when one goes, after those of its Service. */
static void test_nothing_taken_away(void **state)
{
    (void)state;
    struct world w;
    struct flow lost = flow("10.96.0.1", 53, "10.244.1.9"),
                stays = flow("10.96.0.1", 53, "10.244.1.2");
    world_init(&w);
    service(&w, SLICE);
    stale_index_free(after(&w, SLICE));
    struct stale_index *x = after(&w, SLICE "- {addresses: [10.244.1.4]}\n");
    assert_false(stale_is(x, &lost));
    stale_index_free(x);
    x = after(&w, SLICE);
    assert_true(stale_is(x, &lost));
    assert_false(stale_is(x, &stays));
    stale_index_free(x);
    world_done(&w);
}

/* Flows that came before anybody served go to the one who does. */
static void test_first_endpoint(void **state)
{
    (void)state;
    struct world w;
    struct flow untranslated = flow("10.96.0.1", 53, "10.96.0.1");
    world_init(&w);
    service(&w,
            SLICE "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
                  "metadata: {name: a, namespace: ns, labels: {delete: x}}\n");
    stale_index_free(after(
        &w, SLICE "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
                  "metadata: {name: a, namespace: ns, labels: {delete: x}}\n"));
    struct stale_index *x = after(&w, SLICE);
    assert_true(stale_is(x, &untranslated));
    stale_index_free(x);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places), cmocka_unit_test(test_gone),
                                        cmocka_unit_test(test_nothing_taken_away),
                                        cmocka_unit_test(test_first_endpoint) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
