#include "base/metric.h"

#include "base/err.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 200000

static void assert_shown(const char *line, bool shown)
{
    struct strbuf out = { 0 };
    metric_print(&out);
    if ((strstr(out.p, line) != NULL) != shown)
        fail_msg("%s is %sshown in:\n%s", line, shown ? "not " : "", out.p);
    strbuf_done(&out);
}

static void the_same_series_is_the_same_slot(void **state)
{
    (void)state;
    metric a = metric_counter("test_same_total", "Help.", "zone=\".\"");
    metric b = metric_counter("test_same_total", "Help.", "zone=\"cluster.local.\"");
    assert_true(a != 0 && b != 0 && a != b);
    metric_add(a, 3);
    assert_int_equal(metric_counter("test_same_total", "Help.", "zone=\".\""), a);
    assert_int_equal(metric_value(a), 3);
    assert_int_equal(metric_value(b), 0);
    assert_shown("# HELP test_same_total Help.\n# TYPE test_same_total counter\n", true);
    assert_shown("test_same_total{zone=\".\"} 3\n", true);
    assert_shown("cluster.local", false); /* nothing counted: not shown */
    metric_counter("test_plain_total", "Help.", "");
    assert_shown("\ntest_plain_total 0\n", true);
}

static const uint64_t bounds[] = { 1000, 2000, 4000 };

static void histograms_add_up(void **state)
{
    (void)state;
    struct histogram h = metric_histogram("test_seconds", "Help.", "server=\"a\"", bounds, 3, 1e-3);
    assert_int_equal(h.n, 3);
    static const uint64_t values[] = { 0, 1000, 1001, 2000, 4000, 4001, 90000 };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        histogram_observe(&h, values[i]);
    assert_shown("# TYPE test_seconds histogram\n", true);
    assert_shown("test_seconds_bucket{server=\"a\",le=\"1\"} 2\n"
                 "test_seconds_bucket{server=\"a\",le=\"2\"} 4\n"
                 "test_seconds_bucket{server=\"a\",le=\"4\"} 5\n"
                 "test_seconds_bucket{server=\"a\",le=\"+Inf\"} 7\n"
                 "test_seconds_sum{server=\"a\"} 102.002\n"
                 "test_seconds_count{server=\"a\"} 7\n",
                 true);
    struct histogram again =
        metric_histogram("test_seconds", "Help.", "server=\"a\"", bounds, 3, 1e-3);
    assert_int_equal(again.first, h.first);
}

static double read_gauge(void *ctx)
{
    return *(double *)ctx;
}

static void gauges_are_read_until_dropped(void **state)
{
    (void)state;
    double value = 12.5, other = 1;
    metric_gauge("test_gauge", "Help.", "", read_gauge, &value);
    metric_gauge("test_gauge", "Help.", "of=\"other\"", read_gauge, &other);
    assert_shown("# TYPE test_gauge gauge\ntest_gauge 12.5\n", true);
    value = -1;
    assert_shown("\ntest_gauge -1\n", true);
    metric_gauge_drop(&value);
    assert_shown("\ntest_gauge -1\n", false);
    assert_shown("test_gauge{of=\"other\"} 1\n", true);
    metric_gauge_drop(&other);
    assert_shown("test_gauge", false);
}

/* Two configurations during a reload: a page with a series twice would be refused as a whole. */
static void a_gauge_is_shown_once(void **state)
{
    (void)state;
    double old = 1, new = 2;
    metric_gauge("test_once", "Help.", "zone=\".\"", read_gauge, &old);
    metric_gauge("test_once", "Help.", "zone=\"other.\"", read_gauge, &old);
    metric_gauge("test_once", "Help.", "zone=\".\"", read_gauge, &new);
    assert_shown("test_once{zone=\".\"} 1\n", false);
    assert_shown("test_once{zone=\".\"} 2\n", true);
    assert_shown("test_once{zone=\"other.\"} 1\n", true);
    metric_gauge_drop(&old);
    assert_shown("# TYPE test_once gauge\ntest_once{zone=\".\"} 2\n", true);
    assert_shown("other.", false);
    metric_gauge_drop(&new);
}

static metric shared_counter;

struct counting {
    pthread_t thread;
    bool own_shard;
    const char *problem; /* written by the thread */
};

static void *count(void *arg)
{
    struct counting *c = arg;
    if (c->own_shard && metric_thread_init() < 0)
        c->problem = "no shard";
    for (int i = 0; i < ROUNDS; i++)
        metric_add(shared_counter, 1);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    /* Two with a shard of their own, two that share the common one. */
    struct counting c[] = { { .own_shard = true }, { 0 }, { .own_shard = true }, { 0 } };
    const uint64_t all = (uint64_t)ARRAY_SIZE(c) * ROUNDS;
    shared_counter = metric_counter("test_threads_total", "Help.", "");
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        assert_int_equal(pthread_create(&c[i].thread, NULL, count, &c[i]), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(metric_value(shared_counter) <= all);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        pthread_join(c[i].thread, NULL);
        assert_null(c[i].problem);
    }
    assert_int_equal(metric_value(shared_counter), all);
}

/* A series that is registered after the thread got its shard, on a page that was not there then. */
static void *count_late(void *arg)
{
    struct counting *c = arg;
    static uint64_t many[METRIC_PAGE];
    for (uint64_t i = 0; i < METRIC_PAGE; i++)
        many[i] = i;
    if (metric_thread_init() < 0)
        c->problem = "no shard";
    struct histogram h = metric_histogram("test_late", "Help.", "", many, METRIC_PAGE, 1);
    histogram_observe(&h, 0);
    histogram_observe(&h, METRIC_PAGE);
    if (metric_value(h.first) != 1 || metric_value(h.first + METRIC_PAGE) != 1)
        c->problem = "counts are lost";
    return NULL;
}

static void new_pages_reach_old_shards(void **state)
{
    (void)state;
    struct counting c = { 0 };
    assert_int_equal(pthread_create(&c.thread, NULL, count_late, &c), 0);
    pthread_join(c.thread, NULL);
    assert_null(c.problem);
}

/* Last: afterwards the registry is full. */
static void a_full_registry_says_so(void **state)
{
    (void)state;
    metric m = 1;
    for (int i = 0; m && i < METRIC_SLOTS_MAX; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "n=\"%d\"", i);
        m = metric_counter("test_many_total", "Help.", labels);
    }
    assert_int_equal(m, 0);
    metric_add(m, 1);
    struct histogram h = metric_histogram("test_refused", "Help.", "", bounds, 3, 1);
    histogram_observe(&h, 5000);
    assert_shown("\nsignpost_metric_series_refused_total 2\n", true);
    assert_shown("test_refused", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_series_is_the_same_slot),
        cmocka_unit_test(histograms_add_up),
        cmocka_unit_test(gauges_are_read_until_dropped),
        cmocka_unit_test(a_gauge_is_shown_once),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(new_pages_reach_old_shards),
        cmocka_unit_test(a_full_registry_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
