/* How endpoints are packed into slices, plan after plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/vec.h"
#include "dump.h"
#include "endpoints/plan.h"
#include "make.h"

#define PODS_MAX 600

/* A Service, Pods that come and go, and the slices that plans have left so far. */
struct world {
    struct object *service;
    struct object *pods[PODS_MAX]; /* NULL: does not exist */
    VEC(struct object *) slices;
    size_t puts, dels; /* of the last plan */
    bool placeholder, nodes_required, incomplete, taken_all_even;
    struct rand rand;
};

static const struct node *no_node(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return NULL;
}

/* Names whose last digit is even, when the world says so. */
static bool taken(void *ctx, const char *name)
{
    const struct world *w = ctx;
    return w->taken_all_even && strchr("02468ace", name[strlen(name) - 1]);
}

static void shuffle(struct world *w, const void **items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = rand_below(&w->rand, (uint32_t)i);
        const void *t = items[i - 1];
        items[i - 1] = items[k];
        items[k] = t;
    }
}

static void build(struct world *w, struct plan *ret)
{
    VEC(const void *) pods = { 0 }, slices = { 0 };
    for (size_t i = 0; i < PODS_MAX; i++)
        if (w->pods[i])
            vec_push(&pods, w->pods[i]);
    vec_each (it, &w->slices)
        vec_push(&slices, *it);
    shuffle(w, pods.items, pods.n);
    shuffle(w, slices.items, slices.n);
    plan_build(&(struct plan_input){ .service = service_of(w->service),
                                     .pods = (const struct pod *const *)pods.items,
                                     .n_pods = pods.n,
                                     .node = no_node,
                                     .taken = taken,
                                     .ctx = w,
                                     .existing = (const struct slice *const *)slices.items,
                                     .n_existing = slices.n,
                                     .placeholder = w->placeholder,
                                     .nodes_required = w->nodes_required },
               ret);
    vec_done(&pods);
    vec_done(&slices);
}

static size_t slice_at(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->slices.n; i++)
        if (strcmp(w->slices.items[i]->meta.name, name) == 0)
            return i;
    return SIZE_MAX;
}

static void run(struct world *w)
{
    struct plan p;
    build(w, &p);
    for (size_t i = 0; i < p.n_dels; i++) {
        size_t at = slice_at(w, p.dels[i]->meta.name);
        assert_true(at != SIZE_MAX);
        object_free(w->slices.items[at]);
        vec_swap_remove(&w->slices, at);
    }
    for (size_t i = 0; i < p.n_puts; i++) {
        size_t at = slice_at(w, p.puts[i]->meta.name);
        if (at == SIZE_MAX) {
            vec_push(&w->slices, p.puts[i]);
            continue;
        }
        object_free(w->slices.items[at]);
        w->slices.items[at] = p.puts[i];
    }
    w->puts = p.n_puts;
    w->dels = p.n_dels;
    w->incomplete = p.incomplete;
    plan_done(&p);
}

static void set_pod(struct world *w, unsigned i, bool ready)
{
    object_free(w->pods[i]);
    w->pods[i] = make_pod("ns", i, "web", ready);
}

static void add_pods(struct world *w, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++)
        set_pod(w, i, true);
}

static void remove_pods(struct world *w, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        object_free(w->pods[i]);
        w->pods[i] = NULL;
    }
}

/* Sizes of the slices, largest first: "100 100 50". */
static const char *sizes(const struct world *w)
{
    static struct strbuf b;
    bool done[64] = { false };
    strbuf_reset(&b);
    strbuf_puts(&b, "");
    assert_true(w->slices.n <= 64);
    for (size_t k = 0; k < w->slices.n; k++) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < w->slices.n; i++)
            if (!done[i] && (best == SIZE_MAX || slice_of(w->slices.items[i])->n_endpoints >
                                                     slice_of(w->slices.items[best])->n_endpoints))
                best = i;
        done[best] = true;
        strbuf_printf(&b, "%s%u", k ? " " : "", slice_of(w->slices.items[best])->n_endpoints);
    }
    return b.p;
}

