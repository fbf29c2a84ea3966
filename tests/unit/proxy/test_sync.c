/* When the sync writes, and what health and metrics say about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/sync.h"
#include "world.h"

#define MS 1000000LL

struct bench {
    struct world w;
    uv_loop_t loop;
    struct nft_dry dry;
    struct health health;
    struct sync *sync;
};

static struct proxy_metrics metrics;

static void bench_init_full(struct bench *b, int64_t min_period_ns, int64_t full_period_ns)
{
    *b = (struct bench){ 0 };
    log_set_level(LOG_FATAL);
    world_init(&b->w);
    uv_loop_init(&b->loop);
    nft_dry_init(&b->dry);
    health_init(&b->health, &metrics, "nftables", 60000 * MS);
    b->sync = sync_new(&b->loop, b->w.model,
                       &(struct sync_options){ .backend = &b->dry.backend,
                                               .ruleset = { { .family = 4 }, { .family = 6 } },
                                               .min_period_ns = min_period_ns,
                                               .full_period_ns = full_period_ns,
                                               .health = &b->health,
                                               .metrics = &metrics });
}

static void bench_init(struct bench *b, int64_t min_period_ns)
{
    bench_init_full(b, min_period_ns, 0);
}

static void bench_done(struct bench *b)
{
    sync_free(b->sync);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    health_done(&b->health);
    nft_dry_done(&b->dry);
    world_done(&b->w);
}

/* Until n transactions were applied, at most a second; returns how long that took. */
static int64_t run_until(struct bench *b, unsigned n)
{
    int64_t start = clock_ns();
    while (b->dry.n_applied < n && clock_ns() - start < 1000 * MS)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    assert_int_equal(b->dry.n_applied, n);
    for (unsigned i = 0; i < 20; i++) { /* let the end of the work come in */
        uv_run(&b->loop, UV_RUN_NOWAIT);
        (void)usleep(200);
    }
    return clock_ns() - start;
}

static void test_nothing_before_start(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 0);
    world_service(&b.w, "a", "10.96.0.1");
    sync_poke(b.sync);
    for (unsigned i = 0; i < 20; i++)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    assert_int_equal(b.dry.n_applied, 0);
    sync_start(b.sync);
    run_until(&b, 2); /* a table a family */
    assert_int_equal(metrics.elements[0], 2);
    assert_int_equal(metrics.elements[1], 0);
    bench_done(&b);
}

static void test_changes_are_collected(void **state)
{
    (void)state;
    struct bench b;
    int64_t start = clock_ns();
    bench_init(&b, 100 * MS);
    sync_start(b.sync);
    run_until(&b, 2);
    world_service(&b.w, "a", "10.96.0.1");
    sync_poke(b.sync);
    world_service(&b.w, "b", "10.96.0.2");
    sync_poke(b.sync);
    run_until(&b, 3); /* both in one, and not before the period is over */
    assert_true(clock_ns() - start >= 100 * MS);
    assert_non_null(strstr(b.dry.last.p, "10.96.0.1"));
    assert_non_null(strstr(b.dry.last.p, "10.96.0.2"));
    bench_done(&b);
}

static void test_first_change_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 200 * MS);
    sync_start(b.sync);
    run_until(&b, 2);
    (void)usleep(210000);
    world_service(&b.w, "a", "10.96.0.1");
    sync_poke(b.sync);
    assert_true(run_until(&b, 3) < 180 * MS);
    bench_done(&b);
}

/* Without any change. */
static void test_all_anew_by_the_clock(void **state)
{
    (void)state;
    struct bench b;
    bench_init_full(&b, 0, 50 * MS);
    world_service(&b.w, "a", "10.96.0.1");
    sync_start(b.sync);
    int64_t start = clock_ns();
    while (b.dry.n_applied < 6 && clock_ns() - start < 5000 * MS)
        uv_run(&b.loop, UV_RUN_ONCE);
    assert_true(b.dry.n_applied >= 6);
    assert_non_null(strstr(b.dry.last.p, "chain reject-chain")); /* not only elements */
    bench_done(&b);
}

static void test_refused_is_retried(void **state)
{
    (void)state;
    struct bench b;
    struct err e;
    bench_init(&b, 0);
    world_service(&b.w, "a", "10.96.0.1");
    world_service(&b.w, "b", "10.96.0.2");
    b.dry.poison = "10.96.0.2";
    assert_int_equal(sync_now(b.sync, &e), ERR_REFUSED);
    assert_non_null(strstr(e.text, "IPv4"));
    assert_int_equal(metrics.refused, 1);
    assert_non_null(strstr(b.dry.last.p, "ip6")); /* the other family is served */
    unsigned n = b.dry.n_applied;
    sync_start(b.sync);
    run_until(&b, n); /* no change: nothing to do */
    b.dry.poison = NULL;
    int64_t start = clock_ns();
    while (b.dry.n_applied == n && clock_ns() - start < 3000 * MS)
        uv_run(&b.loop, UV_RUN_ONCE);
    run_until(&b, n + 1);
    assert_true(clock_ns() - start > SYNC_RETRY_FIRST_MS * MS / 2);
    assert_non_null(strstr(b.dry.last.p, "10.96.0.2 . tcp"));
    assert_int_equal(metrics.refused, 0);
    bench_done(&b);
}

static void test_health_follows(void **state)
{
    (void)state;
    struct bench b;
    struct strbuf out = { 0 };
    bench_init(&b, 0);
    b.health.timeout_ns = 5 * MS;
    assert_int_equal(health_answer(&b.health, true, &out), 200);
    health_queued(&b.health);
    (void)usleep(10000);
    strbuf_reset(&out);
    assert_int_equal(health_answer(&b.health, false, &out), 503);
    assert_non_null(strstr(out.p, "\"healthy\": false"));
    sync_start(b.sync);
    run_until(&b, 2);
    strbuf_reset(&out);
    assert_int_equal(health_answer(&b.health, false, &out), 200);
    assert_null(strstr(out.p, "nodeEligible"));
    health_node(&b.health, true);
    strbuf_reset(&out);
    assert_int_equal(health_answer(&b.health, true, &out), 503);
    assert_non_null(strstr(out.p, "\"nodeEligible\": false, \"healthy\": true"));
    assert_int_equal(health_answer(&b.health, false, &out), 200);
    strbuf_done(&out);
    bench_done(&b);
}

int main(void)
{
    proxy_metrics_init(&metrics, MODE_NFTABLES);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_before_start),  cmocka_unit_test(test_changes_are_collected),
        cmocka_unit_test(test_first_change_at_once),  cmocka_unit_test(test_all_anew_by_the_clock),
        cmocka_unit_test(test_all_anew_by_the_clock), cmocka_unit_test(test_refused_is_retried),
        cmocka_unit_test(test_health_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
