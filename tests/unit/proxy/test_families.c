/* Which families rules are written for, and how health speaks of one that is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "proxy/families.h"
#include "proxy/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct bench {
    struct iptables_dry dry;
    struct ip addresses[FAMILIES];
    char proc[32];
    char said[512];
    bool found[FAMILIES];
    struct err e;
};

static void note(void *ctx, const char *text)
{
    struct bench *b = ctx;
    (void)snprintf(b->said, sizeof b->said, "%s", text);
}

static void bench_init(struct bench *b, bool ipv6)
{
    char path[64];
    *b = (struct bench){ .proc = "/tmp/families-XXXXXX" };
    iptables_dry_init(&b->dry);
    assert_non_null(mkdtemp(b->proc));
    (void)snprintf(path, sizeof path, "%s/net", b->proc);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/net/if_inet6", b->proc);
    if (!ipv6)
        return;
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static void bench_done(struct bench *b)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/net/if_inet6", b->proc);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/net", b->proc);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(b->proc), 0);
    iptables_dry_done(&b->dry);
}

static int find(struct bench *b, const struct iptables_backend *backend)
{
    b->said[0] = '\0';
    return families_find(backend, b->addresses, b->proc, note, b, b->found, &b->e);
}

static void test_both(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true);
    assert_int_equal(find(&b, &b.dry.backend), 0);
    assert_true(b.found[0] && b.found[1]);
    assert_int_equal(find(&b, NULL), 0); /* nftables mode */
    assert_true(b.found[0] && b.found[1]);
    assert_string_equal(b.said, "");
    bench_done(&b);
}

static void test_one_program(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true);
    b.dry.without[1] = true;
    assert_int_equal(find(&b, &b.dry.backend), 0);
    assert_true(b.found[0] && !b.found[1]);
    assert_string_equal(b.said, "Services have no IPv6 addresses on this host: "
                                "dry run: no program for IPv6");
    b.dry.without[0] = true;
    assert_int_equal(find(&b, &b.dry.backend), -ENOENT);
    assert_string_equal(b.e.text, "no IPv4 rules can be written on this host: "
                                  "dry run: no program for IPv4");
    bench_done(&b);
}

static void test_first_family_is_the_nodes(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, true);
    b.dry.without[0] = true;
    assert_int_equal(ip_parse("fd00::1", &b.addresses[1]), 0);
    assert_int_equal(find(&b, &b.dry.backend), 0);
    assert_true(!b.found[0] && b.found[1]);
    assert_int_equal(ip_parse("10.0.0.1", &b.addresses[0]), 0);
    assert_int_equal(find(&b, &b.dry.backend), -ENOENT);
    bench_done(&b);
}

static void test_kernel_without_ipv6(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, false);
    assert_int_equal(find(&b, NULL), 0);
    assert_true(b.found[0] && !b.found[1]);
    assert_true(str_starts(b.said, "Services have no IPv6 addresses on this host: the kernel has"));
    bench_done(&b);
}

static void test_health_of_one(void **state)
{
    (void)state;
    static struct proxy_metrics metrics;
    struct health h;
    struct strbuf text = { 0 };
    health_init(&h, &metrics, "iptables", -1); /* whatever waits has waited for too long */
    health_without(&h, 1);
    health_queued(&h);
    assert_false(health_is_good(&h));
    health_updated(&h, 0);
    assert_true(health_is_good(&h));
    assert_int_equal(health_answer(&h, true, &text), 200);
    assert_non_null(strstr(text.p, "\"status\": {\"IPv4\": {"));
    assert_null(strstr(text.p, "IPv6"));
    strbuf_done(&text);
    health_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_one_program),
        cmocka_unit_test(test_first_family_is_the_nodes),
        cmocka_unit_test(test_kernel_without_ipv6),
        cmocka_unit_test(test_health_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
