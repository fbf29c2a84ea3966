/* When the kernel has no descriptor for a connection: room is made, or the listener rests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metric.h"
#include "net/accept.h"
#include "net/listen.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CLIENTS 5

struct world {
    uv_loop_t loop;
    uv_timer_t timer;
    struct acceptor acceptor;
    int clients[CLIENTS], taken[CLIENTS];
    unsigned n_taken, asked, ticks;
    bool may_make_room, closed;
};

static void take(void *ctx, int fd)
{
    struct world *w = ctx;
    w->taken[w->n_taken++] = fd;
}

static bool make_room(void *ctx)
{
    struct world *w = ctx;
    w->asked++;
    if (w->may_make_room && w->n_taken > 0 && w->taken[w->n_taken - 1] >= 0) {
        close(w->taken[w->n_taken - 1]);
        w->taken[w->n_taken - 1] = -1;
        return true;
    }
    return false;
}

static void is_closed(void *ctx)
{
    ((struct world *)ctx)->closed = true;
}

/* Leaves room for so many more descriptors; -1: as many as there were. */
static void leave_room(int n)
{
    static struct rlimit before;
    struct rlimit limit;
    if (!before.rlim_cur)
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    if (n >= 0)
        for (limit.rlim_cur = 0; n > 0 || fcntl((int)limit.rlim_cur, F_GETFD) >= 0;
             limit.rlim_cur++)
            n -= fcntl((int)limit.rlim_cur, F_GETFD) < 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void begin(struct world *w)
{
    const struct ip loopback = { 4, { 127, 0, 0, 1 } };
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    struct err e;
    int fd = listen_tcp(&loopback, 0, &e);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->acceptor =
        (struct acceptor){ .ctx = w, .take = take, .make_room = make_room, .closed = is_closed };
    assert_int_equal(acceptor_open(&w->acceptor, &w->loop, fd), 0);
    for (int i = 0; i < CLIENTS; i++) {
        w->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(w->clients[i], (struct sockaddr *)&address, len), 0);
    }
}

/* Lets the loop work for so many turns of 20 ms. */
static void on_tick(uv_timer_t *t)
{
    struct world *w = t->data;
    if (w->ticks-- == 0)
        uv_stop(t->loop);
}

static void work(struct world *w, unsigned ticks)
{
    w->ticks = ticks;
    w->timer.data = w;
    uv_timer_init(&w->loop, &w->timer);
    uv_timer_start(&w->timer, on_tick, 20, 20);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void end(struct world *w)
{
    acceptor_close(&w->acceptor);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    for (int i = 0; i < CLIENTS; i++)
        (void)close(w->clients[i]);
    for (unsigned i = 0; i < w->n_taken; i++)
        if (w->taken[i] >= 0)
            (void)close(w->taken[i]);
}

static uint64_t failures(void)
{
    return metric_value(metric_counter("signpost_tcp_accept_failures_total", "", ""));
}

static void test_rests(void **state)
{
    struct world w = { 0 };
    (void)state;
    begin(&w);
    uint64_t before = failures();
    leave_room(2);
    work(&w, 25);
    leave_room(-1);
    assert_int_equal(w.n_taken, 2);
    /* Half a second: one failure each 100 ms, not thousands. */
    assert_in_range(failures() - before, 2, 8);
    assert_int_equal(w.asked, failures() - before);
    work(&w, 25);
    assert_int_equal(w.n_taken, CLIENTS);
    end(&w);
}

static void test_makes_room(void **state)
{
    struct world w = { .may_make_room = true };
    (void)state;
    begin(&w);
    uint64_t before = failures();
    leave_room(1);
    work(&w, 5);
    leave_room(-1);
    assert_int_equal(w.n_taken, CLIENTS);
    assert_int_equal(failures(), before);
    end(&w);
}

/* Each server has its share, whoever comes first. */
static void test_seats(void **state)
{
    (void)state;
    seats_open();
    seats_open();
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned n = 0;
    while (n < limit.rlim_cur && seat_take(n))
        n++;
    assert_in_range(n, limit.rlim_cur / 4, limit.rlim_cur * 3 / 8);
    assert_true(seat_take(0));
    for (unsigned i = 0; i <= n; i++)
        seat_leave();
    seats_close();
    seats_close();
}

static int set_up(void **state)
{
    (void)state;
    accept_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_makes_room),
        cmocka_unit_test(test_seats),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
