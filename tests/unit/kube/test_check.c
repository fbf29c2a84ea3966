#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kube/check.h"

static char long_text[300];

static const char *letters(size_t n)
{
    memset(long_text, 'a', n);
    long_text[n] = 0;
    return long_text;
}

static void test_dns_label(void **state)
{
    (void)state;
    assert_null(check_dns_label("a"));
    assert_null(check_dns_label("1a-b"));
    assert_null(check_dns_label(letters(63)));
    assert_non_null(check_dns_label(letters(64)));
    static const char *const bad[] = { "", "-a", "a-", "A", "a.b", "a_b", "a b", "\xc3\xa4" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(check_dns_label(bad[i]));
}

static void test_dns_subdomain(void **state)
{
    (void)state;
    assert_null(check_dns_subdomain("a"));
    assert_null(check_dns_subdomain("a.b-c.0"));
    static const char *const bad[] = { "", ".", "a.", ".a", "a..b", "a.-b", "A.b" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(check_dns_subdomain(bad[i]));
    memset(long_text, 'a', 254);
    for (size_t i = 63; i < 254; i += 64)
        long_text[i] = '.';
    long_text[253] = 0;
    assert_null(check_dns_subdomain(long_text));
    long_text[253] = 'a';
    long_text[254] = 0;
    assert_non_null(check_dns_subdomain(long_text));
}

static void test_port_name(void **state)
{
    (void)state;
    assert_null(check_port_name("http"));
    assert_null(check_port_name("1a"));
    assert_null(check_port_name(letters(15)));
    assert_non_null(check_port_name(letters(16)));
    static const char *const bad[] = { "", "80", "-a", "a-", "a--b", "Http", "a.b" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(check_port_name(bad[i]));
}

static void test_labels(void **state)
{
    (void)state;
    assert_null(check_label_key("app"));
    assert_null(check_label_key("App_1.x"));
    assert_null(check_label_key("example.com/App"));
    static const char *const bad_keys[] = { "", "/", "a/", "/a", "A/b", "a/b/c", "-a", "a b" };
    for (size_t i = 0; i < sizeof bad_keys / sizeof *bad_keys; i++)
        assert_non_null(check_label_key(bad_keys[i]));
    assert_null(check_label_value(""));
    assert_null(check_label_value("A.b_c-9"));
    assert_null(check_label_value(letters(63)));
    assert_non_null(check_label_value(letters(64)));
    assert_non_null(check_label_value("a b"));
    assert_non_null(check_label_value("a-"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dns_label),
        cmocka_unit_test(test_dns_subdomain),
        cmocka_unit_test(test_port_name),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
