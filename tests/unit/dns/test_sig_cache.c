#include "base/cleanup.h"
#include "base/rand.h"
#include "dns/sig_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define RDATA 8 /* bytes of an entry here: the number it is for, twice */

static struct sig_key key_for(uint32_t number)
{
    return sig_key_of((const uint8_t *)&number, sizeof number);
}

static void put(struct sig_cache *c, uint32_t number, int64_t from, int64_t until)
{
    _Alignas(struct sig_entry) uint8_t space[sizeof(struct sig_entry) + RDATA];
    struct sig_entry *e = (struct sig_entry *)space;
    *e = (struct sig_entry){
        .key = key_for(number), .from = from, .until = until, .len = RDATA, .count = 1
    };
    memcpy(e->rdata, &number, 4);
    memcpy(e->rdata + 4, &number, 4);
    sig_cache_put(c, e);
}

static bool has(const struct sig_cache *c, uint32_t number, int64_t now)
{
    struct sig_key k = key_for(number);
    const struct sig_entry *e = sig_cache_find(c, &k, now);
    return e && memcmp(e->rdata, &number, 4) == 0;
}

static void test_times(void **state)
{
    struct sig_cache *c = sig_cache_new(100);
    (void)state;
    put(c, 1, 10, 20);
    assert_false(has(c, 1, 9));
    assert_true(has(c, 1, 10));
    assert_true(has(c, 1, 19));
    assert_false(has(c, 1, 20));
    assert_false(has(c, 2, 15));
    put(c, 1, 20, 30); /* in the place of the old one */
    assert_true(has(c, 1, 25));
    assert_int_equal(sig_cache_count(c), 1);
    sig_cache_free(c);
    rcu_barrier_all();
}

static void check_bound(size_t capacity, size_t most)
{
    struct sig_cache *c = sig_cache_new(capacity);
    for (uint32_t i = 0; i < 5000; i++) {
        put(c, i, 0, 100 + i);
        assert_true(has(c, i, 50)); /* the newest is always taken */
    }
    assert_true(sig_cache_count(c) <= most);
    assert_true(sig_cache_count(c) * 2 > most); /* and the place is used */
    sig_cache_free(c);
    rcu_barrier_all();
}

static void test_bounds(void **state)
{
    (void)state;
    check_bound(0, SIG_CACHE_WAYS);
    check_bound(1, SIG_CACHE_WAYS);
    check_bound(100, 104);
}

static void test_the_oldest_goes(void **state)
{
    struct sig_cache *c = sig_cache_new(SIG_CACHE_WAYS);
    (void)state;
    for (uint32_t i = 0; i < SIG_CACHE_WAYS; i++)
        put(c, i, 0, i == 3 ? 50 : 100);
    put(c, 99, 0, 100);
    assert_false(has(c, 3, 10));
    assert_true(has(c, 99, 10));
    for (uint32_t i = 0; i < SIG_CACHE_WAYS; i++)
        assert_true(i == 3 || has(c, i, 10));
    sig_cache_free(c);
    rcu_barrier_all();
}

static void test_no_giants(void **state)
{
    static _Alignas(struct sig_entry) uint8_t space[SIG_CACHE_ENTRY_MAX + 1];
    struct sig_entry *e = (struct sig_entry *)space;
    struct sig_cache *c = sig_cache_new(8);
    (void)state;
    *e = (struct sig_entry){ .key = key_for(1), .until = 10 };
    e->len = (uint32_t)(sizeof space - sizeof *e);
    sig_cache_put(c, e);
    assert_int_equal(sig_cache_count(c), 0);
    e->len--;
    sig_cache_put(c, e);
    assert_int_equal(sig_cache_count(c), 1);
    sig_cache_free(c);
}

/* ---- threads ---- */

struct shared {
    struct sig_cache *cache;
    _Atomic unsigned wrong, hits;
};

static void *use(void *arg)
{
    struct shared *s = arg;
    struct rand r;
    rand_init(&r);
    rcu_thread_init();
    for (int i = 0; i < 20000; i++) {
        uint32_t number = rand_below(&r, 200), found[2];
        struct sig_key k = key_for(number);
        const struct sig_entry *e = sig_cache_find(s->cache, &k, 1);
        if (e) {
            memcpy(found, e->rdata, sizeof found);
            s->wrong += found[0] != number || found[1] != number;
            s->hits++;
        } else {
            put(s->cache, number, 0, 2 + rand_below(&r, 100));
        }
        rcu_quiescent();
    }
    rcu_thread_done();
    return NULL;
}

static void test_threads(void **state)
{
    struct shared s = { .cache = sig_cache_new(64) };
    pthread_t threads[3];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &s), 0);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s.wrong, 0);
    assert_true(s.hits > 0);
    assert_true(sig_cache_count(s.cache) <= 64);
    sig_cache_free(s.cache);
    rcu_barrier_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),           cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_the_oldest_goes), cmocka_unit_test(test_no_giants),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
