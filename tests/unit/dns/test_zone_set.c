#include "dns/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct question *ask(const char *name)
{
    static struct question q;
    assert_int_equal(name_from_text(name, &q.name), 0);
    name_lower(q.lower, q.name.wire, q.name.len);
    return &q;
}

static struct zone_set *set_of(struct arena *a, const char *const *zones, size_t n)
{
    struct zone_list list = { 0 };
    for (size_t i = 0; i < n; i++)
        assert_int_equal(zone_expand(zones[i], a, &list, NULL), 0);
    return zone_set_new(a, &list);
}

static void test_longest_zone_wins(void **state)
{
    static const char *const zones[] = { "example.org", "a.b.example.org", "b.example.org",
                                         "in-addr.arpa" };
    static const struct {
        const char *name;
        int zone;
    } rows[] = {
        { "example.org", 0 },
        { "www.example.org", 0 },
        { "b.example.org", 2 },
        { "A.B.Example.ORG", 1 },
        { "x.y.a.b.example.org", 1 },
        { "c.b.example.org", 2 },
        { "1.0.0.10.in-addr.arpa", 3 },
        { "org", -1 },
        { ".", -1 },
        { "badexample.org", -1 },
        { "example.org.uk", -1 },
        { "ab.example.org", 0 },
    };
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    const struct zone_set *s = set_of(&a, zones, 4);
    assert_int_equal(zone_set_count(s), 4);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (zone_set_find(s, ask(rows[i].name)) != rows[i].zone)
            fail_msg("%s is in zone %d", rows[i].name, zone_set_find(s, ask(rows[i].name)));
    arena_done(&a);
}

/* Positions are those of the list, however the set is sorted inside. */
static void test_positions(void **state)
{
    static const char *const zones[] = { ".", "Cluster.Local", "x.cluster.local" };
    struct arena a;
    char text[NAME_TEXT_MAX];
    (void)state;
    arena_init(&a, 1024);
    const struct zone_set *s = set_of(&a, zones, 3);
    assert_string_equal(name_to_text(zone_set_wire(s, 0), text), ".");
    assert_string_equal(name_to_text(zone_set_wire(s, 1), text), "cluster.local.");
    assert_int_equal(zone_set_labels(s, 0), 0);
    assert_int_equal(zone_set_labels(s, 2), 3);
    assert_int_equal(zone_set_find(s, ask("anything.at.all")), 0);
    assert_int_equal(zone_set_find(s, ask(".")), 0);
    arena_done(&a);
}

static void test_a_zone_twice(void **state)
{
    static const char *const zones[] = { "a.org", "a.org" };
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    assert_int_equal(zone_set_find(set_of(&a, zones, 2), ask("x.a.org")), 0);
    arena_done(&a);
}

static void test_cidr_zones(void **state)
{
    static const char *const zones[] = { "10.0.0.0/17" };
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    const struct zone_set *s = set_of(&a, zones, 1);
    assert_int_equal(zone_set_count(s), 128);
    assert_int_equal(zone_set_find(s, ask("9.127.0.10.in-addr.arpa")), 127);
    assert_int_equal(zone_set_find(s, ask("9.128.0.10.in-addr.arpa")), -1);
    arena_done(&a);
}

static void test_covers(void **state)
{
    static const char *const zones[] = { "in-addr.arpa" };
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    const struct zone_set *s = set_of(&a, zones, 1);
    assert_true(zone_set_covers(s, ask("1.in-addr.arpa")));
    assert_false(zone_set_covers(s, ask("ip6.arpa")));
    assert_false(zone_set_covers(NULL, ask("1.in-addr.arpa")));
    arena_done(&a);
}

static void test_meets(void **state)
{
    static const char *const zones[] = { "in-addr.arpa", "b.example.org" };
    static const struct {
        const char *zone;
        bool meets;
    } rows[] = { { "10.in-addr.arpa", true }, { "example.org", true }, { "b.example.org", true },
                 { "a.example.org", false },  { ".", true },           { "cluster.local", false } };
    struct arena a;
    (void)state;
    arena_init(&a, 1024);
    const struct zone_set *s = set_of(&a, zones, 2);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(zone_set_meets(s, ask(rows[i].zone)->lower), rows[i].meets);
    assert_false(zone_set_meets(NULL, ask(".")->lower));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_zone_wins),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_a_zone_twice),
        cmocka_unit_test(test_cidr_zones),
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_meets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
