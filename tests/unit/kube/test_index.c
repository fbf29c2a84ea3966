#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "kube/index.h"

#define ITEMS 300

struct item {
    char ns[8], name[8];
    unsigned version;
};

static struct index_key key_of(const void *item)
{
    const struct item *i = item;
    return (struct index_key){ i->ns, i->name };
}

static void make_items(struct item items[2][ITEMS])
{
    for (unsigned v = 0; v < 2; v++)
        for (unsigned i = 0; i < ITEMS; i++) {
            (void)snprintf(items[v][i].ns, sizeof items[v][i].ns, "ns%u", i % 7);
            (void)snprintf(items[v][i].name, sizeof items[v][i].name, "n%u", i / 7);
        }
}

static size_t count(struct index *x)
{
    size_t n = 0;
    index_each(e, x)
    {
        n++;
    }
    return n;
}

static void test_model(void **state)
{
    (void)state;
    static struct item items[2][ITEMS];
    const struct item *model[ITEMS] = { NULL };
    struct rand r = { { 1, 2, 3, 4 } };
    struct index x = { .key = key_of };
    size_t n = 0;
    make_items(items);
    assert_null(index_find(&x, "ns0", "n0"));
    assert_null(index_remove(&x, "ns0", "n0"));
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = rand_below(&r, ITEMS), bias = round / 2000 % 2 ? 1 : 3;
        struct item *item = &items[rand_below(&r, 2)][i];
        const struct item *old = model[i];
        assert_ptr_equal(index_find(&x, item->ns, item->name), old);
        bool put = rand_below(&r, 4) < bias;
        model[i] = put ? item : NULL;
        n += put && !old;
        n -= !put && old;
        if (put)
            assert_ptr_equal(index_put(&x, item), old);
        else
            assert_ptr_equal(index_remove(&x, item->ns, item->name), old);
        assert_int_equal(x.n, n);
        if (round % 100 == 0)
            for (unsigned k = 0; k < ITEMS; k++)
                assert_ptr_equal(index_find(&x, items[0][k].ns, items[0][k].name), model[k]);
    }
    assert_int_equal(count(&x), n);
    index_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_model) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
