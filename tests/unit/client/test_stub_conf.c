#include "client/stub_conf.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *text;
    struct stub_env env;
    const char *servers, *searches, *ignored;
    int ndots, timeout, attempts;
};

static const struct row rows[] = {
    { NULL, { 0 }, "127.0.0.1", "", "", 1, 5, 2 },
    { "", { .hostname = "h.some.domain" }, "127.0.0.1", "some.domain", "", 1, 5, 2 },
    { "", { .hostname = "h" }, "127.0.0.1", "", "", 1, 5, 2 },
    { "", { .hostname = "h." }, "127.0.0.1", "", "", 1, 5, 2 },
    { "search a b c\nnameserver 10.96.0.10\noptions ndots:5\n",
      { .hostname = "h.x" },
      "10.96.0.10",
      "a b c",
      "",
      5,
      5,
      2 },
    { "nameserver 10.0.0.1\nnameserver fd00::1\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
      { 0 },
      "10.0.0.1 fd00::1 10.0.0.3",
      "",
      "nameserver 10.0.0.4",
      1,
      5,
      2 },
    { " nameserver 10.0.0.1\n\tsearch a\n",
      { 0 },
      "127.0.0.1",
      "",
      " nameserver 10.0.0.1|\tsearch a",
      1,
      5,
      2 },
    { "nameserver\t10.0.0.1 #c\nsearch\ta\tb\n", { 0 }, "10.0.0.1", "a b", "", 1, 5, 2 },
    { "nameserver 10.1\nnameserver x\nnameserver 10.0.0.1x\nnameserver\nnameserver10.0.0.1\n",
      { 0 },
      "10.0.0.1",
      "",
      "nameserver x|nameserver 10.0.0.1x|nameserver|nameserver10.0.0.1",
      1,
      5,
      2 },
    { "search aa bb\ndomain cc dd\n", { 0 }, "127.0.0.1", "cc", "", 1, 5, 2 },
    { "domain cc\nsearch aa bb\n", { 0 }, "127.0.0.1", "aa bb", "", 1, 5, 2 },
    { "search aa\nsearch \nsearch\n", { 0 }, "127.0.0.1", "aa", "search |search", 1, 5, 2 },
    { "# x\n; y\n\n  \nsearch a # b\n", { 0 }, "127.0.0.1", "a # b", "", 1, 5, 2 },
    { "options ndots:20 timeout:99 attempts:9\n", { 0 }, "127.0.0.1", "", "", 15, 30, 5 },
    { "options ndots:x timeout: attempts:0\n", { 0 }, "127.0.0.1", "", "", 0, 0, 0 },
    { "options ndots:-1 ndots:3 wild no-reload\noptions timeout:2",
      { 0 },
      "127.0.0.1",
      "",
      "wild",
      3,
      2,
      2 },
    { "options ndots:-1\n", { 0 }, "127.0.0.1", "", "", 15, 5, 2 },
    { "options ndots:99999999999999999999\n", { 0 }, "127.0.0.1", "", "", 15, 5, 2 },
    { "options ndots:5\n", { .res_options = "ndots:2 attempts:1" }, "127.0.0.1", "", "", 2, 5, 1 },
    { "search a\ndomain b\n",
      { .localdomain = "x y" },
      "127.0.0.1",
      "x y",
      "search a|domain b",
      1,
      5,
      2 },
    { "sortlist 10.0.0.0\n", { 0 }, "127.0.0.1", "", "sortlist 10.0.0.0", 1, 5, 2 },
};

static const char *servers_text(struct arena *a, const struct stub_conf *c)
{
    const char *out = "";
    for (unsigned i = 0; i < c->n_servers; i++) {
        char text[IP_TEXT_MAX];
        assert_int_equal(c->servers[i].port, 53);
        out = arena_printf(a, "%s%s%s", out, i ? " " : "", ip_text(&c->servers[i].ip, text));
    }
    return out;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        struct arena a;
        struct stub_conf c;
        arena_init(&a, 4096);
        stub_conf_parse(r->text, &r->env, &a, &c);
        print_message("  %s\n", r->text ? r->text : "(no file)");
        assert_string_equal(servers_text(&a, &c), r->servers);
        assert_string_equal(strlist_join(&c.searches, &a, " "), r->searches);
        assert_string_equal(strlist_join(&c.ignored, &a, "|"), r->ignored);
        assert_int_equal(c.ndots, r->ndots);
        assert_int_equal(c.timeout, r->timeout);
        assert_int_equal(c.attempts, r->attempts);
        arena_done(&a);
    }
}

static void test_flags(void **state)
{
    (void)state;
    struct arena a;
    struct stub_conf c;
    arena_init(&a, 4096);
    stub_conf_parse("options rotate edns0 single-request\noptions use-vc trust-ad no-aaaa\n", NULL,
                    &a, &c);
    assert_true(c.rotate && c.edns0 && c.single_request && c.use_vc && c.trust_ad && c.no_aaaa);
    assert_false(c.single_request_reopen || c.no_tld_query);
    stub_conf_parse("options single-request-reopen no_tld_query rotated\n", NULL, &a, &c);
    assert_true(c.single_request_reopen && c.no_tld_query && c.rotate);
    assert_false(c.single_request || c.edns0);
    assert_int_equal(c.ignored.n, 0);
    arena_done(&a);
}

static void test_scope(void **state)
{
    (void)state;
    struct arena a;
    struct stub_conf c;
    arena_init(&a, 4096);
    stub_conf_parse("nameserver fe80::1%lo\nnameserver fe80::2%7\n", NULL, &a, &c);
    assert_int_equal(c.n_servers, 2);
    assert_int_equal(c.servers[0].scope, 1);
    assert_int_equal(c.servers[1].scope, 7);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
