/* The planner beside a store that changes: what it leaves must be what a fresh planner would make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/vec.h"
#include "endpoints/planner.h"
#include "make.h"

struct lines {
    VEC(char *) list;
};

static void add_lines(void *ctx, const struct object *o)
{
    struct lines *l = ctx;
    const struct slice *s = slice_of(o);
    char ip[IP_TEXT_MAX];
    for (uint32_t i = 0; s->computed && i < s->n_endpoints; i++) {
        struct strbuf b = { 0 };
        strbuf_printf(&b, "%s/%s:%d %s %s %s %u", o->meta.namespace, s->service, s->ports[0].port,
                      slice_str(s, s->more[i].pod), ip_text(&s->endpoints[i].ip, ip),
                      slice_str(s, s->endpoints[i].zone), s->endpoints[i].conditions);
        vec_push(&l->list, strbuf_steal(&b));
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All computed endpoints, sorted, one a line. */
static char *endpoints_of(const struct store *s)
{
    struct lines l = { 0 };
    struct strbuf b = { 0 };
    store_each(s, KIND_SLICE, NULL, add_lines, &l);
    if (l.list.n)
        qsort(l.list.items, l.list.n, sizeof *l.list.items, by_text);
    strbuf_puts(&b, "");
    vec_each (it, &l.list) {
        strbuf_printf(&b, "%s\n", *it);
        free(*it);
    }
    vec_done(&l.list);
    return strbuf_steal(&b);
}

static void copy_object(void *ctx, const struct object *o)
{
    if (o->kind != KIND_SLICE || !slice_of(o)->computed)
        store_put(ctx, object_copy(o));
}

static char *fresh_endpoints_of(const struct store *s)
{
    struct store *copy = store_new();
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        store_each(s, (enum kind)kind, NULL, copy_object, copy);
    store_set_synced(copy);
    struct planner *p = planner_new(copy);
    char *text = endpoints_of(copy);
    planner_free(p);
    store_free(copy);
    return text;
}

static void check(const struct store *s, const char *want)
{
    cleanup_free char *have = endpoints_of(s);
    assert_string_equal(have, want);
}

static void put_node(struct store *s, const char *name, const char *zone)
{
    const struct node n = { .object = { .kind = KIND_NODE, .meta = make_meta("", name, NULL, 0) },
                            .zone = zone };
    store_put(s, object_copy(&n.object));
}

static void test_steps(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    store_put(s, make_service("ns", "web", "web", 8080));
    store_put(s, make_pod("ns", 1, "web", true));
    store_put(s, make_pod("ns", 2, "db", true));
    store_put(s, make_pod("else", 3, "web", true));
    check(s, "");
    store_set_synced(s);
    check(s, "ns/web:8080 p0001 10.0.0.1  3\n");
    store_put(s, make_pod("ns", 2, "web", false));
    check(s, "ns/web:8080 p0001 10.0.0.1  3\nns/web:8080 p0002 10.0.0.2  0\n");
    store_delete(s, KIND_POD, "ns", "p0001");
    check(s, "ns/web:8080 p0002 10.0.0.2  0\n");
    store_put(s, make_service("ns", "web", "web", 9090));
    check(s, "ns/web:9090 p0002 10.0.0.2  0\n");
    store_put(s, make_service("ns", "web", "db", 9090));
    check(s, "");
    store_put(s, make_service("ns", "web", "web", 9090));
    store_put(s, make_service("else", "web", "web", 80));
    check(s, "else/web:80 p0003 10.0.0.3  3\nns/web:9090 p0002 10.0.0.2  0\n");
    store_delete(s, KIND_SERVICE, "else", "web");
    store_put(s, make_service("ns", "web", NULL, 9090));
    check(s, "");
    assert_int_equal(store_count(s, KIND_SLICE), 0);
    planner_free(p);
    store_free(s);
}

/* As long as the source has slices of its own for a Service, ours stay away. */
static void test_foreign(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    store_put(s, make_service("ns", "web", "web", 80));
    store_put(s, make_pod("ns", 1, "web", true));
    store_put(s, make_slice("ns", "by-hand", "web"));
    planner_start(p);
    store_set_synced(s);
    check(s, "");
    store_delete(s, KIND_SLICE, "ns", "by-hand");
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    store_put(s, make_slice("ns", "by-hand", "other"));
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    store_put(s, make_slice("ns", "by-hand", "web"));
    check(s, "");
    store_put(s, make_slice("ns", "by-hand", "other"));
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    planner_free(p);
    store_free(s);
}

