#include "base/ht.h"

#include "base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS       700
#define OPERATIONS 200000

static uintptr_t model[KEYS]; /* 0: absent */

static size_t key_of(unsigned k, char out[32])
{
    /* Of many lengths, with NUL bytes inside, none a duplicate of another. */
    memset(out, 0, 32);
    (void)snprintf(out, 32, "%u", k);
    return 4 + k % 20;
}

static void same_as_the_model(const struct ht *t)
{
    size_t n = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        char key[32];
        size_t len = key_of(k, key);
        assert_int_equal((uintptr_t)ht_get(t, key, len), model[k]);
        n += model[k] != 0;
    }
    assert_int_equal(t->n, n);
    size_t seen = 0;
    ht_each (e, t) {
        assert_int_equal((uintptr_t)e->value, model[atoi(e->key)]);
        seen++;
    }
    assert_int_equal(seen, n);
}

static void random_operations_match_a_model(void **state)
{
    (void)state;
    struct ht t = { 0 };
    struct rand r;
    rand_init(&r);
    for (int i = 0; i < OPERATIONS; i++) {
        char key[32];
        /* Phases that grow and phases that shrink, so that chains are built and closed. */
        bool growing = i / 5000 % 2 == 0;
        unsigned k = rand_below(&r, KEYS);
        size_t len = key_of(k, key);
        if (rand_below(&r, 10) < (growing ? 8 : 2)) {
            uintptr_t value = (uintptr_t)i + 1;
            assert_int_equal((uintptr_t)ht_put(&t, key, len, (void *)value), model[k]);
            model[k] = value;
        } else {
            assert_int_equal((uintptr_t)ht_del(&t, key, len), model[k]);
            model[k] = 0;
        }
        if (i % 4999 == 0)
            same_as_the_model(&t);
    }
    same_as_the_model(&t);
    ht_done(&t);
}

static void an_empty_table_answers(void **state)
{
    (void)state;
    struct ht t = { 0 };
    assert_null(ht_get_str(&t, "a"));
    assert_null(ht_del_str(&t, "a"));
    ht_each (e, &t)
        fail();
    ht_done(&t);
}

static void keys_are_copies(void **state)
{
    (void)state;
    struct ht t = { 0 };
    char key[] = "shop/bar";
    int one, two;
    assert_null(ht_put_str(&t, key, &one));
    key[0] = 'S';
    assert_null(ht_get_str(&t, key));
    assert_ptr_equal(ht_get_str(&t, "shop/bar"), &one);
    assert_ptr_equal(ht_put_str(&t, "shop/bar", &two), &one);
    assert_null(ht_put(&t, "", 0, &one));
    assert_ptr_equal(ht_get_str(&t, ""), &one);
    assert_int_equal(t.n, 2);
    assert_ptr_equal(ht_del_str(&t, "shop/bar"), &two);
    assert_int_equal(t.n, 1);
    ht_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_a_model),
        cmocka_unit_test(an_empty_table_answers),
        cmocka_unit_test(keys_are_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
