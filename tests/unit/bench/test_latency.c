#include "load_latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct latency *latency_new(void)
{
    struct latency *l = test_calloc(1, sizeof *l);
    assert_non_null(l);
    return l;
}

static void nothing_is_zero(void **state)
{
    (void)state;
    struct latency *l = latency_new();
    assert_int_equal(latency_at(l, 0.5), 0);
    assert_int_equal(latency_at(l, 1), 0);
    test_free(l);
}

/* 1 to 1000 microseconds, each once: the share is the value. */
static void percentiles_are_near(void **state)
{
    (void)state;
    struct latency *l = latency_new();
    for (int64_t us = 1000; us >= 1; us--)
        latency_add(l, us * 1000);
    const double shares[] = { 0.001, 0.01, 0.5, 0.9, 0.99, 0.999, 1 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        double exact = shares[i] * 1e6, got = (double)latency_at(l, shares[i]);
        assert_true(got >= exact - 0.5 && got <= exact * 1.016);
    }
    assert_int_equal(latency_at(l, 1), 1000000);
    assert_int_equal(l->n, 1000);
    test_free(l);
}

/* Every value lies in a slot whose end is not below it and at most 1/64 above. */
static void slots_cover_all_sizes(void **state)
{
    (void)state;
    for (int64_t v = 1; v < INT64_C(1) << 40; v += 1 + v / 7) {
        struct latency *l = latency_new();
        latency_add(l, v);
        latency_add(l, INT64_C(1) << 42); /* so that the largest value does not help */
        int64_t got = latency_at(l, 0.5);
        assert_true(got >= v && got <= v + v / 64);
        test_free(l);
    }
}

static void what_has_no_slot_is_counted(void **state)
{
    (void)state;
    struct latency *l = latency_new();
    latency_add(l, -5);
    latency_add(l, INT64_MAX);
    assert_int_equal(latency_at(l, 0.5), 0);
    assert_int_equal(l->n, 2);
    assert_true(latency_at(l, 1) > INT64_C(1) << 40);
    test_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_zero),
        cmocka_unit_test(percentiles_are_near),
        cmocka_unit_test(slots_cover_all_sizes),
        cmocka_unit_test(what_has_no_slot_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
