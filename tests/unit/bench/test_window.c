#include "load_window.h"

#include "base/cursor.h"
#include "names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000LL

struct world {
    struct queries queries;
    struct load load;
    struct window window;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    *state = w;
    if (!w || queries_of("a.example A NXDOMAIN\nb.example A\n", &w->queries) < 0)
        return -1;
    w->load = (struct load){ .queries = &w->queries, .left = 100, .timeout_ns = 10 * MS };
    window_init(&w->window, 4);
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    queries_done(&w->queries);
    free(w);
    return 0;
}

/* A header alone: enough for all but a check. */
static void answer(struct world *w, uint16_t id, uint8_t rcode)
{
    uint8_t packet[12] = { (uint8_t)(id >> 8), (uint8_t)id, 0x80, rcode };
    window_take(&w->window, &w->load, packet, sizeof packet);
}

static void a_closed_loop_fills_its_window(void **state)
{
    struct world *w = *state;
    uint16_t ids[4];
    for (unsigned i = 0; i < 4; i++) {
        assert_true(window_may_send(&w->window, &w->load));
        window_next(&w->window, &w->load, &ids[i]);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(ids[i], ids[j]);
    }
    assert_false(window_may_send(&w->window, &w->load));
    w->load.now_ns = 3 * MS;
    answer(w, ids[2], 3);
    assert_true(window_may_send(&w->window, &w->load));
    assert_int_equal(w->load.answered, 1);
    assert_int_equal(w->load.rcodes[3], 1);
    assert_int_equal(latency_at(&w->load.latency, 1), 3 * MS);
    assert_int_equal(w->load.left, 96);
}

static void queries_come_in_turn(void **state)
{
    struct world *w = *state;
    uint16_t id;
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(window_next(&w->window, &w->load, &id), &w->queries.list.items[i % 2]);
    assert_int_equal(w->load.next, 0);
}

static void late_and_foreign_answers_are_not_taken(void **state)
{
    struct world *w = *state;
    uint16_t id, again;
    window_next(&w->window, &w->load, &id);
    w->load.now_ns = 11 * MS;
    window_expire(&w->window, &w->load);
    assert_int_equal(w->load.lost, 1);
    answer(w, id, 0);
    window_next(&w->window, &w->load, &again); /* the same place, with another id */
    assert_int_equal(again & 0xff, id & 0xff);
    answer(w, id, 0);
    answer(w, 0x0107, 0);
    window_take(&w->window, &w->load, (const uint8_t *)"\0\0\x80", 3);
    assert_int_equal(w->load.late, 4);
    assert_int_equal(w->load.answered, 0);
    answer(w, again, 0);
    assert_int_equal(w->load.answered, 1);
    assert_true(window_idle(&w->window));
}

/* 1000 a second: one each millisecond, whatever is answered. */
static void an_open_loop_sends_when_due(void **state)
{
    struct world *w = *state;
    uint16_t id;
    w->load.rate = 1000;
    w->load.begin_ns = w->load.now_ns = 50 * MS;
    assert_true(window_may_send(&w->window, &w->load));
    window_next(&w->window, &w->load, &id);
    assert_false(window_may_send(&w->window, &w->load));
    w->load.now_ns = 51 * MS - 1;
    assert_false(window_may_send(&w->window, &w->load));
    w->load.now_ns = 52 * MS;
    window_next(&w->window, &w->load, &id);
    window_next(&w->window, &w->load, &id);
    assert_false(window_may_send(&w->window, &w->load));
}

/* The second query is due at 1 ms, sent at 5, answered at 6: it took 5, not 1. */
static void an_open_loop_counts_from_when_it_was_due(void **state)
{
    struct world *w = *state;
    uint16_t first, second;
    w->load.rate = 1000;
    window_next(&w->window, &w->load, &first);
    w->load.now_ns = 5 * MS;
    window_next(&w->window, &w->load, &second);
    w->load.now_ns = 6 * MS;
    answer(w, second, 0);
    assert_int_equal(latency_at(&w->load.latency, 1), 5 * MS);
    assert_int_equal(w->load.behind.n, 2);
    assert_int_equal(latency_at(&w->load.behind, 1), 4 * MS);
}

static void the_timeout_counts_from_when_it_was_sent(void **state)
{
    struct world *w = *state;
    uint16_t id;
    w->load.rate = 1000;
    w->load.now_ns = 100 * MS;
    window_next(&w->window, &w->load, &id);
    window_expire(&w->window, &w->load);
    assert_int_equal(w->load.lost, 0);
    window_abandon(&w->window, &w->load);
    assert_int_equal(w->load.lost, 1);
    assert_true(window_idle(&w->window));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_closed_loop_fills_its_window, setup, teardown),
        cmocka_unit_test_setup_teardown(queries_come_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(late_and_foreign_answers_are_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_loop_sends_when_due, setup, teardown),
        cmocka_unit_test_setup_teardown(an_open_loop_counts_from_when_it_was_due, setup, teardown),
        cmocka_unit_test_setup_teardown(the_timeout_counts_from_when_it_was_sent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
