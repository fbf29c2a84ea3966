/* What plans say of slices on an API server beyond what they say of our own: owners, uids, hints,
 * names and versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/vec.h"
#include "endpoints/plan.h"
#include "make.h"

struct world {
    struct object *service;
    VEC(struct object *) pods, slices;
    struct node node;
    unsigned max;
    struct plan plan;
};

static const struct node *find_node(void *ctx, const char *name)
{
    const struct world *w = ctx;
    return strcmp(name, "gone") != 0 ? &w->node : NULL;
}

static void set_service(struct world *w, const char *uid, const char *distribution)
{
    struct object *made = make_service("shop", "web", "web", 8080);
    struct service s = *service_of(made);
    s.object.meta.uid = uid;
    s.traffic_distribution = distribution;
    object_free(w->service);
    w->service = object_copy(&s.object);
    object_free(made);
}

static void add_pod(struct world *w, unsigned n, const char *uid, const char *node, bool ready)
{
    struct object *made = make_pod("shop", n, "web", ready);
    struct pod p = *pod_of(made);
    p.object.meta.uid = uid;
    p.node = node;
    vec_push(&w->pods, object_copy(&p.object));
    object_free(made);
}

static void plan_free(struct world *w)
{
    for (size_t i = 0; i < w->plan.n_puts; i++)
        object_free(w->plan.puts[i]);
    plan_done(&w->plan);
}

static void build(struct world *w)
{
    plan_free(w);
    plan_build(&(struct plan_input){ .service = service_of(w->service),
                                     .pods = (const struct pod *const *)w->pods.items,
                                     .n_pods = w->pods.n,
                                     .node = find_node,
                                     .ctx = w,
                                     .existing = (const struct slice *const *)w->slices.items,
                                     .n_existing = w->slices.n,
                                     .nodes_required = true,
                                     .placeholder = true,
                                     .api = true,
                                     .max_endpoints = w->max,
                                     .trigger_time_ns = 42 },
               &w->plan);
}

/* What a server makes of new slices. */
static void take_in(struct world *w)
{
    static const char *const names[] = { "web-a", "web-b", "web-c" };
    vec_each (it, &w->slices)
        object_free(*it);
    vec_clear(&w->slices);
    for (size_t i = 0; i < w->plan.n_puts; i++) {
        struct slice s = *slice_of(w->plan.puts[i]);
        assert_string_equal(s.object.meta.name, "");
        s.object.meta.name = names[i];
        s.object.meta.uid = "slice-uid";
        s.version = "7";
        vec_push(&w->slices, object_copy(&s.object));
    }
}

static const struct slice *put_at(const struct world *w, size_t i)
{
    assert_true(i < w->plan.n_puts);
    return slice_of(w->plan.puts[i]);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->node =
        (struct node){ .object = { .kind = KIND_NODE, .meta = { .namespace = "", .name = "n" } },
                       .zone = "za" };
    set_service(w, "u1", NULL);
    add_pod(w, 1, "pod-1", "n", true);
    add_pod(w, 2, "pod-2", "n", false);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    plan_free(w);
    object_free(w->service);
    vec_each (it, &w->pods)
        object_free(*it);
    vec_each (it, &w->slices)
        object_free(*it);
    vec_done(&w->pods);
    vec_done(&w->slices);
    free(w);
    return 0;
}

static void settle(struct world *w)
{
    build(w);
    take_in(w);
    build(w);
    assert_int_equal(w->plan.n_puts + w->plan.n_dels, 0);
}

static void test_new_slices(void **state)
{
    struct world *w = *state;
    w->max = 1;
    build(w);
    assert_int_equal(w->plan.n_puts, 2);
    const struct slice *s = put_at(w, 0);
    assert_string_equal(s->object.meta.name, "");
    assert_string_equal(s->owner_uid, "u1");
    assert_null(s->version);
    assert_false(s->computed);
    assert_int_equal(s->trigger_time_ns, 42);
    assert_int_equal(s->n_endpoints, 1);
    assert_string_equal(slice_str(s, s->targets[0].uid), "pod-1");
    settle(w);
}

