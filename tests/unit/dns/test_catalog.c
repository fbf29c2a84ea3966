#include "base/cleanup.h"
#include "dns/plugins/secondary.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

static const uint8_t origin[] = "\3cat\4test";

#define HEAD "$TTL 60\n@ SOA ns root 1 2 3 4 5\n"
#define GOOD HEAD "@ NS invalid.\nversion TXT 2\n"

static int parse(const char *text, struct catalog **ret, struct err *e)
{
    struct zone_builder *b = zone_builder_new(origin);
    struct zone_sink sink = { .record = zone_builder_add, .ctx = b };
    struct zone_data *z;
    assert_int_equal(zone_text_parse(&sink, "text", text, strlen(text), origin, e), 0);
    zone_sink_done(&sink);
    assert_int_equal(zone_builder_end(b, &z, e), 0);
    int code = catalog_parse(z, ret, e);
    zone_data_free(z);
    return code;
}

static void test_members(void **state)
{
    struct catalog *c = NULL;
    struct err e = { 0 };
    (void)state;
    assert_int_equal(parse(GOOD "m1.zones PTR B.test.\n"
                                "coo.m1.zones PTR Other.test.\n"
                                "group.m1.zones TXT g\n"
                                "M2.zones PTR a.test.\n"
                                "x.y.zones PTR deeper.test.\n"
                                "m3.zones A 192.0.2.1\n"
                                "zones PTR top.test.\n"
                                "zonesx PTR beside.test.\n",
                           &c, &e),
                     0);
    assert_int_equal(c->members.n, 2);
    const struct member *m = catalog_find(c, (const uint8_t *)"\1b\4test");
    assert_non_null(m);
    assert_memory_equal(m->id, "\2m1", 3);
    assert_true(name_equal(m->coo, (const uint8_t *)"\5other\4test"));
    m = catalog_find(c, (const uint8_t *)"\1a\4test");
    assert_memory_equal(m->id, "\2m2", 3);
    assert_null(m->coo);
    assert_null(catalog_find(c, (const uint8_t *)"\3top\4test"));
    catalog_free(c);
}

static void test_empty(void **state)
{
    struct catalog *c = NULL;
    (void)state;
    assert_int_equal(parse(GOOD, &c, NULL), 0);
    assert_int_equal(c->members.n, 0);
    assert_null(catalog_find(c, origin));
    catalog_free(c);
}

static void test_broken(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { HEAD "version TXT 2\n", "NS" },
        { HEAD "@ NS invalid.\n", "exactly one version" },
        { GOOD "version TXT 3\n", "exactly one version" },
        { GOOD "version 30 TXT 3\n", "exactly one version" }, /* a set of its own by its TTL */
        { HEAD "@ NS invalid.\nversion TXT 1\n", "version is not" },
        { HEAD "@ NS invalid.\nversion TXT 22\n", "version is not" },
        { GOOD "m.zones PTR a.test.\nm.zones PTR b.test.\n", "exactly one PTR" },
        { GOOD "m.zones PTR a.test.\nn.zones PTR A.test.\n", "two members" },
        { GOOD "m.zones PTR a.test.\ncoo.m.zones PTR x.\ncoo.m.zones PTR y.\n", "more than one" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct catalog *c = NULL;
        struct err e = { 0 };
        assert_true(parse(cases[i].text, &c, &e) < 0);
        assert_null(c);
        if (!strstr(e.text, cases[i].why))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].why, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
