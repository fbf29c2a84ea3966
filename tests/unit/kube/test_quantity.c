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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_quantities) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
