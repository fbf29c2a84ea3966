#include "base/str.h"

#include "base/err.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000LL

static const struct {
    const char *text;
    long long ns;
} good_durations[] = {
    { "0", 0 },
    { "-0", 0 },
    { "5s", 5 * SECOND },
    { "250ms", 250000000 },
    { "1h30m", 5400 * SECOND },
    { "1m1s1ms1us1ns", 61001001001LL },
    { "2\xc2\xb5s", 2000 },
    { "2\xce\xbcs", 2000 },
    { "1.5h", 5400 * SECOND },
    { ".5s", SECOND / 2 },
    { "1.s", SECOND },
    { "1.000000001s", SECOND + 1 },
    { "4.35s", 4350000000LL },
    { "0.3333333333333333333h", 1200 * SECOND },
    { "-2s", -2 * SECOND },
    { "+2s", 2 * SECOND },
    { "9223372036854775807ns", LLONG_MAX },
    { "2562047h47m16.854775807s", LLONG_MAX },
};

static const struct {
    const char *text;
    int code;
} bad_durations[] = {
    { "", ERR_PARSE },
    { "-", ERR_PARSE },
    { "5", ERR_PARSE },
    { "s", ERR_PARSE },
    { ".s", ERR_PARSE },
    { "5 s", ERR_PARSE },
    { " 5s", ERR_PARSE },
    { "5s ", ERR_PARSE },
    { "5d", ERR_PARSE },
    { "1e3s", ERR_PARSE },
    { "0x1s", ERR_PARSE },
    { "infs", ERR_PARSE },
    { "1.2.3s", ERR_PARSE },
    { "--1s", ERR_PARSE },
    { "1s-1s", ERR_PARSE },
    { "5S", ERR_PARSE },
    { "9223372036854775808ns", ERR_LIMIT },
    { "2562048h", ERR_LIMIT },
    { "99999999999999999999s", ERR_LIMIT },
    { "2562047h60m", ERR_LIMIT },
};

static void durations_as_go_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good_durations); i++) {
        long long ns = -1;
        if (str_to_duration(good_durations[i].text, &ns) != 0 || ns != good_durations[i].ns)
            fail_msg("%s gave %lld", good_durations[i].text, ns);
    }
}

static void bad_durations_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_durations); i++) {
        long long ns = 4711;
        int code = str_to_duration(bad_durations[i].text, &ns);
        if (code != bad_durations[i].code || ns != 4711)
            fail_msg("'%s' gave %d, %lld", bad_durations[i].text, code, ns);
    }
}

static void whole_numbers_within_a_range(void **state)
{
    (void)state;
    long v = 7;
    assert_int_equal(str_to_long("65535", 0, 65535, &v), 0);
    assert_int_equal(v, 65535);
    assert_int_equal(str_to_long("-5", -5, 5, &v), 0);
    assert_int_equal(v, -5);
    assert_int_equal(str_to_long("65536", 0, 65535, &v), ERR_LIMIT);
    assert_int_equal(str_to_long("99999999999999999999", 0, LONG_MAX, &v), ERR_LIMIT);
    static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "0x10", "1.0", "ten" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(str_to_long(bad[i], 0, 100, &v), ERR_PARSE);
    assert_int_equal(v, -5);
}

static void buffers_grow_and_stay_terminated(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&b, "%03d", i);
    assert_int_equal(b.len, 3000);
    assert_int_equal(strlen(b.p), 3000);
    assert_memory_equal(b.p + 3 * 123, "123", 3);
    strbuf_reset(&b);
    assert_string_equal(b.p, "");
    strbuf_puts(&b, "ab");
    strbuf_putc(&b, 'c');
    strbuf_add(&b, "def", 2);
    char *text = strbuf_steal(&b);
    assert_string_equal(text, "abcde");
    assert_null(b.p);
    free(text);
    text = strbuf_steal(&b);
    assert_string_equal(text, "");
    free(text);
    strbuf_done(&b);
}

static void a_print_that_just_fits(void **state)
{
    (void)state;
    for (int width = 60; width < 70; width++) {
        struct strbuf b = { 0 };
        strbuf_printf(&b, "%*d", width, 1);
        assert_int_equal(strlen(b.p), width);
        strbuf_done(&b);
    }
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_eq("a", "a"));
    assert_false(str_eq("a", "A"));
    assert_true(str_starts("cluster.local", "cluster"));
    assert_false(str_starts("clu", "cluster"));
    assert_true(str_ends("cluster.local", "local"));
    assert_true(str_ends("x", ""));
    assert_false(str_ends("al", "local"));
    char mixed[] = "FoO-\xc3\x84@[Z";
    assert_string_equal(str_lower(mixed), "foo-\xc3\x84@[z");
}

static void json_texts(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    strbuf_json(&b, "");
    strbuf_json(&b, "\"a\\b\"\n c\x01");
    strbuf_json(&b, "Gr\xc3\xbc\xc3\x9f"
                    "e");
    assert_string_equal(b.p, "\"\"\"\\u0022a\\u005cb\\u0022\\u000a c\\u0001\"\"Gr\xc3\xbc\xc3\x9f"
                             "e\"");
    strbuf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_as_go_reads_them),
        cmocka_unit_test(bad_durations_are_refused),
        cmocka_unit_test(whole_numbers_within_a_range),
        cmocka_unit_test(buffers_grow_and_stay_terminated),
        cmocka_unit_test(a_print_that_just_fits),
        cmocka_unit_test(comparisons),
        cmocka_unit_test(json_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
