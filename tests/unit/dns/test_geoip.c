#include "dns/plugins/geoip.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static void test_numbers(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 100, "100" },
        { 52.2242, "52.2242" },
        { -0.1315, "-0.1315" },
        { 1e-7, "0.0000001" },
        { 123456789.125, "123456789.125" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { -180, "-180" },
    };
    char text[GEOIP_NUMBER_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(geoip_number_text(cases[i].v, text), cases[i].text);
    assert_string_equal(geoip_number_text(1.7976931348623157e308, text) + 308, "8"); /* it fits */
}

static void check(const char *options, size_t len, const char *wanted)
{
    struct edns e = { .present = true,
                      .options = (const uint8_t *)options,
                      .options_len = (uint16_t)len };
    struct ip ip = geoip_subnet(&e);
    char text[IP_TEXT_MAX];
    assert_string_equal(ip.family ? ip_text(&ip, text) : "none", wanted);
}

#define CHECK(options, wanted) check(options, sizeof options - 1, wanted)

static void test_subnets(void **state)
{
    (void)state;
    CHECK("", "none");
    CHECK("\0\3\0\0", "none");
    CHECK("\0\10\0\7\0\1\30\0\300\0\2", "192.0.2.0");
    CHECK("\0\3\0\1x\0\10\0\10\0\1\40\0\300\0\2\7", "192.0.2.7");
    CHECK("\0\10\0\10\0\2\40\0\40\1\15\270", "2001:db8::");
    CHECK("\0\10\0\4\0\0\0\0", "0.0.0.0");
    CHECK("\0\10\0\4\0\1\30\0", "none");              /* too few bytes */
    CHECK("\0\10\0\11\0\1\50\0\300\0\2\7\1", "none"); /* too many bits */
    CHECK("\0\10\0\5\0\3\10\0\12", "none");           /* no such family */
    CHECK("\0\10\0\5\0\0\10\0\12", "none");           /* bits without a family */
    CHECK("\0\10\0\20\0\1\10\0\12", "none");          /* longer than the options */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_subnets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
