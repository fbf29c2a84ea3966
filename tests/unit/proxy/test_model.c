/* The model follows the store: what changes, what does not, and the same as a model made afresh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "proxy/select.h"
#include "world.h"

#include <stdio.h>

static size_t refresh(struct world *w, struct vip_change **ret)
{
    model_refresh(w->model);
    return model_take_changes(w->model, ret);
}

static size_t n_changes(struct world *w)
{
    struct vip_change *c;
    size_t n = refresh(w, &c);
    free(c);
    return n;
}

static void test_changes(void **state)
{
    (void)state;
    struct world w;
    struct vip_change *c;
    world_init(&w);
    world_service(&w, "a", "10.96.0.1");
    assert_true(model_is_dirty(w.model));
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].vip->n_backends, 0);
    assert_string_equal(c[0].vip->owner, "ns/a:p");
    assert_int_equal(c[0].vip->owner_len, strlen("ns/a"));
    free(c);
    world_slice(&w, "a", "1 2", "node2");
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].vip->n_backends, 2);
    assert_false(c[0].vip->backends[0].maybe_local);
    free(c);
    world_slice(&w, "a", "2 1", "node2"); /* another order */
    assert_int_equal(n_changes(&w), 0);
    world_slice(&w, "a", "1 2", "node1"); /* they are on this node now */
    assert_int_equal(refresh(&w, &c), 1);
    assert_true(c[0].vip->backends[0].maybe_local);
    free(c);
    assert_int_equal(model_stats(w.model).backends, 2);
    assert_int_equal(model_stats(w.model).service_changes, 1);
    assert_int_equal(model_stats(w.model).endpoint_changes, 3);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Service\n"
                    "metadata: {name: a, namespace: ns, labels: {delete: x}}\n"
                    "spec: {clusterIP: 10.96.0.1, ports: [{port: 1}]}\n");
    assert_int_equal(refresh(&w, &c), 1);
    assert_null(c[0].vip);
    free(c);
    assert_int_equal(model_stats(w.model).backends, 0);
    assert_int_equal(model_stats(w.model).services, 0);
    world_done(&w);
}

/* A slice of a Service that is not there, or not yet, is nothing; it counts once the Service comes.
 */
static void test_slice_first(void **state)
{
    (void)state;
    struct world w;
    struct vip_change *c;
    world_init(&w);
    world_slice(&w, "late", "1 2 3", NULL);
    assert_int_equal(n_changes(&w), 0);
    world_service(&w, "late", "10.96.0.2");
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].vip->n_backends, 3);
    assert_true(c[0].vip->backends[0].maybe_local); /* nobody said where it runs */
    free(c);
    world_done(&w);
}

static void test_port_moves(void **state)
{
    (void)state;
    struct world w;
    struct vip_change *c;
    world_init(&w);
    world_service(&w, "a", "10.96.0.1");
    assert_int_equal(n_changes(&w), 1);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Service\n"
                    "metadata: {name: a, namespace: ns}\n"
                    "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 81}]}\n");
    assert_int_equal(refresh(&w, &c), 2);
    assert_int_equal(c[0].key.port, 80);
    assert_null(c[0].vip);
    assert_int_equal(c[1].key.port, 81);
    assert_non_null(c[1].vip);
    free(c);
    world_done(&w);
}

static void test_features_reported_once(void **state)
{
    (void)state;
    struct world w;
    static const char *const yaml =
        "apiVersion: v1\n"
        "kind: Service\n"
        "metadata: {name: a, namespace: ns}\n"
        "spec: {clusterIP: 10.96.0.1, sessionAffinity: ClientIP, ports: [{name: p, port: %s}]}\n";
    char text[512];
    world_init(&w);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof text, yaml, i == 0 ? "80" : "81");
        world_apply(&w, text);
        (void)n_changes(&w);
    }
    assert_string_equal(w.warnings.p, "Service ns/a: only its cluster IP is served; not offered: "
                                      "session affinity\n");
    world_done(&w);
}

static void test_node(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Node\n"
                    "metadata: {name: node2, deletionTimestamp: \"2026-01-01T00:00:00Z\"}\n");
    assert_false(model_stats(w.model).node_deleting);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Node\n"
                    "metadata: {name: node1, deletionTimestamp: \"2026-01-01T00:00:00Z\"}\n");
    assert_true(model_stats(w.model).node_deleting);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Node\n"
                    "metadata: {name: node1}\n");
    assert_false(model_stats(w.model).node_deleting);
    world_done(&w);
}

static void random_object(struct rand *r, struct world *w)
{
    char name[16], ip[32], numbers[64] = "";
    size_t n = 0;
    (void)snprintf(name, sizeof name, "s%u", rand_below(r, 6));
    if (rand_below(r, 3) == 0) { /* few addresses: Services fight for them */
        (void)snprintf(ip, sizeof ip, "10.96.0.%u", rand_below(r, 4));
        world_service(w, name, rand_below(r, 5) ? ip : "None");
        return;
    }
    for (unsigned i = 1; i < 9; i++)
        if (rand_below(r, 2))
            n += (size_t)snprintf(numbers + n, sizeof numbers - n, "%u ", i);
    world_slice(w, name, numbers, rand_below(r, 2) ? "node1" : "node2");
}

static void test_same_as_fresh(void **state)
{
    (void)state;
    struct rand r = { { 5, 6, 7, 8 } };
    struct world w;
    world_init(&w);
    for (unsigned step = 0; step < 300; step++) {
        struct vip_change *a, *b;
        random_object(&r, &w);
        (void)n_changes(&w);
        struct model *fresh = model_new(w.store, &(struct model_options){ .node_name = "node1" });
        model_refresh(fresh);
        size_t n = model_all(w.model, 4, &a);
        assert_int_equal(model_all(fresh, 4, &b), n);
        for (size_t i = 0; i < n; i++)
            assert_true(vip_equal(a[i].vip, b[i].vip));
        model_free(fresh);
        free(a);
        free(b);
    }
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),    cmocka_unit_test(test_slice_first),
        cmocka_unit_test(test_port_moves), cmocka_unit_test(test_features_reported_once),
        cmocka_unit_test(test_node),       cmocka_unit_test(test_same_as_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
