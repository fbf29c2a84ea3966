#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "source/claims.h"

static const struct claimant a = { 0, "a" }, b = { 0, "b" }, c = { 1, "a" };

static void test_order(void **state)
{
    (void)state;
    assert_true(claimant_compare(&a, &b) < 0);
    assert_true(claimant_compare(&c, &b) > 0);
    assert_int_equal(claimant_compare(&a, &a), 0);
}

static void test_contest(void **state)
{
    (void)state;
    struct claims claims = { 0 };
    const struct claimant *other;
    assert_ptr_equal(claims_add(&claims, "k", &b, &other), &b);
    assert_null(other);
    assert_ptr_equal(claims_add(&claims, "k", &c, &other), &b);
    assert_ptr_equal(claims_add(&claims, "k", &a, &other), &a);
    assert_ptr_equal(other, &b);
    assert_ptr_equal(claims_add(&claims, "k", &a, &other), &a);
    assert_null(other);
    assert_int_equal(claims_drop(&claims, "k", &a, &other), CLAIM_INHERITED);
    assert_ptr_equal(other, &b);
    assert_int_equal(claims_drop(&claims, "k", &c, &other), CLAIM_LOSER);
    assert_int_equal(claims_drop(&claims, "k", &b, &other), CLAIM_LAST);
    assert_int_equal(claims.owners.n + claims.losers.n, 0);
    claims_done(&claims);
}

/* Whatever the order of adds and drops, the first of those who claim owns the key. */
static void test_model(void **state)
{
    (void)state;
    static const char *const keys[] = { "x", "y" };
    const struct claimant all[] = { { 0, "a" }, { 0, "b" }, { 0, "c" }, { 1, "a" } };
    bool holds[2][4] = { { false } };
    struct claims claims = { 0 };
    struct rand r = { { 1, 2, 3, 4 } };
    for (unsigned round = 0; round < 5000; round++) {
        unsigned k = rand_below(&r, 2), i = rand_below(&r, 4), first = 0;
        const struct claimant *other, *owner;
        if (holds[k][i])
            (void)claims_drop(&claims, keys[k], &all[i], &other);
        else
            (void)claims_add(&claims, keys[k], &all[i], &other);
        holds[k][i] = !holds[k][i];
        while (first < 4 && !holds[k][first])
            first++;
        owner = ht_get_str(&claims.owners, keys[k]);
        assert_ptr_equal(owner, first < 4 ? &all[first] : NULL);
    }
    claims_done(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_contest),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
