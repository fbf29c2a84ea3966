/* A cache that is full: how many entries it has, and which of them go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache_replies.h"

static void test_capacity(void **state)
{
    struct cache_limits l = defaults;
    uint32_t gone = 0, found = 0;
    char name[32];
    struct world w;
    (void)state;
    l.capacity[CACHE_SUCCESS] = 5; /* counts as the least */
    struct cache *c = cache_new(&l);
    for (int i = 0; i < 4000; i++) {
        snprintf(name, sizeof name, "n%d.example.", i);
        answer_with(&w, name, 100);
        gone += store(c, &w, T0 + i);
        assert_non_null(cache_find(c, &w.k, T0 + i)); /* what has just come is there */
        assert_true(cache_count(c, CACHE_SUCCESS) <= CACHE_CAPACITY_MIN);
        arena_done(&w.a);
    }
    for (int i = 0; i < 4000; i++) {
        snprintf(name, sizeof name, "n%d.example.", i);
        ask(&w, name, RR_A);
        found += cache_find(c, &w.k, T0 + 4000) != NULL;
        arena_done(&w.a);
    }
    assert_int_equal(found, cache_count(c, CACHE_SUCCESS));
    assert_int_equal(found + gone, 4000);
    assert_true(found > CACHE_CAPACITY_MIN * 9 / 10);
    done(c);
}

static bool is_there(struct cache *c, const char *name, int64_t now, bool use)
{
    struct world w;
    ask(&w, name, RR_A);
    struct cache_entry *e = cache_find(c, &w.k, now);
    if (e && use)
        cache_mark_used(e);
    arena_done(&w.a);
    return e;
}

#define HOT       300
#define HOT_EVERY 20 /* times that all hot ones are used */

/* Names that are asked for again stay when a flood of others comes, though those would live longer;
 * until their end, when they go like others. */
static void test_names_in_use_stay(void **state)
{
    struct cache_limits l = defaults;
    char name[32];
    struct world w;
    unsigned hot = 0, left = 0;
    (void)state;
    l.capacity[CACHE_SUCCESS] = CACHE_CAPACITY_MIN;
    struct cache *c = cache_new(&l);
    for (unsigned i = 0; i < HOT; i++) {
        snprintf(name, sizeof name, "hot%u.example.", i);
        answer_with(&w, name, 100);
        store(c, &w, T0);
        arena_done(&w.a);
        (void)is_there(c, name, T0, true);
    }
    for (unsigned i = 0; i < HOT * HOT_EVERY; i++) {
        snprintf(name, sizeof name, "flood%u.example.", i);
        answer_with(&w, name, 3000);
        store(c, &w, T0 + i);
        arena_done(&w.a);
        snprintf(name, sizeof name, "hot%u.example.", i % HOT);
        hot += is_there(c, name, T0 + i, true) && i >= HOT * (HOT_EVERY - 1);
    }
    assert_true(hot >= HOT * 98 / 100); /* a bucket that is full of them gives one up */
    for (unsigned i = 0; i < HOT * HOT_EVERY; i++) {
        snprintf(name, sizeof name, "late%u.example.", i);
        answer_with(&w, name, 3000);
        store(c, &w, T0 + 101 * SECOND);
        arena_done(&w.a);
    }
    assert_true(cache_count(c, CACHE_SUCCESS) <= CACHE_CAPACITY_MIN);
    for (unsigned i = 0; i < HOT; i++) {
        snprintf(name, sizeof name, "hot%u.example.", i);
        left += is_there(c, name, T0, false);
    }
    assert_true(left <= HOT * 2 / 100); /* those of buckets that none of the late came to */
    done(c);
}

/* With nothing but names in use the cache still takes new ones. */
static void test_all_in_use(void **state)
{
    struct cache_limits l = defaults;
    char name[32];
    struct world w;
    (void)state;
    l.capacity[CACHE_SUCCESS] = CACHE_CAPACITY_MIN;
    struct cache *c = cache_new(&l);
    for (unsigned i = 0; i < 4 * CACHE_CAPACITY_MIN; i++) {
        snprintf(name, sizeof name, "n%u.example.", i);
        answer_with(&w, name, 100);
        store(c, &w, T0 + i);
        arena_done(&w.a);
        assert_true(is_there(c, name, T0 + i, true));
        assert_true(cache_count(c, CACHE_SUCCESS) <= CACHE_CAPACITY_MIN);
    }
    done(c);
}

/* One kind's flood leaves the other alone while there is room in the buckets. */
static void test_kinds_have_their_own_room(void **state)
{
    struct cache *c = cache_new(&defaults);
    char name[32];
    struct world w;
    (void)state;
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "n%d.example.", i);
        answer_with(&w, name, 3000);
        store(c, &w, T0);
        arena_done(&w.a);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "x%d.example.", i);
        deny_with(&w, name, 30);
        store(c, &w, T0);
        arena_done(&w.a);
    }
    assert_true(cache_count(c, CACHE_DENIAL) <= 10000);
    assert_int_equal(cache_count(c, CACHE_SUCCESS), 500);
    done(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_names_in_use_stay),
        cmocka_unit_test(test_all_in_use),
        cmocka_unit_test(test_kinds_have_their_own_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
