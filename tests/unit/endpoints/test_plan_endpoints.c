/* Endpoints of a Service from its Pods: which addresses, and what is left out when there are too
 * many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/vec.h"
#include "endpoints/plan_endpoints.h"
#include "make.h"

struct world {
    struct object *made;
    struct service service;
    VEC(struct object *) pods;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->made = make_service("shop", "web", "web", 8080);
    w->service = *service_of(w->made);
    w->service.n_cluster_ips = 1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    vec_each (it, &w->pods)
        object_free(*it);
    vec_done(&w->pods);
    object_free(w->made);
    free(w);
    return 0;
}

/* Pods whose port "http" has this number. */
static void add_pods(struct world *w, unsigned n, uint16_t port, bool ready)
{
    const struct container_port ports[] = { { .name = "http", .port = port } };
    for (unsigned i = 0; i < n; i++) {
        struct object *plain = make_pod("shop", (unsigned)w->pods.n, "web", ready);
        struct pod p = *pod_of(plain);
        p.ports = ports;
        p.n_ports = port ? 1 : 0;
        p.object.meta.uid = p.object.meta.name;
        vec_push(&w->pods, object_copy(&p.object));
        object_free(plain);
    }
}

static struct object *build(struct world *w, const struct object *existing)
{
    return endpoints_build(
        &(struct endpoints_input){ .service = &w->service,
                                   .pods = (const struct pod *const *)(void *)w->pods.items,
                                   .n_pods = w->pods.n,
                                   .existing = existing ? endpoints_of(existing) : NULL,
                                   .trigger_time_ns = 7 });
}

static const struct endpoints_subset *subset(const struct object *o, unsigned n)
{
    assert_true(n < endpoints_of(o)->n_subsets);
    return &endpoints_of(o)->subsets[n];
}

static void test_addresses(void **state)
{
    struct world *w = *state;
    add_pods(w, 3, 80, true);
    ((struct pod *)w->pods.items[1])->ready = false;
    w->pods.items[2]->meta.deleting = true;
    struct object *o = build(w, NULL);
    assert_string_equal(o->meta.name, "web");
    assert_null(object_version(o));
    assert_int_equal(subset(o, 0)->n_addresses, 1);
    assert_int_equal(subset(o, 0)->n_not_ready, 1);
    assert_string_equal(subset(o, 0)->addresses[0].target.name, "p0000");
    assert_string_equal(meta_label(&o->meta, LABEL_ENDPOINTS_MANAGED), ENDPOINTS_CONTROLLER);
    assert_null(meta_label(&o->meta, LABEL_HEADLESS));
    object_free(o);
    w->service.publish_not_ready = true; /* then all of them count, those that end as well */
    w->service.headless = true;
    o = build(w, NULL);
    assert_int_equal(subset(o, 0)->n_addresses, 3);
    assert_string_equal(meta_label(&o->meta, LABEL_HEADLESS), "");
    object_free(o);
}

/* A Pod without the Service's port is not told; one without any is if the Service has none. */
static void test_ports(void **state)
{
    struct world *w = *state;
    struct service_port named = w->service.ports[0];
    named.target_name = "http";
    w->service.ports = &named;
    add_pods(w, 2, 80, true);
    add_pods(w, 1, 81, true);
    add_pods(w, 1, 0, true);
    struct object *o = build(w, NULL);
    assert_int_equal(endpoints_of(o)->n_subsets, 2);
    assert_int_equal(subset(o, 0)->n_addresses + subset(o, 1)->n_addresses, 3);
    assert_int_equal(subset(o, 0)->ports[0].port, 80);
    object_free(o);
    w->service.n_ports = 0;
    w->service.headless = true;
    o = build(w, NULL);
    assert_int_equal(subset(o, 0)->n_addresses, 4);
    assert_int_equal(subset(o, 0)->n_ports, 0);
    object_free(o);
}

/* What is there is left alone when it says the right thing in another order, and keeps what others
 * wrote when it does not. */
static void test_existing(void **state)
{
    struct world *w = *state;
    const struct label note = { "note", "x" };
    add_pods(w, 2, 80, true);
    struct object *o = build(w, NULL);
    struct endpoints e = *endpoints_of(o);
    struct endpoints_subset turned = *subset(o, 0);
    const struct endpoints_address other[] = { turned.addresses[1], turned.addresses[0] };
    turned.addresses = other;
    e.subsets = &turned;
    e.version = "5";
    e.annotations = &note;
    e.n_annotations = 1;
    assert_null(build(w, &e.object));
    ((struct pod *)w->pods.items[1])->ready = false;
    struct object *next = build(w, &e.object);
    assert_string_equal(object_version(next), "5");
    assert_string_equal(endpoints_annotation(endpoints_of(next), "note"), "x");
    assert_int_equal(endpoints_of(next)->trigger_time_ns, 7);
    assert_int_equal(subset(next, 0)->n_not_ready, 1);
    object_free(next);
    object_free(o);
}

static void assert_truncated(const struct object *o, bool truncated)
{
    const char *said = endpoints_annotation(endpoints_of(o), ANNOTATION_OVER_CAPACITY);
    assert_int_equal(said != NULL, truncated);
    if (said)
        assert_string_equal(said, "truncated");
}

/* Each subset keeps its part. */
static void test_too_many_ready(void **state)
{
    struct world *w = *state;
    struct service_port named = w->service.ports[0];
    named.target_name = "http";
    w->service.ports = &named;
    add_pods(w, 900, 80, true);
    add_pods(w, 600, 81, true);
    add_pods(w, 100, 81, false);
    struct object *o = build(w, NULL);
    assert_int_equal(subset(o, 0)->n_addresses, 600);
    assert_int_equal(subset(o, 1)->n_addresses, 400);
    assert_int_equal(subset(o, 1)->n_not_ready, 0);
    assert_truncated(o, true);
    assert_null(build(w, o));
    object_free(o);
}

static void test_too_many_unready(void **state)
{
    struct world *w = *state;
    add_pods(w, 700, 80, true);
    add_pods(w, 600, 80, false);
    struct object *o = build(w, NULL);
    assert_int_equal(subset(o, 0)->n_addresses, 700);
    assert_int_equal(subset(o, 0)->n_not_ready, 300);
    assert_truncated(o, true);
    for (unsigned i = 0; i < 300; i++)
        object_free(w->pods.items[--w->pods.n]);
    struct object *less = build(w, o); /* exactly as many as there may be */
    assert_truncated(less, false);
    object_free(less);
    object_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_existing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_unready, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
