#include "dns/plugins/rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* NULL: no match. */
static const char *mapped(enum map_kind kind, const char *from, const char *to, const char *text)
{
    static char out[NAME_TEXT_MAX];
    struct name_map m = { .kind = kind, .from = from, .to = to };
    if (kind == MAP_REGEX)
        assert_int_equal(regex_compile(from, &m.re, NULL), 0);
    enum map_outcome o = name_map_apply(&m, text, out);
    assert_int_equal(name_map_matches(&m, text), o != MAP_NONE);
    regex_free(m.re);
    return o == MAP_NONE ? NULL : o == MAP_TOO_LONG ? "too long" : out;
}

static void test_kinds(void **state)
{
    (void)state;
    assert_string_equal(mapped(MAP_EXACT, "a.b.", "c.", "A.b."), "c.");
    assert_null(mapped(MAP_EXACT, "a.b.", "c.", "x.a.b."));
    assert_string_equal(mapped(MAP_PREFIX, "a.", "bb.", "a.x."), "bb.x.");
    assert_null(mapped(MAP_PREFIX, "a.", "b.", "aa.x."));
    assert_string_equal(mapped(MAP_SUFFIX, ".b.", ".c.d.", "x.B."), "x.c.d.");
    assert_string_equal(mapped(MAP_SUFFIX, "b.", "c.", "xb."), "xc.");
    assert_null(mapped(MAP_SUFFIX, ".b.", ".c.", "b."));
    assert_string_equal(mapped(MAP_SUBSTRING, "x.", "yy.", "x.a.x.x."), "yy.a.yy.yy.");
    assert_null(mapped(MAP_SUBSTRING, "x.", "y.", "xa."));
    assert_string_equal(mapped(MAP_BELOW, "b.c.", "d.", "b.c."), "d.");
    assert_string_equal(mapped(MAP_BELOW, "b.c.", "d.", "a.B.c."), "a.d.");
    assert_null(mapped(MAP_BELOW, "b.c.", "d.", "ab.c."));
    assert_null(mapped(MAP_BELOW, ".", "d.", "a."));
    assert_string_equal(mapped(MAP_BELOW, ".", "d.", "."), "d.");
}

static void test_regex(void **state)
{
    (void)state;
    assert_string_equal(mapped(MAP_REGEX, "(.*)-(.*)\\.x\\.", "{2}.{1}.y", "a-b.x."), "b.a.y");
    assert_string_equal(mapped(MAP_REGEX, "b(c)?", "{0}|{1}|{9}|{|{x}|{1", "abd"), "b|||{|{x}|{1");
    assert_null(mapped(MAP_REGEX, "^b", "x", "ab"));
}

static void test_too_long(void **state)
{
    char text[NAME_TEXT_MAX], to[NAME_TEXT_MAX];
    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    memcpy(to, text, sizeof to);
    assert_string_equal(mapped(MAP_EXACT, text, to, text), to); /* fits to the last byte */
    assert_string_equal(mapped(MAP_SUBSTRING, "a", "bb", text), "too long");
    assert_string_equal(mapped(MAP_REGEX, "(.*)", "{1}{1}", text), "too long");
    assert_string_equal(mapped(MAP_PREFIX, "a", "bb", text), "too long");
}

static void test_groups_used(void **state)
{
    int highest;
    (void)state;
    assert_int_equal(map_groups_used("{1}.{2}.{1}", &highest), 2);
    assert_int_equal(highest, 2);
    assert_int_equal(map_groups_used("a{x}{}{1234}", &highest), 0);
    assert_int_equal(highest, -1);
}

/* Options as text: "code:data ...". */
static const char *edited(const char *options, size_t n, uint16_t code, enum option_action action,
                          const char *data)
{
    static char text[256];
    struct arena a;
    struct edns edns = { .present = true,
                         .options = (const uint8_t *)options,
                         .options_len = (uint16_t)n };
    uint16_t len = 0;
    arena_init(&a, 1024);
    const uint8_t *out =
        options_edit(&a, &edns, code, action, (const uint8_t *)data, (uint16_t)strlen(data), &len);
    struct cursor c = cursor_of(out, len);
    text[0] = 0;
    while (out && cursor_left(&c)) {
        uint16_t k = cursor_u16(&c), m = cursor_u16(&c);
        const uint8_t *p = cursor_take(&c, m);
        assert_non_null(p);
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%u:%.*s ", k, (int)m,
                       (const char *)p);
    }
    arena_done(&a);
    return out ? text : NULL;
}

static void test_options(void **state)
{
    static const char two[] = "\0\5\0\1a\0\7\0\0\0\5\0\2bc";
    const size_t n = sizeof two - 1;
    (void)state;
    assert_string_equal(edited(two, n, 5, OPTION_SET, "x"), "5:x 7: 5:bc ");
    assert_string_equal(edited(two, n, 5, OPTION_APPEND, "x"), "5:a 7: 5:bc 5:x ");
    assert_string_equal(edited(two, n, 5, OPTION_REPLACE, ""), "5: 7: 5:bc ");
    assert_string_equal(edited(two, n, 5, OPTION_UNSET, ""), "7: ");
    assert_string_equal(edited(two, n, 9, OPTION_SET, "x"), "5:a 7: 5:bc 9:x ");
    assert_null(edited(two, n, 9, OPTION_REPLACE, "x"));
    assert_null(edited(two, n, 9, OPTION_UNSET, ""));
    assert_string_equal(edited(NULL, 0, 9, OPTION_SET, "x"), "9:x ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),    cmocka_unit_test(test_regex),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_groups_used),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
