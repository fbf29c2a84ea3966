#include "base/rcu.h"

#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define READERS  2
#define VERSIONS 3000

/* Both halves always hold the same number while the picture lives; freeing destroys it. */
struct picture {
    uint64_t a, b;
};

static struct picture *_Atomic current;
static _Atomic bool stop;
static _Atomic unsigned freed;

static struct picture *picture_new(uint64_t v)
{
    struct picture *p = xmalloc(sizeof *p);
    *p = (struct picture){ .a = v, .b = v };
    return p;
}

static void picture_free(void *arg)
{
    struct picture *p = arg;
    p->a = UINT64_MAX;
    p->b = 0;
    free(p);
    atomic_fetch_add(&freed, 1);
}

struct reading {
    pthread_t thread;
    bool broken; /* written by the thread: it saw a picture that was freed, or an older one */
};

static void *read_pictures(void *arg)
{
    struct reading *r = arg;
    uint64_t last = 0;
    rcu_thread_init();
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        struct picture *p = rcu_load(&current);
        for (int k = 0; k < 50; k++)
            if (*(volatile uint64_t *)&p->a != *(volatile uint64_t *)&p->b || p->a < last)
                r->broken = true;
        last = p->a;
        if (i % 64 == 0) {
            rcu_offline();
            rcu_online();
        } else {
            rcu_quiescent();
        }
    }
    rcu_thread_done();
    return NULL;
}

static void readers_never_see_freed_pictures(void **state)
{
    (void)state;
    struct reading readers[READERS] = { 0 };
    atomic_store(&stop, false);
    atomic_store(&freed, 0);
    rcu_publish(&current, picture_new(0));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_pictures, &readers[i]), 0);
    for (uint64_t v = 1; v <= VERSIONS; v++) {
        struct picture *old = rcu_load(&current);
        rcu_publish(&current, picture_new(v));
        rcu_retire(old, picture_free);
        if (v % 100 == 0)
            rcu_synchronize();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_false(readers[i].broken);
    }
    rcu_barrier_all();
    assert_int_equal(atomic_load(&freed), VERSIONS);
    free(rcu_load(&current));
}

/* A reader that holds a picture until it is told to let go. */
static _Atomic int step;

static void wait_for(int value)
{
    while (atomic_load(&step) < value)
        sched_yield();
}

static void *hold_picture(void *arg)
{
    struct reading *r = arg;
    rcu_thread_init();
    struct picture *p = rcu_load(&current);
    atomic_store(&step, 1);
    wait_for(2);
    r->broken = p->a != 7 || p->b != 7;
    rcu_offline();
    atomic_store(&step, 3);
    wait_for(4);
    rcu_thread_done();
    return NULL;
}

static void nothing_is_freed_before_a_quiescent_state(void **state)
{
    (void)state;
    struct reading reader = { 0 };
    atomic_store(&step, 0);
    atomic_store(&freed, 0);
    struct picture *old = picture_new(7);
    rcu_publish(&current, old);
    assert_int_equal(pthread_create(&reader.thread, NULL, hold_picture, &reader), 0);
    wait_for(1);
    rcu_publish(&current, picture_new(8));
    rcu_retire(old, picture_free);
    assert_int_equal(atomic_load(&freed), 0);
    atomic_store(&step, 2);
    wait_for(3);
    rcu_barrier_all();
    assert_int_equal(atomic_load(&freed), 1);
    atomic_store(&step, 4);
    pthread_join(reader.thread, NULL);
    assert_false(reader.broken);
    free(rcu_load(&current));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_never_see_freed_pictures),
        cmocka_unit_test(nothing_is_freed_before_a_quiescent_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
