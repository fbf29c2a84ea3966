/* The model follows the store: what changes, what does not, and the same as a model made afresh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "world.h"

#include <stdio.h>

static size_t refresh(struct world *w, struct portal_change **ret)
{
    model_refresh(w->model);
    return model_take_changes(w->model, ret);
}

static size_t n_changes(struct world *w)
{
    struct portal_change *c;
    size_t n = refresh(w, &c);
    free(c);
    return n;
}

static void test_changes(void **state)
{
    (void)state;
    struct world w;
    struct portal_change *c;
    world_init(&w);
    world_service(&w, "a", "10.96.0.1");
    assert_true(model_is_dirty(w.model));
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].new->n_backends, 0);
    assert_string_equal(c[0].new->owner, "ns/a:p");
    assert_int_equal(c[0].new->owner_len, strlen("ns/a"));
    free(c);
    world_slice(&w, "a", "1 2", "node2");
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].new->n_backends, 2);
    assert_false(c[0].new->backends[0].use &BACKEND_HERE);
    free(c);
    world_slice(&w, "a", "2 1", "node2"); /* another order */
    assert_int_equal(n_changes(&w), 0);
    world_slice(&w, "a", "1 2", "node1"); /* they are on this node now */
    assert_int_equal(refresh(&w, &c), 1);
    assert_true(c[0].new->backends[0].use &BACKEND_HERE);
    free(c);
    assert_int_equal(model_stats(w.model).backends, 2);
    assert_int_equal(model_stats(w.model).service_changes, 1);
    assert_int_equal(model_stats(w.model).endpoint_changes, 3);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Service\n"
                    "metadata: {name: a, namespace: ns, labels: {delete: x}}\n"
                    "spec: {clusterIP: 10.96.0.1, ports: [{port: 1}]}\n");
    assert_int_equal(refresh(&w, &c), 1);
    assert_null(c[0].new);
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
    struct portal_change *c;
    world_init(&w);
    world_slice(&w, "late", "1 2 3", NULL);
    assert_int_equal(n_changes(&w), 0);
    world_service(&w, "late", "10.96.0.2");
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].new->n_backends, 3);
    assert_true(c[0].new->backends[0].use &BACKEND_HERE); /* nobody said where it runs */
    free(c);
    world_done(&w);
}

static void test_port_moves(void **state)
{
    (void)state;
    struct world w;
    struct portal_change *c;
    world_init(&w);
    world_service(&w, "a", "10.96.0.1");
    assert_int_equal(n_changes(&w), 1);
    world_apply(&w, "apiVersion: v1\n"
                    "kind: Service\n"
                    "metadata: {name: a, namespace: ns}\n"
                    "spec: {clusterIP: 10.96.0.1, ports: [{name: p, port: 81}]}\n");
    assert_int_equal(refresh(&w, &c), 1);
    assert_int_equal(c[0].old->fronts[0].port, 80);
    assert_int_equal(c[0].new->fronts[0].port, 81);
    free(c);
    world_done(&w);
}

#define NODE1                                                                                      \
    "apiVersion: v1\nkind: Node\nmetadata: {name: node1, labels: {topology.kubernetes.io/zone: "   \
    "%s}}\n"                                                                                       \
    "status: {addresses: [{type: InternalIP, address: %s}]}\n"

static void node(struct world *w, const char *zone, const char *ip)
{
    char text[512];
    (void)snprintf(text, sizeof text, NODE1, zone, ip);
    world_apply(w, text);
}

/* Zone and addresses of our own Node decide for every Service; those of others do not. */
static void test_node(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_service(&w, "a", "10.96.0.1");
    (void)n_changes(&w);
    world_apply(&w, "apiVersion: v1\nkind: Node\nmetadata: {name: node2}\n");
    assert_false(model_is_dirty(w.model));
    node(&w, "z1", "192.168.0.1");
    assert_true(model_is_dirty(w.model));
    assert_string_equal(model_place(w.model)->zone, "z1");
    assert_int_equal(model_place(w.model)->addresses[0].bytes[3], 1);
    assert_int_equal(model_place(w.model)->addresses[1].family, 0);
    (void)n_changes(&w);
    node(&w, "z1", "192.168.0.1");
    assert_false(model_is_dirty(w.model));
    node(&w, "z1", "192.168.0.2");
    assert_true(model_is_dirty(w.model));
    world_done(&w);
}

/* A Service that gives its address up lets the one behind it in. */
static void test_grants_move(void **state)
{
    (void)state;
    struct world w;
    struct portal_change *c;
    world_init(&w);
    world_service(&w, "b", "10.96.0.1");
    (void)n_changes(&w);
    world_service(&w, "a", "10.96.0.1");
    assert_int_equal(refresh(&w, &c), 2);
    assert_true(c[0].new->fronts[0].granted); /* a */
    assert_false(c[1].new->fronts[0].granted);
    assert_ptr_equal(c[1].old, c[1].new);
    free(c);
    world_service(&w, "a", "10.96.0.2");
    assert_int_equal(refresh(&w, &c), 2);
    assert_true(c[1].new->fronts[0].granted);
    free(c);
    assert_non_null(strstr(w.warnings.p, "ns/a:p and ns/b:p both claim 10.96.0.1 TCP port 80"));
    world_done(&w);
}

static void test_health_checks(void **state)
{
    (void)state;
    struct world w;
    struct health_check *h;
    world_init(&w);
    world_apply(&w, "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns}\n"
                    "spec: {type: LoadBalancer, clusterIP: 10.96.0.1,"
                    " externalTrafficPolicy: Local, healthCheckNodePort: 31000,"
                    " ports: [{name: p, port: 80}]}\n");
    world_slice(&w, "a", "1 2", "node1");
    (void)n_changes(&w);
    assert_int_equal(model_health_checks(w.model, &h), 1);
    assert_string_equal(h[0].service, "ns/a");
    assert_int_equal(h[0].port, 31000);
    assert_int_equal(h[0].n_local, 2);
    free(h);
    world_slice(&w, "a", "1 2", "node2");
    (void)n_changes(&w);
    assert_int_equal(model_health_checks(w.model, &h), 1);
    assert_int_equal(h[0].n_local, 0);
    free(h);
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
        struct portal_change *a, *b;
        random_object(&r, &w);
        (void)n_changes(&w);
        struct model *fresh = model_new(w.store, &(struct model_options){ .node_name = "node1" });
        model_refresh(fresh);
        size_t n = model_all(w.model, 4, &a);
        assert_int_equal(model_all(fresh, 4, &b), n);
        for (size_t i = 0; i < n; i++)
            assert_true(portal_equal(a[i].new, b[i].new));
        model_free(fresh);
        free(a);
        free(b);
    }
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),       cmocka_unit_test(test_slice_first),
        cmocka_unit_test(test_port_moves),    cmocka_unit_test(test_grants_move),
        cmocka_unit_test(test_health_checks), cmocka_unit_test(test_node),
        cmocka_unit_test(test_same_as_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
