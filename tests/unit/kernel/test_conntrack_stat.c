#include "kernel/conntrack_stat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

static const char two[] =
    "entries  clashres found new insert insert_failed drop  expect_new\n"
    "00000007  00000001 00000002 00000000 00000000 0000000a 00000003  00000000\n"
    "00000007  00000000 00000000 00000000 00000000 00000010 00000000  00000000\n";

static const struct {
    const char *text, *name;
    unsigned long sum;
} cases[] = {
    { two, "insert_failed", 26 },
    { two, "insert", 0 },
    { two, "clashres", 1 },
    { two, "entries", 14 },
    { two, "failed", 0 },
    { "", "insert_failed", 0 },
    { "\n", "insert_failed", 0 },
    { "entries insert_failed\n00000001\n", "insert_failed", 0 },
    { "insert_failed\nff\n1", "insert_failed", 256 },
};

static void sums(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s", cases[i].text);
        assert_int_equal(conntrack_stat_sum(text, cases[i].name), cases[i].sum);
    }
}

/* The names are those of this kernel, where it has the file. */
static void this_kernel(void **state)
{
    (void)state;
    char text[512] = "";
    FILE *f = fopen("/proc/net/stat/nf_conntrack", "re");
    if (!f || !fgets(text, sizeof text, f)) {
        if (f)
            fclose(f);
        skip();
    }
    fclose(f);
    size_t n = 0;
    while (text[n] && text[n] != '\n')
        n++;
    char all[2048];
    int at = snprintf(all, sizeof all, "%.*s\n", (int)n, text);
    for (unsigned i = 0; i < 10; i++) /* insert_failed is the tenth */
        at += snprintf(all + at, sizeof all - (size_t)at, "%s", i == 9 ? "00000005 " : "00000000 ");
    assert_int_equal(conntrack_stat_sum(all, "insert_failed"), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sums), cmocka_unit_test(this_kernel) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
