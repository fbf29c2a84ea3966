#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "dns/rcu_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct item {
    struct rcu_table_entry entry;
    uint32_t key, value;
};

static bool item_equal(const struct rcu_table_entry *e, const void *key, size_t len)
{
    (void)len;
    return ((const struct item *)e)->key == *(const uint32_t *)key;
}

static struct item *item_new(uint32_t key, uint32_t value)
{
    struct item *i = xmalloc(sizeof *i);
    *i = (struct item){ .entry = { hash_bytes(&key, sizeof key) }, .key = key, .value = value };
    return i;
}

static const struct item *find(const struct rcu_table *t, uint32_t key)
{
    return (const struct item *)rcu_table_find(t, hash_bytes(&key, sizeof key), &key, sizeof key);
}

static void put(struct rcu_table *t, uint32_t key, uint32_t value)
{
    struct rcu_table_entry *old = rcu_table_put(t, &item_new(key, value)->entry, &key, sizeof key);
    if (old)
        rcu_retire(old, free);
}

static void del(struct rcu_table *t, uint32_t key)
{
    struct rcu_table_entry *old = rcu_table_del(t, hash_bytes(&key, sizeof key), &key, sizeof key);
    if (old)
        rcu_retire(old, free);
}

static void item_free(struct rcu_table_entry *e)
{
    free(e);
}

#define KEYS 500

/* Random puts and deletes against an array. */
static void test_model(void **state)
{
    struct rcu_table t;
    uint32_t model[KEYS] = { 0 };
    struct rand r = { { 1, 2, 3, 4 } };
    (void)state;
    rcu_table_init(&t, item_equal);
    for (uint32_t step = 1; step < 20000; step++) {
        uint32_t key = rand_below(&r, KEYS);
        model[key] = rand_below(&r, 3) ? step : 0;
        if (model[key])
            put(&t, key, step);
        else
            del(&t, key);
    }
    size_t n = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        const struct item *i = find(&t, key);
        assert_int_equal(i ? i->value : 0, model[key]);
        n += model[key] != 0;
    }
    assert_int_equal(t.n, n);
    rcu_table_done(&t, item_free);
    rcu_barrier_all();
}

struct shared {
    struct rcu_table t;
    _Atomic bool end;
    _Atomic unsigned wrong;
};

/* Even keys are always there, with a value that belongs to the key. */
static void *reader(void *arg)
{
    struct shared *s = arg;
    rcu_thread_init();
    while (!s->end) {
        for (uint32_t key = 0; key < KEYS; key++) {
            const struct item *i = find(&s->t, key);
            if (i ? i->value % KEYS != key : key % 2 == 0)
                s->wrong++;
        }
        rcu_quiescent();
    }
    rcu_thread_done();
    return NULL;
}

static void test_readers_see_whole_entries(void **state)
{
    static struct shared s;
    pthread_t threads[2];
    struct rand r = { { 5, 6, 7, 8 } };
    (void)state;
    rcu_table_init(&s.t, item_equal);
    for (uint32_t key = 0; key < KEYS; key += 2)
        put(&s.t, key, key);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, reader, &s);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t key = rand_below(&r, KEYS);
        if (key % 2 && rand_below(&r, 2))
            del(&s.t, key);
        else
            put(&s.t, key, key + KEYS * rand_below(&r, 100));
    }
    s.end = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.wrong, 0);
    rcu_table_done(&s.t, item_free);
    rcu_barrier_all();
}

static unsigned count(const struct rcu_table *t, uint32_t key, uint32_t *ret_sum)
{
    struct rcu_table_walk w = rcu_table_walk(t, hash_bytes(&key, sizeof key));
    unsigned n = 0;
    *ret_sum = 0;
    for (const struct item *i; (i = (const struct item *)rcu_table_next(&w, &key, sizeof key)); n++)
        *ret_sum += i->value;
    return n;
}

static bool add(struct rcu_table *t, struct item *i, unsigned max)
{
    return rcu_table_add(t, &i->entry, &i->key, sizeof i->key, max);
}

/* Several entries of one key: added up to a limit, exchanged and removed by their own address. */
static void test_same_keys(void **state)
{
    struct rcu_table t;
    struct item *items[KEYS];
    uint32_t sum;
    (void)state;
    rcu_table_init(&t, item_equal);
    for (uint32_t i = 0; i < KEYS; i++) {
        items[i] = item_new(i % 5, i);
        assert_true(add(&t, items[i], KEYS / 5));
    }
    assert_int_equal(count(&t, 3, &sum), KEYS / 5);
    struct item *more = item_new(3, 1000000);
    assert_false(add(&t, more, KEYS / 5));
    assert_false(rcu_table_exchange(&t, &more->entry, NULL));
    uint32_t before = sum;
    assert_true(rcu_table_exchange(&t, &items[8]->entry, &more->entry));
    assert_int_equal(count(&t, 3, &sum), KEYS / 5);
    assert_int_equal(sum, before - 8 + 1000000);
    assert_true(rcu_table_exchange(&t, &items[13]->entry, NULL));
    assert_false(rcu_table_exchange(&t, &items[13]->entry, NULL));
    assert_int_equal(count(&t, 3, &sum), KEYS / 5 - 1);
    assert_int_equal(t.n, KEYS - 1);
    assert_true(add(&t, items[8], KEYS / 5));
    assert_int_equal(count(&t, 4, &sum), KEYS / 5);
    rcu_table_done(&t, NULL);
    for (uint32_t i = 0; i < KEYS; i++)
        free(items[i]);
    free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_same_keys),
        cmocka_unit_test(test_readers_see_whole_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
