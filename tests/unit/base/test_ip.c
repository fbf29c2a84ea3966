#include "base/ip.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct ip ip(const char *text)
{
    struct ip out;
    assert_int_equal(ip_parse(text, &out), 0);
    return out;
}

static void text_both_ways(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "10.96.0.10", "10.96.0.10" },
        { "0.0.0.0", "0.0.0.0" },
        { "::", "::" },
        { "2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
        { "fd00:10:96::a", "fd00:10:96::a" },
        { "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        char out[IP_TEXT_MAX];
        struct ip a = ip(pairs[i][0]);
        assert_string_equal(ip_text(&a, out), pairs[i][1]);
    }
    struct ip none = { 0 };
    char out[IP_TEXT_MAX] = "x";
    assert_string_equal(ip_text(&none, out), "");
}

static void bad_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",          "1",        "1.2.3",        "1.2.3.4.5",
                                       "1.2.3.256", "1.2.3.4 ", "010.0.0.1",    "1.2.3.4/8",
                                       ":::",       "1::2::3",  "fe80::1%eth0", "bar" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct ip out = { .family = 9 };
        assert_int_equal(ip_parse(bad[i], &out), ERR_PARSE);
        assert_int_equal(out.family, 9);
    }
}

static void sloppy_takes_leading_zeros(void **state)
{
    (void)state;
    struct ip out, want = ip("10.0.0.8");
    assert_int_equal(ip_parse_sloppy("010.000.00.008", &out), 0);
    assert_true(ip_equal(&out, &want));
    assert_int_equal(ip_parse_sloppy("fd00::1", &out), 0);
    assert_int_equal(out.family, 6);
    static const char *const bad[] = {
        "",          "1.2.3",    "1..2.3",    ".1.2.3",   "1.2.3.",
        "1.2.3.256", "1.2.3.4.", "1.2.3.4.5", "1.2.3.-4", "1. 2.3.4"
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(ip_parse_sloppy(bad[i], &out), ERR_PARSE);
}

static void prefixes_mask_and_contain(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *inside, *outside;
    } cases[] = {
        { "10.96.0.0/16", "10.96.255.255", "10.97.0.0" },
        { "10.96.3.77/22", "10.96.0.0", "10.96.4.0" },
        { "192.0.2.1/32", "192.0.2.1", "192.0.2.0" },
        { "0.0.0.0/0", "255.1.2.3", "::" },
        { "fd00:10:96::/112", "fd00:10:96::ffff", "fd00:10:96::1:0" },
        { "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::" },
        { "::/0", "ffff::", "1.2.3.4" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ip_prefix p;
        struct ip inside = ip(cases[i].inside), outside = ip(cases[i].outside);
        assert_int_equal(ip_prefix_parse(cases[i].prefix, &p), 0);
        assert_true(ip_prefix_contains(&p, &p.ip));
        assert_true(ip_prefix_contains(&p, &inside));
        assert_false(ip_prefix_contains(&p, &outside));
    }
    struct ip_prefix p;
    struct ip masked = ip("10.96.0.0");
    assert_int_equal(ip_prefix_parse("10.96.3.77/22", &p), 0);
    assert_true(ip_equal(&p.ip, &masked));
}

static void bad_prefixes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "10.0.0.0",    "10.0.0.0/",   "10.0.0.0/33", "::/129", "/8",
                                       "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/ 8", "x/8" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct ip_prefix p;
        assert_int_equal(ip_prefix_parse(bad[i], &p), ERR_PARSE);
    }
}

static void order_is_total(void **state)
{
    (void)state;
    static const char *const sorted[] = { "0.0.0.0", "9.255.0.0", "10.0.0.1", "255.0.0.0",
                                          "::",      "::1",       "fd00::" };
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
        for (size_t k = 0; k < ARRAY_SIZE(sorted); k++) {
            struct ip a = ip(sorted[i]), b = ip(sorted[k]);
            int c = ip_compare(&a, &b);
            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
            assert_int_equal(ip_equal(&a, &b), i == k);
        }
}

