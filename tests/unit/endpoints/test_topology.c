/* Hints by the zones' CPUs: the examples of the documentation, and what must hold of any. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "base/str.h"
#include "endpoints/topology.h"
#include "make.h"

static void put_node(struct store *s, unsigned n, const char *zone, int64_t milli, bool ready,
                     const char *role)
{
    char name[8];
    const struct label label = { role ? role : "x", "" };
    (void)snprintf(name, sizeof name, "n%u", n);
    const struct node node = { .object = { .kind = KIND_NODE,
                                           .meta = make_meta("", name, &label, 1) },
                               .zone = zone,
                               .cpu_milli = milli,
                               .ready = ready };
    store_put(s, object_copy(&node.object));
}

static void test_zones(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct zones z;
    put_node(s, 1, "zb", 3000, true, NULL);
    put_node(s, 2, "za", 500, true, NULL);
    put_node(s, 3, "za", 500, true, NULL);
    put_node(s, 4, "zc", 9000, false, NULL);
    put_node(s, 5, "", 0, true, "node-role.kubernetes.io/control-plane");
    zones_read(s, &z);
    assert_int_equal(z.shares.n, 2);
    assert_string_equal(z.shares.items[0].zone, "za");
    assert_true(fabs(z.shares.items[0].ratio - 0.25) < 1e-9);
    assert_false(z.insufficient);
    zones_done(&z);
    put_node(s, 6, "", 1000, true, NULL);
    zones_read(s, &z);
    assert_true(z.insufficient);
    zones_done(&z);
    store_free(s);
}

/* "za:4 zb:0" as CPUs or as endpoints, one slice; 'x' in front of a zone: not ready. */
struct given {
    struct zones zones;
    struct topology_endpoint endpoints[64];
    struct topology_slice slices[8];
    struct topology t;
    struct arena a;
};

static void add_zone(struct given *g, const char *zone, int64_t milli)
{
    int64_t total = 0;
    vec_push(&g->zones.shares, (struct zone_share){ .zone = zone, .cpu_milli = milli });
    vec_each (s, &g->zones.shares)
        total += s->cpu_milli;
    vec_each (s, &g->zones.shares)
        s->ratio = (double)s->cpu_milli / (double)total;
}

static void given_init(struct given *g)
{
    memset(g, 0, sizeof *g);
    arena_init(&g->a, 4096);
    g->t = (struct topology){ .zones = &g->zones, .slices = g->slices, .arena = &g->a };
}

static void given_done(struct given *g)
{
    vec_done(&g->zones.shares);
    arena_done(&g->a);
}

/* Two zones of the same size. */
static void given_pair(struct given *g)
{
    given_init(g);
    add_zone(g, "za", 1000);
    add_zone(g, "zb", 1000);
}

static void add_endpoints(struct given *g, const char *zone, size_t n, const char *hint)
{
    struct topology_slice *s = &g->slices[g->t.n_slices - 1];
    for (size_t i = 0; i < n; i++)
        s->endpoints[s->n++] =
            (struct topology_endpoint){ .zone = zone, .hint = hint, .ready = true };
}

static void add_slice(struct given *g, bool written)
{
    struct topology_endpoint *at = g->endpoints;
    for (size_t i = 0; i < g->t.n_slices; i++)
        at += g->slices[i].n;
    g->slices[g->t.n_slices++] = (struct topology_slice){ .endpoints = at, .written = written };
}

static unsigned hinted(const struct given *g, const char *zone)
{
    unsigned n = 0;
    for (size_t i = 0; i < g->t.n_slices; i++)
        for (size_t k = 0; k < g->slices[i].n; k++)
            n += strcmp(g->slices[i].endpoints[k].hint, zone) == 0;
    return n;
}

static void test_moves(void **state)
{
    (void)state;
    struct given g;
    given_pair(&g);
    add_slice(&g, true);
    add_endpoints(&g, "za", 3, "");
    add_endpoints(&g, "zb", 1, "");
    assert_true(topology_hint(&g.t));
    assert_int_equal(hinted(&g, "za"), 2);
    assert_int_equal(hinted(&g, "zb"), 2);
    assert_int_equal(g.t.n_counts, 2);
    assert_int_equal(g.t.counts[0].n, 2);
    given_done(&g);
}