static void take_name(void *ctx, const struct object *o)
{
    (void)snprintf(ctx, 64, "%s", o->meta.name);
}

/* A slice of the source may even have the name of one of ours. */
static void test_same_name(void **state)
{
    (void)state;
    char name[64] = "";
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    store_put(s, make_service("ns", "web", "web", 80));
    store_put(s, make_pod("ns", 1, "web", true));
    store_set_synced(s);
    store_each(s, KIND_SLICE, NULL, take_name, name);
    store_put(s, make_slice("ns", name, "other"));
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    assert_int_equal(store_count(s, KIND_SLICE), 2);
    planner_free(p);
    store_free(s);
}

static void test_zone(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    struct object *plain = make_pod("ns", 1, "web", true);
    struct pod pod = *pod_of(plain);
    pod.node = "n1";
    store_put(s, object_copy(&pod.object));
    object_free(plain);
    store_put(s, make_service("ns", "web", "web", 80));
    store_set_synced(s);
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    put_node(s, "n1", "z1");
    check(s, "ns/web:80 p0001 10.0.0.1 z1 3\n");
    put_node(s, "n1", "z2");
    put_node(s, "n2", "z3");
    check(s, "ns/web:80 p0001 10.0.0.1 z2 3\n");
    store_delete(s, KIND_NODE, "", "n1");
    check(s, "ns/web:80 p0001 10.0.0.1  3\n");
    planner_free(p);
    store_free(s);
}

static void random_change(struct store *s, struct rand *r)
{
    static const char *const apps[] = { "a", "b", "c" }, *const spaces[] = { "x", "y" };
    char name[16];
    const char *ns = spaces[rand_below(r, 2)], *app = apps[rand_below(r, 3)];
    unsigned n = rand_below(r, 12);
    (void)snprintf(name, sizeof name, "s%u", n % 4);
    switch (rand_below(r, 6)) {
    case 0:
        store_put(s, make_service(ns, name, rand_below(r, 5) ? app : NULL, (uint16_t)(80 + n)));
        break;
    case 1:
        store_delete(s, KIND_SERVICE, ns, name);
        break;
    case 2:
    case 3:
        store_put(s, make_pod(ns, n, app, rand_below(r, 2)));
        break;
    case 4:
        (void)snprintf(name, sizeof name, "p%04u", n);
        store_delete(s, KIND_POD, ns, name);
        break;
    default:
        if (rand_below(r, 3))
            store_delete(s, KIND_SLICE, ns, "by-hand");
        else
            store_put(s, make_slice(ns, "by-hand", name));
    }
}

static void test_random(void **state)
{
    (void)state;
    struct rand r = { { 1, 2, 3, 4 } };
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    store_set_synced(s);
    for (unsigned round = 0; round < 2000; round++) {
        random_change(s, &r);
        cleanup_free char *want = fresh_endpoints_of(s);
        check(s, want);
    }
    planner_free(p);
    store_free(s);
}

/* Many Services in one namespace: a Pod's change must not look at each of them. */
static void test_cost(void **state)
{
    (void)state;
    enum { SERVICES = 10000, ROUNDS = 200 };
    struct store *s = store_new();
    struct planner *p = planner_new(s);
    char name[16], app[16];
    for (unsigned i = 0; i < SERVICES; i++) {
        (void)snprintf(name, sizeof name, "s%u", i);
        (void)snprintf(app, sizeof app, "a%u", i);
        store_put(s, make_service("ns", name, app, 80));
    }
    store_set_synced(s);
    int64_t start = clock_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)snprintf(app, sizeof app, "a%u", i);
        store_put(s, make_pod("ns", i, app, true));
        store_put(s, make_pod("ns", i, app, false));
    }
    double us = (double)(clock_ns() - start) / 1000 / (2 * ROUNDS);
    print_message("a Pod's change costs %.1f us\n", us);
    assert_true(us < 2000);
    assert_int_equal(store_count(s, KIND_SLICE), ROUNDS);
    planner_free(p);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),     cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_same_name), cmocka_unit_test(test_zone),
        cmocka_unit_test(test_random),    cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
