#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "kube/timestamp.h"

static void check(const char *text, int64_t want)
{
    int64_t ns = -1;
    if (timestamp_parse(text, &ns) < 0 || ns != want)
        fail_msg("%s: %lld instead of %lld", text, (long long)ns, (long long)want);
}

static void test_good(void **state)
{
    (void)state;
    check("1970-01-01T00:00:00Z", 0);
    check("2026-01-02T03:04:05Z", 1767323045000000000);
    check("2026-01-02T03:04:05.000000001Z", 1767323045000000001);
    check("2026-01-02T03:04:05.5Z", 1767323045500000000);
    check("2026-01-02T03:04:05.1234567899Z", 1767323045123456789);
    check("2026-01-02T04:34:05+01:30", 1767323045000000000);
    check("2026-01-01T22:04:05-05:00", 1767323045000000000);
    check("2024-02-29T00:00:00Z", 1709164800000000000);
}

/* Against the C library, one day after the other. */
static void test_days(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 365 * 200; day += 13) {
        char text[32];
        time_t t = (time_t)(day * 86400 + 3661);
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        check(text, (int64_t)t * 1000000000);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026",
        "2026-01-02",
        "2026-13-02T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05Zx",
        "2026-01-02T03:04:05+0100",
        "1969-01-02T03:04:05Z",
        "2262-01-02T03:04:05Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ns = 7;
        if (timestamp_parse(bad[i], &ns) >= 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(ns, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