static void loopback(void **state)
{
    (void)state;
    struct ip a = ip("127.3.2.1"), b = ip("::1"), c = ip("128.0.0.1"), d = ip("::2"), none = { 0 };
    assert_true(ip_is_loopback(&a));
    assert_true(ip_is_loopback(&b));
    assert_false(ip_is_loopback(&c));
    assert_false(ip_is_loopback(&d));
    assert_false(ip_is_loopback(&none));
}

static void any(void **state)
{
    (void)state;
    struct ip a = ip("0.0.0.0"), b = ip("::"), c = ip("0.0.0.1"), d = ip("::1"), none = { 0 };
    assert_true(ip_is_any(&a));
    assert_true(ip_is_any(&b));
    assert_false(ip_is_any(&c));
    assert_false(ip_is_any(&d));
    assert_false(ip_is_any(&none));
}

static void socket_addresses_both_ways(void **state)
{
    (void)state;
    struct sockaddr_storage sa;
    struct ip v4 = ip("192.0.2.7"), v6 = ip("2001:db8::7"), mapped = ip("::ffff:192.0.2.7"), back;
    assert_int_equal(ip_to_sockaddr(&v4, 53, &sa), sizeof(struct sockaddr_in));
    back = ip_of_sockaddr((struct sockaddr *)&sa);
    assert_true(ip_equal(&back, &v4));
    assert_int_equal(port_of_sockaddr((struct sockaddr *)&sa), 53);
    assert_int_equal(ip_to_sockaddr(&v6, 65535, &sa), sizeof(struct sockaddr_in6));
    back = ip_of_sockaddr((struct sockaddr *)&sa);
    assert_true(ip_equal(&back, &v6));
    assert_int_equal(port_of_sockaddr((struct sockaddr *)&sa), 65535);
    ip_to_sockaddr(&mapped, 1, &sa);
    back = ip_of_sockaddr((struct sockaddr *)&sa);
    assert_true(ip_equal(&back, &v4));
}

static void address_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *ip;
        int port; /* -1: refused */
    } cases[] = {
        { "192.0.2.1", "192.0.2.1", 53 },
        { "192.0.2.1:5353", "192.0.2.1", 5353 },
        { "[::1]:853", "::1", 853 },
        { "[::1]", "::1", 53 },
        { "::1", "::1", 53 },
        { "2001:db8::1:53", "2001:db8::1:53", 53 },
        { "192.0.2.1:", "", -1 },
        { "192.0.2.1:65536", "", -1 },
        { "192.0.2.1:-1", "", -1 },
        { "[::1", "", -1 },
        { "[::1]x", "", -1 },
        { "[::1]:", "", -1 },
        { ":53", "", -1 },
        { "", "", -1 },
        { "localhost:53", "", -1 },
        { "1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222", "", -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ip out;
        uint16_t port = 0;
        char text[IP_TEXT_MAX];
        int ret = ip_port_parse(cases[i].text, 53, &out, &port);
        assert_int_equal(ret, cases[i].port < 0 ? ERR_PARSE : 0);
        if (ret < 0)
            continue;
        assert_string_equal(ip_text(&out, text), cases[i].ip);
        assert_int_equal(port, cases[i].port);
    }
}

static void test_with_port(void **state)
{
    static const char longest[] = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535";
    char out[IP_PORT_TEXT_MAX];
    struct ip ip;
    (void)state;
    assert_true(sizeof longest <= sizeof out);
    assert_int_equal(ip_parse("10.0.0.1", &ip), 0);
    assert_string_equal(ip_port_text(&ip, 53, out), "10.0.0.1:53");
    assert_int_equal(ip_parse("2001:db8::1", &ip), 0);
    assert_string_equal(ip_port_text(&ip, 65535, out), "[2001:db8::1]:65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_port),
        cmocka_unit_test(text_both_ways),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(sloppy_takes_leading_zeros),
        cmocka_unit_test(prefixes_mask_and_contain),
        cmocka_unit_test(bad_prefixes_are_refused),
        cmocka_unit_test(order_is_total),
        cmocka_unit_test(loopback),
        cmocka_unit_test(any),
        cmocka_unit_test(socket_addresses_both_ways),
        cmocka_unit_test(address_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
