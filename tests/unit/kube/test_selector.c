#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kube/selector.h"

static const struct label labels[] = {
    { "app", "web" }, { "tier", "front" }, { "empty", "" }, { "n", "7" }, { "example.com/x", "y" },
};
static const struct meta meta = { .labels = labels, .n_labels = 5 };

static void match(const char *text, bool want)
{
    struct arena a;
    struct err e;
    const struct selector *s;
    arena_init(&a, 512);
    if (selector_parse(text, &a, &s, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    if (selector_match(s, &meta) != want)
        fail_msg("%s: matches: %d", text, !want);
    arena_done(&a);
}

static void test_match(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "",
        " ",
        "app",
        "!legacy",
        "! legacy",
        "app=web",
        "app==web",
        " app = web ",
        "app!=db",
        "legacy!=x",
        "app in (web)",
        "app in (db, web)",
        "app in(db,web)",
        "app notin (db)",
        "legacy notin (a,b)",
        "app=web,tier=front",
        "app = web , tier in (front,back),!x",
        "empty=",
        "empty in (,a)",
        "empty in ()",
        "n>6",
        "n < 8",
        "example.com/x=y",
        "example.com/x",
        "app\tin\n(web)",
    };
    static const char *const no[] = {
        "legacy",   "!app",          "app=db",
        "app!=web", "app in (db)",   "app notin (web,x)",
        "legacy=x", "legacy in (x)", "app=web,tier=back",
        "empty!=",  "app=",          "n>7",
        "n<7",      "app>1",         "legacy<1",
    };
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
        match(yes[i], true);
    for (size_t i = 0; i < ARRAY_SIZE(no); i++)
        match(no[i], false);
    assert_true(selector_match(NULL, &meta));
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *text, *say;
    } bad[] = {
        { ",", "character 1: expected a label key" },
        { "a,", "character 3: expected a label key behind ','" },
        { "a b", "character 3: expected ',', '=', '==', '!=', '<', '>', in or notin" },
        { "a in b", "character 6: expected '(' and a list of values" },
        { "a in (b", "character 8: expected ',' or ')'" },
        { "a in (b c)", "character 9: expected ',' or ')'" },
        { "a=b c=d", "character 5: expected ',' between requirements" },
        { "a=b=c", "character 4: expected ',' between requirements" },
        { "=b", "character 1: expected a label key" },
        { "!", "character 2: expected a label key" },
        { "a/b/c", "character 1: must be a label key" },
        { "a=-x", "character 3: must be a label value" },
        { "a>b", "character 3: expected a whole number" },
        { "!a=b", "character 3: expected ',' between requirements" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct arena a;
        struct err e = { 0 };
        const struct selector *s = NULL;
        arena_init(&a, 512);
        assert_int_equal(selector_parse(bad[i].text, &a, &s, &e), ERR_PARSE);
        if (!strstr(e.text, bad[i].say))
            fail_msg("%s: %s", bad[i].text, e.text);
        assert_null(s);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