/* A slice that nobody changes keeps its hints as long as no zone gets more than it may. */
static void test_keeps(void **state)
{
    (void)state;
    struct given g;
    given_pair(&g);
    add_slice(&g, false);
    add_endpoints(&g, "za", 2, "zb");
    add_endpoints(&g, "zb", 2, "za");
    assert_true(topology_hint(&g.t));
    assert_false(g.slices[0].written);
    assert_string_equal(g.endpoints[0].hint, "zb");
    g.endpoints[3].hint = "zb"; /* three of four are too many */
    assert_true(topology_hint(&g.t));
    assert_true(g.slices[0].written);
    assert_int_equal(hinted(&g, "za"), 2);
    g.slices[0].written = false;
    g.endpoints[0].hint = "zc"; /* no Node is there */
    assert_true(topology_hint(&g.t));
    assert_true(g.slices[0].written);
    given_done(&g);
}

static void assert_refused(struct given *g, const char *words)
{
    assert_false(topology_hint(&g->t));
    assert_non_null(strstr(g->t.refusal, words));
    assert_int_equal(g->t.n_counts, 0);
    for (size_t i = 0; i < g->t.n_slices; i++)
        for (size_t k = 0; k < g->slices[i].n; k++)
            assert_string_equal(g->slices[i].endpoints[k].hint, "");
}

static void test_refusals(void **state)
{
    (void)state;
    struct given g;
    given_pair(&g);
    add_slice(&g, false);
    add_endpoints(&g, "za", 1, "za");
    assert_refused(&g, "Insufficient number of endpoints (1 endpoints, 2 zones)");
    assert_true(g.slices[0].written);
    add_endpoints(&g, "", 3, "");
    assert_refused(&g, "do not have a zone");
    g.zones.insufficient = true;
    assert_refused(&g, "Insufficient Node information");
    given_done(&g);
    given_pair(&g);
    add_zone(&g, "zc", 1900);
    add_slice(&g, true);
    add_endpoints(&g, "za", 3, "");
    assert_refused(&g, "without exceeding overload threshold (3 endpoints, 3 zones)");
    given_done(&g);
}

static void test_random(void **state)
{
    (void)state;
    static const char *const names[] = { "za", "zb", "zc" };
    struct rand r = { { 3, 1, 4, 1 } };
    unsigned n_good = 0;
    for (unsigned round = 0; round < 2000; round++) {
        struct given g;
        size_t n_ready = 0, sum = 0;
        given_init(&g);
        for (unsigned i = 0; i < 3; i++)
            add_zone(&g, names[i], 1 + rand_below(&r, 4000));
        for (unsigned i = 1 + rand_below(&r, 4); i > 0; i--) {
            add_slice(&g, rand_below(&r, 2));
            for (unsigned k = rand_below(&r, 14); k > 0; k--)
                add_endpoints(&g, names[rand_below(&r, 3)], 1, names[rand_below(&r, 3)]);
        }
        for (size_t i = 0; i < 64; i++)
            g.endpoints[i].ready = rand_below(&r, 5) > 0;
        for (size_t i = 0; i < g.t.n_slices; i++)
            for (size_t k = 0; k < g.slices[i].n; k++)
                n_ready += g.slices[i].endpoints[k].ready;
        bool good = topology_hint(&g.t);
        n_good += good;
        for (size_t i = 0; i < g.t.n_counts; i++)
            sum += g.t.counts[i].n;
        assert_int_equal(sum, good ? n_ready : 0);
        for (size_t i = 0; i < g.t.n_slices && good; i++)
            for (size_t k = 0; k < g.slices[i].n && g.slices[i].written; k++)
                assert_int_equal(!*g.slices[i].endpoints[k].hint, !g.slices[i].endpoints[k].ready);
        given_done(&g);
    }
    assert_true(n_good > 500);
}

static void test_overload(void **state)
{
    (void)state;
    struct given g;
    const struct zone_count counts[] = { { "za", 4 }, { "zb", 2 } };
    given_pair(&g);
    assert_true(topology_is_overloaded(&g.zones, counts, 2)); /* zb ought to have three */
    g.zones.shares.items[0].ratio = 0.65;
    g.zones.shares.items[1].ratio = 0.35;
    assert_false(topology_is_overloaded(&g.zones, counts, 2));
    assert_true(topology_is_overloaded(&g.zones, counts, 1));
    assert_false(topology_is_overloaded(&g.zones, counts, 0));
    g.zones.insufficient = true;
    assert_true(topology_is_overloaded(&g.zones, counts, 2));
    given_done(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zones),  cmocka_unit_test(test_moves),
        cmocka_unit_test(test_keeps),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_random), cmocka_unit_test(test_overload)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