/* Every Pod exactly once, as it is now, and nothing else; and then there is nothing left to do. */
static void check(struct world *w)
{
    unsigned seen[PODS_MAX] = { 0 };
    vec_each (it, &w->slices) {
        const struct slice *s = slice_of(*it);
        assert_true(s->n_endpoints <= PLAN_SLICE_ENDPOINTS);
        assert_true(s->computed);
        for (uint32_t i = 0; i < s->n_endpoints; i++) {
            const struct endpoint *ep = &s->endpoints[i];
            unsigned n = (unsigned)atoi(slice_str(s, s->more[i].pod) + 1);
            assert_non_null(w->pods[n]);
            assert_int_equal(ep->conditions & ENDPOINT_READY ? 1 : 0, pod_of(w->pods[n])->ready);
            assert_true(ip_equal(&ep->ip, &pod_of(w->pods[n])->ips[0]));
            seen[n]++;
        }
    }
    for (unsigned i = 0; i < PODS_MAX; i++)
        assert_int_equal(seen[i], w->pods[i] != NULL);
    struct plan again;
    build(w, &again);
    assert_int_equal(again.n_puts + again.n_dels, 0);
    plan_done(&again);
}

static void expect(struct world *w, const char *want_sizes, size_t puts, size_t dels)
{
    run(w);
    assert_string_equal(sizes(w), want_sizes);
    assert_int_equal(w->puts, puts);
    assert_int_equal(w->dels, dels);
    check(w);
}

static int setup(void **state)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->service = make_service("ns", "web", "web", 8080);
    w->rand = (struct rand){ { 1, 2, 3, 4 } };
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    object_free(w->service);
    for (unsigned i = 0; i < PODS_MAX; i++)
        object_free(w->pods[i]);
    vec_each (it, &w->slices)
        object_free(*it);
    vec_done(&w->slices);
    free(w);
    return 0;
}

static void test_fill(void **state)
{
    struct world *w = *state;
    expect(w, "", 0, 0);
    add_pods(w, 0, 250);
    expect(w, "100 100 50", 3, 0);
    /* Ten go from the first slice, five come: they fill the slice that is written anyway. */
    remove_pods(w, 0, 10);
    add_pods(w, 300, 5);
    expect(w, "100 95 50", 1, 0);
    /* Nothing else changes: the fullest that can take all of them does. */
    add_pods(w, 310, 5);
    expect(w, "100 100 50", 1, 0);
    add_pods(w, 320, 30);
    expect(w, "100 100 80", 1, 0);
    /* Thirty do not fit anywhere at once: a new slice, though there is room for twenty. */
    add_pods(w, 360, 30);
    expect(w, "100 100 80 30", 1, 0);
    add_pods(w, 400, 150);
    expect(w, "100 100 100 80 80", 2, 0);
}

static void test_shrink(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 300);
    expect(w, "100 100 100", 3, 0);
    /* One Pod is left in each: nothing is merged. */
    for (unsigned i = 0; i < 300; i++)
        if (i % 100)
            remove_pods(w, i, 1);
    expect(w, "1 1 1", 3, 0);
    remove_pods(w, 100, 1);
    expect(w, "1 1", 0, 1);
    remove_pods(w, 0, 300);
    expect(w, "", 0, 2);
}

static void test_change_in_place(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 250);
    run(w);
    set_pod(w, 17, false);
    expect(w, "100 100 50", 1, 0);
    set_pod(w, 17, true);
    set_pod(w, 249, false);
    expect(w, "100 100 50", 2, 0);
}

/* All Pods are exchanged: the old slices are written anew rather than deleted and made again. */
static void test_names_are_reused(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 150);
    run(w);
    remove_pods(w, 0, 150);
    add_pods(w, 200, 110);
    expect(w, "100 10", 2, 0);
    remove_pods(w, 200, 110);
    add_pods(w, 400, 20);
    expect(w, "20", 1, 1);
}

static void test_new_port(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 50);
    run(w);
    cleanup_free char *name = xstrdup(w->slices.items[0]->meta.name);
    object_free(w->service);
    w->service = make_service("ns", "web", "web", 9090);
    expect(w, "50", 1, 0);
    assert_string_equal(w->slices.items[0]->meta.name, name);
    assert_int_equal(slice_of(w->slices.items[0])->ports[0].port, 9090);
}