/* The old Service's slice is not written anew: the garbage collection may take it any moment. */
static void test_owner_of_another_life(void **state)
{
    struct world *w = *state;
    settle(w);
    set_service(w, "u2", NULL);
    build(w);
    assert_int_equal(w->plan.n_dels, 1);
    assert_string_equal(w->plan.dels[0]->meta.name, "web-a");
    assert_int_equal(w->plan.n_puts, 1);
    assert_string_equal(put_at(w, 0)->object.meta.name, "");
    assert_string_equal(put_at(w, 0)->owner_uid, "u2");
}

static void test_a_pod_of_the_same_name(void **state)
{
    struct world *w = *state;
    settle(w);
    object_free(w->pods.items[0]);
    vec_swap_remove(&w->pods, 0);
    add_pod(w, 1, "pod-1-again", "n", true);
    build(w);
    assert_int_equal(w->plan.n_puts, 1);
    const struct slice *s = put_at(w, 0);
    assert_string_equal(s->object.meta.name, "web-a");
    assert_string_equal(s->object.meta.uid, "slice-uid");
    assert_string_equal(s->version, "7");
}

static void test_hints(void **state)
{
    struct world *w = *state;
    settle(w);
    set_service(w, "u1", "PreferClose");
    build(w);
    const struct slice *s = put_at(w, 0);
    for (uint32_t i = 0; i < 2; i++) {
        const struct endpoint *ep = &s->endpoints[i];
        assert_int_equal(ep->n_hints, ep->conditions & ENDPOINT_READY ? 1 : 0);
        assert_int_equal(ep->n_node_hints, 0);
        if (ep->n_hints)
            assert_string_equal(slice_str(s, s->hints[slice_more(s, ep).first_hint]), "za");
    }
    set_service(w, "u1", "PreferSameNode");
    build(w);
    s = put_at(w, 0);
    assert_int_equal(s->endpoints[0].n_hints + s->endpoints[0].n_node_hints, 2);
    assert_string_equal(slice_str(s, s->hints[s->more[0].first_hint + 1]), "n");
    w->slices.items[0] = (object_free(w->slices.items[0]), object_copy(&s->object));
    build(w);
    assert_int_equal(w->plan.n_puts, 0);
    set_service(w, "u1", NULL);
    build(w);
    assert_int_equal(put_at(w, 0)->n_hints, 0);
}

static void edit(struct world *w, bool empty)
{
    static const struct label note = { "note", "x" };
    struct slice s = *slice_of(w->slices.items[0]);
    s.annotations = &note;
    s.n_annotations = 1;
    if (empty)
        s.n_endpoints = s.n_targets = 0;
    struct object *copy = object_copy(&s.object);
    object_free(w->slices.items[0]);
    w->slices.items[0] = copy;
}

/* Emptied by somebody: it is filled again, and keeps what it says besides. */
static void test_emptied(void **state)
{
    struct world *w = *state;
    settle(w);
    edit(w, true);
    build(w);
    assert_int_equal(w->plan.n_puts, 1);
    assert_string_equal(put_at(w, 0)->object.meta.name, "web-a");
    assert_int_equal(put_at(w, 0)->n_endpoints, 2);
    assert_int_equal(put_at(w, 0)->n_annotations, 1);
}

/* The last Pods go: the slice is written anew as an empty one without ports. */
static void test_placeholder(void **state)
{
    struct world *w = *state;
    settle(w);
    edit(w, false);
    w->pods.n = 0;
    build(w);
    w->pods.n = 2;
    assert_int_equal(w->plan.n_dels, 0);
    const struct slice *s = put_at(w, 0);
    assert_string_equal(s->object.meta.name, "web-a");
    assert_int_equal(s->n_endpoints + s->n_ports + s->n_annotations, 0);
    assert_string_equal(s->version, "7");
}

static void test_unknown_node(void **state)
{
    struct world *w = *state;
    add_pod(w, 3, "pod-3", "gone", true);
    build(w);
    assert_true(w->plan.incomplete);
    assert_int_equal(put_at(w, 0)->n_endpoints, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_of_another_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_pod_of_the_same_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints, setup, teardown),
        cmocka_unit_test_setup_teardown(test_emptied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_placeholder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_node, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
