/* The ConfigMap kube-dns as a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/settings.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void put(const char *name, const char *text, size_t len)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void take_away(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_settings.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const names[] = { "stubDomains", "upstreamNameservers", "federations",
                                         "..data" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        take_away(names[i]);
    return rmdir(folder);
}

static void nothing_set(void **state)
{
    (void)state;
    const char *const dirs[] = { NULL, "/nonexistent/kube-dns", folder };
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        struct node_settings s;
        struct err e = { 0 };
        assert_int_equal(settings_read(dirs[i], &s, &e), 0);
        assert_null(s.upstreams);
        assert_int_equal(s.n_stubs, 0);
        settings_done(&s);
    }
}

#define PUT(name, text) put(name, text, sizeof(text) - 1)

static void all_set(void **state)
{
    (void)state;
    struct node_settings s;
    struct err e = { 0 };
    PUT("stubDomains", "{\"z.example\": [\"10.1.1.1\"], \"a-1.example\": [\"10.1.1.2:5353\", "
                       "\"[fd00::1]:54\"]}\n");
    PUT("upstreamNameservers", "[\"8.8.8.8\", \"2.2.2.2:10053\", \"2001:db8::1\"]");
    PUT("federations", "{}");
    PUT("..data", "not a key");
    assert_int_equal(settings_read(folder, &s, &e), 0);
    assert_string_equal(s.upstreams, "8.8.8.8 2.2.2.2:10053 2001:db8::1");
    assert_int_equal(s.n_stubs, 2);
    assert_string_equal(s.stubs[0].domain, "a-1.example");
    assert_string_equal(s.stubs[0].servers, "10.1.1.2:5353 [fd00::1]:54");
    assert_string_equal(s.stubs[1].servers, "10.1.1.1");
    assert_string_equal(s.passed_over, "federations");
    settings_done(&s);
}

#define BAD(name, text, say)                                                                       \
    {                                                                                              \
        name, text, sizeof(text) - 1, say                                                          \
    }

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t len;
        const char *say;
    } cases[] = {
        BAD("stubDomains", "{\"x_y\": [\"10.1.1.1\"]}", "'x_y' is no DNS subdomain"),
        BAD("stubDomains", "{\"-x\": [\"10.1.1.1\"]}", "'-x' is no DNS subdomain"),
        BAD("stubDomains", "{\"x-.y\": [\"10.1.1.1\"]}", "'x-.y' is no DNS subdomain"),
        BAD("stubDomains", "{\"x..y\": [\"10.1.1.1\"]}", "'x..y' is no DNS subdomain"),
        BAD("stubDomains", "{\"x {\\n}\": [\"10.1.1.1\"]}", "is no DNS subdomain"),
        BAD("stubDomains", "{\"\": [\"10.1.1.1\"]}", "'' is no DNS subdomain"),
        BAD("stubDomains", "{\"x\": \"10.1.1.1\"}", "stubDomains: x: give a list"),
        BAD("stubDomains", "{\"x\": []}", "stubDomains: x: without a name server"),
        BAD("stubDomains", "{\"x\": [\"host\"]}", "host is no IP address"),
        BAD("stubDomains", "{\"x\": [[\"10.1.1.1\"]]}", "is no IP address"),
        BAD("stubDomains", "[]", "give an object of lists"),
        BAD("stubDomains", "{", "stubDomains"),
        BAD("stubDomains", "{\"x\": [\"10.1.1.1\"]} {}", "has one JSON value"),
        BAD("stubDomains", "{\"\xff\": [\"10.1.1.1\"]}", "this is not UTF-8"),
        BAD("stubDomains", "{\"\xe2\x82\": []}", "this is not UTF-8"),
        BAD("upstreamNameservers", "[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\"]",
            "4 name servers; at most 3"),
        BAD("upstreamNameservers", "[\"1.1.1.1:99999\"]", "is no IP address"),
        BAD("upstreamNameservers", "{\"a\": 1}", "give a list"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct node_settings s = { 0 };
        struct err e = { 0 };
        put(cases[i].name, cases[i].text, cases[i].len);
        assert_true(settings_read(folder, &s, &e) < 0);
        if (!strstr(e.text, cases[i].say) || strncmp(e.text, folder, strlen(folder)) != 0)
            fail_msg("%s: %s", cases[i].text, e.text);
        take_away(cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_set),
        cmocka_unit_test(refused),
        cmocka_unit_test(all_set),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