static void test_names(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 500);
    w->taken_all_even = true;
    expect(w, "100 100 100 100 100", 5, 0);
    vec_each (it, &w->slices) {
        const char *name = (*it)->meta.name;
        assert_int_equal(strlen(name), strlen("web-00000"));
        assert_memory_equal(name, "web-", 4);
        assert_null(strchr("02468ace", name[8]));
    }
}

static void test_service_goes(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 10);
    run(w);
    struct service s = *service_of(w->service);
    s.object.meta.deleting = true;
    struct object *copy = object_copy(&s.object);
    object_free(w->service);
    w->service = copy;
    add_pods(w, 20, 100);
    run(w);
    assert_int_equal(w->puts + w->dels, 0);
    remove_pods(w, 0, 5);
    run(w);
    assert_int_equal(w->puts, 1);
}

static void test_placeholder(void **state)
{
    struct world *w = *state;
    w->placeholder = true;
    run(w);
    assert_int_equal(w->puts, 1);
    assert_string_equal(sizes(w), "0");
    assert_int_equal(slice_of(w->slices.items[0])->n_ports, 0);
    check(w);
    add_pods(w, 0, 1);
    expect(w, "1", 1, 0);
    remove_pods(w, 0, 1);
    expect(w, "0", 1, 0);
}

static void test_unknown_node(void **state)
{
    struct world *w = *state;
    add_pods(w, 0, 1);
    struct pod p = *pod_of(w->pods[0]);
    p.node = "n1";
    struct object *copy = object_copy(&p.object);
    object_free(w->pods[0]);
    w->pods[0] = copy;
    w->nodes_required = true;
    run(w);
    assert_string_equal(sizes(w), "");
    assert_true(w->incomplete);
    p = *pod_of(w->pods[0]);
    p.node = ""; /* one that is on no Node at all is left out as well */
    copy = object_copy(&p.object);
    object_free(w->pods[0]);
    w->pods[0] = copy;
    run(w);
    assert_true(w->incomplete);
    w->nodes_required = false;
    expect(w, "1", 1, 0);
    assert_false(w->incomplete);
}

static void test_trigger_time(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3; i++) {
        add_pods(w, i, 1);
        struct pod p = *pod_of(w->pods[i]);
        p.ready_time_ns = 1000 + (int64_t)i;
        struct object *copy = object_copy(&p.object);
        object_free(w->pods[i]);
        w->pods[i] = copy;
        run(w);
        assert_int_equal(slice_of(w->slices.items[0])->trigger_time_ns, 1000 + i);
    }
    remove_pods(w, 2, 1);
    run(w);
    assert_int_equal(slice_of(w->slices.items[0])->trigger_time_ns, 0);
}

static void test_random(void **state)
{
    struct world *w = *state;
    for (unsigned round = 0; round < 150; round++) {
        unsigned from = rand_below(&w->rand, PODS_MAX), n = rand_below(&w->rand, 120);
        n = MIN(n, PODS_MAX - from);
        if (rand_below(&w->rand, 2))
            add_pods(w, from, n);
        else
            remove_pods(w, from, n);
        from = rand_below(&w->rand, PODS_MAX);
        if (w->pods[from])
            set_pod(w, from, rand_below(&w->rand, 2));
        run(w);
        check(w);
    }
}

/* The order in which Pods and slices are given makes no difference. */
static void test_order(void **state)
{
    struct world *w = *state;
    cleanup_free char *first = NULL;
    add_pods(w, 0, 130);
    run(w);
    remove_pods(w, 5, 20);
    add_pods(w, 200, 90);
    for (unsigned round = 0; round < 5; round++) {
        struct plan p;
        struct strbuf b = { 0 };
        build(w, &p);
        for (size_t i = 0; i < p.n_puts; i++) {
            dump_object(&b, p.puts[i]);
            object_free(p.puts[i]);
        }
        plan_done(&p);
        if (first)
            assert_string_equal(first, b.p);
        else
            first = xstrdup(b.p);
        strbuf_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shrink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_change_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_service_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_placeholder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trigger_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
