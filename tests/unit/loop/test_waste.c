/* What a loop's thread retires is freed soon, although nobody hands it over. */
#include "loop/waste.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rcu.h"
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MANY     200 /* more than are gathered */
#define DEADLINE 20000000000LL

static _Atomic unsigned freed;

static void count(void *p)
{
    free(p);
    atomic_fetch_add(&freed, 1);
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
}

static void retired_in_a_turn(uv_timer_t *t)
{
    for (unsigned i = 0; i < *(unsigned *)t->data; i++)
        rcu_retire(xmalloc(100), count);
}

static void frees(unsigned n)
{
    uv_loop_t loop;
    struct waste waste;
    uv_timer_t once, tick;
    int64_t end = clock_ns() + DEADLINE;
    atomic_store(&freed, 0);
    uv_loop_init(&loop);
    waste_open(&waste, &loop);
    uv_timer_init(&loop, &once);
    once.data = &n;
    uv_timer_start(&once, retired_in_a_turn, 1, 0);
    uv_timer_init(&loop, &tick);
    uv_timer_start(&tick, on_tick, 5, 5);
    while (atomic_load(&freed) < n && clock_ns() < end)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(atomic_load(&freed), n);
    loop_done(&loop);
}

static void test_one(void **state)
{
    (void)state;
    frees(1);
}

static void test_many(void **state)
{
    (void)state;
    frees(MANY);
}

/* It keeps no loop alive, and what it has not handed over comes with the end. */
static void test_end(void **state)
{
    (void)state;
    uv_loop_t loop;
    struct waste waste;
    atomic_store(&freed, 0);
    uv_loop_init(&loop);
    waste_open(&waste, &loop);
    rcu_retire(xmalloc(100), count);
    uv_run(&loop, UV_RUN_DEFAULT);
    loop_done(&loop);
    rcu_barrier_all();
    assert_int_equal(atomic_load(&freed), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
