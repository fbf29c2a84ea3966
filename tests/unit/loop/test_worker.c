#include "loop/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct notes {
    unsigned n, wrong;
    pthread_t thread;
};

static void note(struct worker *w, void *arg)
{
    struct notes *notes = arg;
    notes->n++;
    if (w->depth != 1) /* calls run between enter and leave */
        notes->wrong++;
    if (!pthread_equal(pthread_self(), notes->thread))
        notes->wrong++;
}

static void note_thread(struct worker *w, void *arg)
{
    (void)w;
    ((struct notes *)arg)->thread = pthread_self();
}

static void start(struct worker *w, struct notes *notes)
{
    struct err e;
    assert_int_equal(worker_start(w, 3, &e), 0);
    assert_int_equal(w->index, 3);
    worker_call_wait(w, note_thread, notes);
    assert_false(pthread_equal(notes->thread, pthread_self()));
}

struct poster {
    struct worker *w;
    struct notes *notes;
};

static void *post_many(void *arg)
{
    const struct poster *p = arg;
    for (int i = 0; i < 1000; i++)
        worker_post(p->w, note, p->notes);
    return NULL;
}

static void test_posts_from_many_threads(void **state)
{
    struct worker w;
    struct notes notes = { 0 };
    struct poster poster = { &w, &notes };
    pthread_t threads[4];
    (void)state;
    start(&w, &notes);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &poster), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    worker_call_wait(&w, note, &notes);
    assert_int_equal(notes.n, 4001);
    assert_int_equal(notes.wrong, 0);
    worker_stop(&w);
}

struct order {
    unsigned next, wrong;
};

struct numbered {
    struct order *order;
    unsigned number;
};

static void in_order(struct worker *w, void *arg)
{
    struct numbered *n = arg;
    (void)w;
    n->order->wrong += n->order->next++ != n->number;
}

static void test_order(void **state)
{
    struct worker w;
    struct notes notes = { 0 };
    struct order order = { 0 };
    static struct numbered calls[500];
    (void)state;
    start(&w, &notes);
    for (unsigned i = 0; i < 500; i++) {
        calls[i] = (struct numbered){ &order, i };
        if (i % 50)
            worker_post(&w, in_order, &calls[i]);
        else
            worker_call_wait(&w, in_order, &calls[i]);
    }
    worker_stop(&w); /* what was posted before still runs */
    assert_int_equal(order.next, 500);
    assert_int_equal(order.wrong, 0);
}

static void on_timer(uv_timer_t *t)
{
    (void)t;
}

static void leave_a_timer(struct worker *w, void *arg)
{
    uv_timer_t *t = arg;
    uv_timer_init(&w->loop, t);
    uv_timer_start(t, on_timer, 1000000, 0);
}

/* Handles that nobody closed do not keep the thread alive. */
static void test_stop_closes_what_is_left(void **state)
{
    struct worker w;
    struct notes notes = { 0 };
    uv_timer_t timer;
    (void)state;
    start(&w, &notes);
    worker_call_wait(&w, leave_a_timer, &timer);
    worker_stop(&w);
    assert_false(w.running);
    worker_stop(&w);
}

/* A reader between enter and leave keeps what was retired meanwhile alive. */
struct published {
    _Atomic(int *) value;
    _Atomic int seen;
    _Atomic bool reading, go_on;
};

static void read_slowly(struct worker *w, void *arg)
{
    struct published *p = arg;
    worker_enter(w); /* they nest */
    int *value = rcu_load(&p->value);
    worker_leave(w);
    p->reading = true;
    while (!p->go_on)
        ;
    p->seen = *value;
}

static void test_readers_are_waited_for(void **state)
{
    struct worker w;
    struct notes notes = { 0 };
    static struct published p;
    int *old = malloc(sizeof *old);
    (void)state;
    *old = 42;
    p.value = old;
    start(&w, &notes);
    worker_post(&w, read_slowly, &p);
    while (!p.reading)
        ;
    rcu_publish(&p.value, NULL);
    rcu_retire(old, free);
    p.go_on = true;
    worker_stop(&w);
    rcu_barrier_all();
    assert_int_equal(p.seen, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts_from_many_threads),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_stop_closes_what_is_left),
        cmocka_unit_test(test_readers_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
