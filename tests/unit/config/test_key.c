#include "base/str.h"
#include "config/corefile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    size_t n;
    const char *first, *last;
} good[] = {
    { "Example.ORG", 1, "example.org.", "example.org." },
    { ".", 1, ".", "." },
    { "example.org.", 1, "example.org.", "example.org." },
    { "tls://example.org:53", 1, "example.org.", "example.org." },
    { "10.0.0.0/8", 1, "10.in-addr.arpa.", "10.in-addr.arpa." },
    { "10.11.12.13/32", 1, "13.12.11.10.in-addr.arpa.", "13.12.11.10.in-addr.arpa." },
    { "10.0.0.0/17", 128, "0.0.10.in-addr.arpa.", "127.0.10.in-addr.arpa." },
    { "10.0.128.0/17", 128, "128.0.10.in-addr.arpa.", "255.0.10.in-addr.arpa." },
    { "10.255.255.255/9", 128, "128.10.in-addr.arpa.", "255.10.in-addr.arpa." },
    { "192.0.2.77/31", 2, "76.2.0.192.in-addr.arpa.", "77.2.0.192.in-addr.arpa." },
    { "0.0.0.0/0", 1, "in-addr.arpa.", "in-addr.arpa." },
    { "128.0.0.0/1", 128, "128.in-addr.arpa.", "255.in-addr.arpa." },
    { "2001:db8::/29", 8, "8.b.d.0.1.0.0.2.ip6.arpa.", "f.b.d.0.1.0.0.2.ip6.arpa." },
    { "fd00:1::/30", 4, "0.0.0.0.0.0.d.f.ip6.arpa.", "3.0.0.0.0.0.d.f.ip6.arpa." },
    { "FD00::/8:5353", 1, "d.f.ip6.arpa.", "d.f.ip6.arpa." },
    { "fd00::/7", 2, "c.f.ip6.arpa.", "d.f.ip6.arpa." },
    { "a\\.b", 1, "a\\.b.", "a\\.b." },
    { "a\\.", 1, "a\\..", "a\\.." },
    { "_tcp.x", 1, "_tcp.x.", "_tcp.x." },
};

static void test_expand(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct zone_list z = { 0 };
        struct err e = { 0 };
        if (zone_expand(good[i].text, &a, &z, &e) < 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_int_equal(z.n, good[i].n);
        assert_string_equal(z.items[0], good[i].first);
        assert_string_equal(z.items[z.n - 1], good[i].last);
    }
    arena_done(&a);
}

static void test_appends(void **state)
{
    (void)state;
    struct zone_list z = { 0 };
    struct arena a;
    arena_init(&a, 1024);
    assert_int_equal(zone_expand("first", &a, &z, NULL), 0);
    assert_int_equal(zone_expand("10.0.0.0/15", &a, &z, NULL), 0);
    assert_int_equal(zone_expand("last", &a, &z, NULL), 0);
    assert_int_equal(z.n, 4);
    assert_string_equal(z.items[0], "first.");
    assert_string_equal(z.items[2], "1.10.in-addr.arpa.");
    assert_string_equal(z.items[3], "last.");
    arena_done(&a);
}

#define LABEL63 "123456789012345678901234567890123456789012345678901234567890123"

static const char *const bad[] = {
    "",
    "..",
    ".a",
    "a..b",
    "a:",
    "::1/128",
    "0::/64",
    "a:99999",
    "a:-1",
    "a\\",
    "a\\999",
    LABEL63 "4",
    LABEL63 "." LABEL63 "." LABEL63 "." LABEL63,
    LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 "." LABEL63,
};

static void test_refused(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct zone_list z = { 0 };
        struct err e = { 0 };
        if (zone_expand(bad[i], &a, &z, &e) == 0)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_true(e.text[0]);
        assert_int_equal(z.n, 0);
    }
    arena_done(&a);
}

/* 255 bytes on the wire are allowed: four labels of 63, 63, 63 and 61. */
static void test_longest(void **state)
{
    (void)state;
    struct zone_list z = { 0 };
    struct arena a;
    char name[] = LABEL63 "." LABEL63 "." LABEL63 "." LABEL63;
    arena_init(&a, 1024);
    name[strlen(name) - 2] = 0;
    assert_int_equal(zone_expand(name, &a, &z, NULL), 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
