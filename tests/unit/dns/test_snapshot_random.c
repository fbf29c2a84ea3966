/* A snapshot that followed a random history equals one built from where the history ended. */
#include "base/rand.h"
#include "kube/pod.h"
#include "kube/selector.h"
#include "kube/service.h"
#include "kube/slice_builder.h"
#include "picture.h"
#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define STEPS 3000
#define EVERY 25 /* steps between two comparisons */

static const char *const namespaces[] = { "default", "prod", "test" };
static const char *const services[] = { "web", "db", "cache", "api" };
static const char *const texts[] = { "", "a", "b", "db-0" };
static struct ip ips[24];
static const struct universe all = { namespaces, services, ips, 3, 4, ARRAY_SIZE(ips) };

struct history {
    struct store *store;
    struct rand rand;
    struct slice_builder builder;
};

static uint32_t below(struct history *h, uint32_t n)
{
    return rand_below(&h->rand, n);
}

static const char *any_of(struct history *h, const char *const *list, uint32_t n)
{
    return list[below(h, n)];
}

/* Half of all objects have the label that selectors look for. */
static struct meta random_meta(struct history *h, const char *ns, const char *name)
{
    static const struct label tier = { "tier", "front" };
    return (struct meta){ .namespace = ns,
                          .name = name,
                          .uid = "",
                          .origin = "",
                          .labels = &tier,
                          .n_labels = (uint16_t)below(h, 2) };
}

static void change_namespace(struct history *h)
{
    const char *name = any_of(h, namespaces, 3);
    struct namespace n = { .object = { KIND_NAMESPACE, random_meta(h, "", name) } };
    if (below(h, 3))
        store_put(h->store, object_copy(&n.object));
    else
        store_delete(h->store, KIND_NAMESPACE, "", name);
}

static void change_service(struct history *h)
{
    const char *ns = any_of(h, namespaces, 3), *name = any_of(h, services, 4);
    const struct service_port ports[] = {
        { .name = any_of(h, texts, 4), .protocol = PROTO_TCP, .port = (uint16_t)below(h, 3) },
        { .name = "dns", .protocol = PROTO_UDP, .port = 53 },
    };
    const struct ip own[] = { ips[below(h, 24)], ips[below(h, 24)] };
    static const char *const targets[] = { "www.example.com", "10.0.0.1", "", "a.b." };
    uint32_t kind = below(h, 4);
    struct service s = { .object = { KIND_SERVICE, random_meta(h, ns, name) },
                         .type = kind == 3 ? SERVICE_EXTERNAL_NAME : SERVICE_CLUSTER_IP,
                         .headless = kind == 2,
                         .ports = ports,
                         .n_ports = (uint16_t)below(h, 3),
                         .cluster_ips = own,
                         .n_cluster_ips = kind < 2 ? (uint8_t)below(h, 3) : 0,
                         .external_name = kind == 3 ? any_of(h, targets, 4) : NULL };
    if (below(h, 4))
        store_put(h->store, object_copy(&s.object));
    else
        store_delete(h->store, KIND_SERVICE, ns, name);
}

static void add_endpoint(struct history *h)
{
    struct endpoint e = { .ip = ips[below(h, 24)],
                          .conditions = below(h, 4) ? ENDPOINT_READY : ENDPOINT_SERVING,
                          .hostname = slice_builder_text(&h->builder, any_of(h, texts, 4)),
                          .zone = slice_builder_text(&h->builder, any_of(h, texts, 4)) };
    const struct endpoint_more more = { .pod =
                                            slice_builder_text(&h->builder, any_of(h, texts, 4)) };
    vec_push(&h->builder.endpoints, e);
    vec_push(&h->builder.more, more);
}

static void change_slice(struct history *h)
{
    static const char *const names[] = { "s1", "s2", "s3", "s4", "s5", "s6" };
    const char *ns = any_of(h, namespaces, 3), *name = any_of(h, names, 6);
    const struct slice_port ports[] = {
        { .name = any_of(h, texts, 4), .protocol = PROTO_TCP, .port = (int32_t)below(h, 3) - 1 },
        { .name = "dns", .protocol = PROTO_UDP, .port = 53 },
    };
    if (below(h, 4) == 0) {
        store_delete(h->store, KIND_SLICE, ns, name);
        return;
    }
    struct slice s = { .object = { KIND_SLICE, random_meta(h, ns, name) },
                       .service = below(h, 12) ? any_of(h, services, 4) : "",
                       .ports = ports,
                       .n_ports = (uint16_t)below(h, 3),
                       .family = below(h, 12) ? 4 : 0 };
    slice_builder_reset(&h->builder);
    for (uint32_t n = below(h, 7); n > 0; n--)
        add_endpoint(h);
    slice_builder_finish(&h->builder, &s);
    store_put(h->store, object_copy(&s.object));
}

