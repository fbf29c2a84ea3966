#include "dns/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool found(const char *pattern, const char *text)
{
    struct regex *re;
    struct err e = { 0 };
    if (regex_compile(pattern, &re, &e) < 0)
        fail_msg("%s: %s", pattern, e.text);
    bool found = regex_match(re, text, strlen(text), NULL);
    regex_free(re);
    return found;
}

static void test_finds(void **state)
{
    (void)state;
    assert_true(found("b", "abc"));
    assert_false(found("^b", "abc"));
    assert_true(found("c$", "abc"));
    assert_false(
        found("c$", "abc\n")); /* "$" is the end and not the place before a final newline */
    assert_true(found("(?i)ABC", "abc"));
    assert_true(found("(?P<n>a)(?:b)c*?", "abc"));
    assert_true(found("(?is-U:A.B)", "a\nb"));
    assert_true(found("[]a]x[^]b]", "]xc"));
    assert_true(found("[[:alpha:]]+\\d{2,3}", "ab123"));
    assert_true(found("\\Qa++(?=\\E", "a++(?="));
    assert_true(found("a\\++", "a+++"));
    assert_true(found("[(?=*+]+", "(?="));
    assert_true(found("", ""));
}

static void test_refuses_what_the_dialect_lacks(void **state)
{
    static const char *const cases[][2] = {
        { "a(?=b)", "look-ahead" },
        { "a(?!b)", "look-ahead" },
        { "(?<=a)b", "look-behind" },
        { "(?<!a)b", "look-behind" },
        { "(a)\\1", "backreferences" },
        { "(?P<n>a)(?P=n)", "backreferences" },
        { "(?P>n)", "backreferences" },
        { "(?>a)", "this kind of group" },
        { "(?|a)", "this kind of group" },
        { "(?R)", "this kind of group" },
        { "(?#c)", "this kind of group" },
        { "(?ix)a", "this kind of group" },
        { "(?", "this kind of group" },
        { "(*ACCEPT)", "verbs" },
        { "a++", "possessive" },
        { "a*+", "possessive" },
        { "a?+", "possessive" },
        { "a{1,2}+", "possessive" },
        { "a\\\\++", "possessive" },
        { "\\Ka", "this escape" },
        { "\\R", "this escape" },
        { "[\\R]", "this escape" },
        { "\\Z", "this escape" },
        { "(a", "invalid regular expression" },
        { "[a", "invalid regular expression" },
        { "a\\", "invalid regular expression" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct regex *re = NULL;
        struct err e = { 0 };
        assert_true(regex_compile(cases[i][0], &re, &e) < 0);
        if (!strstr(e.text, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], e.text);
        assert_null(re);
    }
}

static void test_groups(void **state)
{
    struct regex *re;
    struct regex_match m;
    size_t n;
    (void)state;
    assert_int_equal(regex_compile("(?P<first>a)?(b)(c)?", &re, NULL), 0);
    assert_int_equal(regex_groups(re), 3);
    assert_int_equal(regex_group(re, "first"), 1);
    assert_int_equal(regex_group(re, "other"), -1);
    assert_true(regex_match(re, "xb", 2, &m));
    assert_memory_equal(regex_text(&m, 0, &n), "b", 1);
    assert_int_equal(n, 1);
    for (unsigned i = 1; i < 5; i += 2) { /* did not take part, or stands behind those that did */
        assert_string_equal(regex_text(&m, i, &n), "");
        assert_int_equal(n, 0);
    }
    assert_string_equal(regex_text(&m, 70, &n), "");
    regex_free(re);
    regex_free(NULL);
}

static void test_limits(void **state)
{
    static char long_pattern[REGEX_PATTERN_MAX + 2];
    char groups[REGEX_GROUPS * 3 + 1] = "";
    struct regex *re;
    (void)state;
    memset(long_pattern, 'a', REGEX_PATTERN_MAX + 1);
    assert_int_equal(regex_compile(long_pattern, &re, NULL), ERR_LIMIT);
    long_pattern[REGEX_PATTERN_MAX] = 0;
    assert_int_equal(regex_compile(long_pattern, &re, NULL), 0);
    regex_free(re);
    for (int i = 0; i < REGEX_GROUPS; i++)
        strcat(groups, "(a)");
    assert_int_equal(regex_compile(groups, &re, NULL), ERR_LIMIT);
    groups[(REGEX_GROUPS - 1) * 3] = 0;
    assert_int_equal(regex_compile(groups, &re, NULL), 0);
    regex_free(re);
    /* Would take longer than anybody waits. */
    assert_false(
        found("^(a*)*(a*)*(a*)*b$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_refuses_what_the_dialect_lacks),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
