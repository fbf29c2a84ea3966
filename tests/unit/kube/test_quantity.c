#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "kube/quantity.h"

static void test_quantities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milli;
    } good[] = {
        { "4", 4000 },     { "3920m", 3920 },  { "0.5", 500 },     { ".5", 500 },
        { "5.", 5000 },    { "1e3", 1000000 }, { "2E-1", 200 },    { "2Ki", 2048000 },
        { "1k", 1000000 }, { "100u", 1 },      { "1n", 1 },        { "0", 0 },
        { "-1", -1000 },   { "+2", 2000 },     { "1.0005", 1001 }, { "1.5Gi", 1610612736000 },
        { "64", 64000 },   { "0.1", 100 },     { "1.1", 1100 },    { "3.3", 3300 }
    };
    static const char *const bad[] = { "",      ".",   "m",   "1 ",   "1mm", "1e", "1e99", "x",
                                       "1.2.3", "0x1", "--1", "1e 3", "1e+", "+",  "+." };
    int64_t milli;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(quantity_milli(good[i].text, &milli), 0);
        assert_int_equal(milli, good[i].milli);
        assert_true(quantity_is(good[i].text));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(quantity_milli(bad[i], &milli), ERR_PARSE);
        assert_int_equal(quantity_is(bad[i]), strcmp(bad[i], "1e99") == 0); /* it is too big only */
    }
    assert_int_equal(quantity_milli("99E", &milli), ERR_LIMIT);
    assert_true(quantity_is("99E"));
}

static void test_canonical(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "0", "0" },
        { "0Gi", "0" },
        { "1000m", "1" },
        { "0.5", "500m" },
        { "1500m", "1500m" },
        { "2000", "2k" },
        { "100", "100" },
        { "1024", "1024" },
        { "1024Mi", "1Gi" },
        { "1.5Gi", "1536Mi" },
        { "512Ki", "512Ki" },
        { "1Ki", "1Ki" },
        { "0.5Ki", "512" },
        { "0.1Ki", "102400m" },
        { "1e3", "1e3" },
        { "12e2", "1200" },
        { "1E6", "1E6" },
        { "1E4", "10e3" },
        { "1E+3", "1E+3" },
        { "1e0", "1e0" },
        { "1000E0", "1e3" },
        { "1.E3", "1.E3" },
        { "1.0E3", "1e3" },
        { "+5k", "+5k" },
        { "+1000m", "1" },
        { "01Ki", "01Ki" },
        { "+1024Ki", "1Mi" },
        { "010m", "010m" },
        { "-0", "0" },
        { "3.141592653589793238462643383279", "3141592654n" },
        { "+1.10", "1100m" },
        { "-2000m", "-2" },
        { "0.1n", "1n" },
        { "16Ei", "9223372036854775807" },
        { "1000000k", "1G" },
        { "1.", "1." },
        { "99999999999999999999999999999", "99999999999999999999999999999" },
        { "x", "x" },
    };
    char out[QUANTITY_TEXT_MAX];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(quantity_canonical(pairs[i][0], 9, out), pairs[i][1]);
    assert_string_equal(quantity_canonical("1n", 3, out), "1m");
    assert_string_equal(quantity_canonical("1.0005", 3, out), "1001m");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_quantities),
                                        cmocka_unit_test(test_canonical) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