static void change_pod(struct history *h)
{
    static const char *const names[] = { "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8" };
    const char *ns = any_of(h, namespaces, 3), *name = any_of(h, names, 8);
    const struct ip own[] = { ips[below(h, 24)], ips[below(h, 24)] };
    struct pod p = { .object = { KIND_POD, random_meta(h, ns, name) },
                     .ips = own,
                     .n_ips = (uint8_t)below(h, 3),
                     .node = "",
                     .phase = (enum pod_phase)below(h, 5) };
    if (below(h, 3))
        store_put(h->store, object_copy(&p.object));
    else
        store_delete(h->store, KIND_POD, ns, name);
}

static void random_step(struct history *h)
{
    switch (below(h, 8)) {
    case 0:
        change_namespace(h);
        break;
    case 1:
    case 2:
        change_service(h);
        break;
    case 3:
        change_pod(h);
        break;
    default:
        change_slice(h);
    }
}

static void compare(const struct history *h, const struct snapshot *grown,
                    const struct snapshot_options *options, unsigned step)
{
    struct snapshot *fresh = snapshot_new(h->store, options);
    struct strbuf a = { 0 }, b = { 0 };
    picture(grown, &all, &a);
    picture(fresh, &all, &b);
    if (strcmp(a.p, b.p) != 0)
        fail_msg("after step %u it grew to\n%s\nand not to\n%s", step, a.p, b.p);
    strbuf_done(&a);
    strbuf_done(&b);
    snapshot_free(fresh);
}

static void run_history(const struct snapshot_options *options, uint64_t seed)
{
    struct history h = { .store = store_new(), .rand = { { seed, 2, 3, 4 } } };
    for (uint32_t i = 0; i < ARRAY_SIZE(ips); i++) {
        ips[i] = (struct ip){ .family = i < 16 ? 4 : 6 };
        ips[i].bytes[0] = i < 16 ? 10 : 0xfd;
        ips[i].bytes[i < 16 ? 3 : 15] = (uint8_t)i;
    }
    store_set_synced(h.store);
    for (unsigned i = 0; i < 40; i++)
        random_step(&h); /* something is there at the start */
    struct snapshot *grown = snapshot_new(h.store, options);
    for (unsigned i = 1; i <= STEPS; i++) {
        random_step(&h);
        if (i % EVERY == 0)
            compare(&h, grown, options, i);
    }
    snapshot_free(grown);
    store_free(h.store);
    slice_builder_done(&h.builder);
    rcu_barrier_all();
}

static const struct selector *front(struct arena *a)
{
    const struct selector *s;
    arena_init(a, 4096);
    assert_int_equal(selector_parse("tier=front", a, &s, NULL), 0);
    return s;
}

static void test_everything(void **state)
{
    (void)state;
    run_history(&(struct snapshot_options){ .endpoints = true }, 1);
}

static void test_pods_verified_and_pod_names(void **state)
{
    (void)state;
    run_history(&(struct snapshot_options){ .endpoints = true,
                                            .pods = PODS_VERIFIED,
                                            .endpoint_pod_names = true },
                2);
}

static void test_labels(void **state)
{
    struct arena a;
    (void)state;
    run_history(
        &(struct snapshot_options){ .endpoints = true, .pods = PODS_VERIFIED, .labels = front(&a) },
        3);
    arena_done(&a);
}

static void test_namespace_labels(void **state)
{
    struct arena a;
    (void)state;
    run_history(&(struct snapshot_options){ .endpoints = true, .namespace_labels = front(&a) }, 4);
    arena_done(&a);
}

static void test_namespaces(void **state)
{
    static const char *const some[] = { "prod", "test" };
    (void)state;
    run_history(
        &(struct snapshot_options){
            .endpoints = true, .namespaces = some, .n_namespaces = 2, .pods = PODS_VERIFIED },
        5);
}

static void test_ignore_empty(void **state)
{
    (void)state;
    run_history(&(struct snapshot_options){ .endpoints = true, .ignore_empty = true }, 6);
}

static void test_noendpoints(void **state)
{
    (void)state;
    run_history(&(struct snapshot_options){ .pods = PODS_INSECURE }, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),  cmocka_unit_test(test_pods_verified_and_pod_names),
        cmocka_unit_test(test_labels),      cmocka_unit_test(test_namespace_labels),
        cmocka_unit_test(test_namespaces),  cmocka_unit_test(test_ignore_empty),
        cmocka_unit_test(test_noendpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
