/* Scalars of YAML, as kube-apiserver 1.34 was seen to take them. */
#include "registry/yaml_scalar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_reads(const char *text, const char *json)
{
    struct err e = { 0 };
    json_t *v = yaml_scalar(text, &e);
    char *said = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;
    if (!said || strcmp(said, json) != 0)
        fail_msg("%s was read as %s, not %s", text, said ? said : "nothing", json);
    assert_int_equal(yaml_is_text(text), json_is_string(v));
    free(said);
    json_decref(v);
}

static void test_words(void **state)
{
    static const char *const yes[] = { "y",  "Y",  "yes",  "Yes",  "YES", "on",
                                       "On", "ON", "true", "True", "TRUE" };
    static const char *const no[] = { "n",   "N",   "no",    "No",    "NO",   "off",
                                      "Off", "OFF", "false", "False", "FALSE" };
    static const char *const texts[] = { "tRue", "yEs", "nO", "yy", "None", "a" };
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        assert_reads(yes[i], "true");
        assert_reads(no[i], "false");
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(yaml_is_text(texts[i]));
    assert_reads("", "null");
    assert_reads("~", "null");
    assert_reads("Null", "null");
    assert_reads("NULL", "null");
}

static void test_numbers(void **state)
{
    static const char *const pairs[][2] = {
        { "80", "80" },
        { "1_000", "1000" },
        { "0o17", "15" },
        { "017", "15" },
        { "0777", "511" },
        { "089", "89.0" },
        { "0x1F", "31" },
        { "-0x1F", "-31" },
        { "0b11", "3" },
        { "-017", "-15" },
        { "+1", "1" },
        { "-0", "0" },
        { "1e3", "1000.0" },
        { "1E+3", "1000.0" },
        { "1.", "1.0" },
        { ".5", "0.5" },
        { "685_230.15", "685230.15" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "9223372036854775808", "9.22337203685478e18" },
    };
    static const char *const texts[] = { "0x",  "0o8",        "1e",       "1e400", "1:20", "--1",
                                         "+-1", "0x1G",       "1.2.3",    "-",     "+",    ".",
                                         "1 0", "2001-01-01", "10.0.0.1", "0b2",   "._5",  "0x-1" };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_reads(pairs[i][0], pairs[i][1]);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!yaml_is_text(texts[i]))
            fail_msg("%s is no number", texts[i]);
}

static void test_what_json_cannot_say(void **state)
{
    static const char *const texts[] = { ".inf", "-.inf", "+.Inf", ".nan", ".NaN" };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err e = { 0 };
        assert_null(yaml_scalar(texts[i], &e));
        assert_non_null(strstr(e.text, "unsupported value"));
    }
}

static char *read_document(const char *text)
{
    struct arena a;
    struct tree_doc docs;
    struct err e = { 0 };
    arena_init(&a, 4096);
    assert_int_equal(tree_parse(text, strlen(text), "t", &a, &docs, &e), 0);
    json_t *v = yaml_document(docs.documents[0], &e);
    char *said = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    arena_done(&a);
    return said;
}

static void test_keys(void **state)
{
    static const char *const pairs[][2] = {
        { "y: a", "{\"true\":\"a\"}" },
        { "'y': a", "{\"y\":\"a\"}" },
        { "off: a", "{\"false\":\"a\"}" },
        { "017: a", "{\"15\":\"a\"}" },
        { "1.0: a", "{\"1\":\"a\"}" },
        { "12e03: a", "{\"12000\":\"a\"}" },
        { "1e6: a", "{\"1e+06\":\"a\"}" },
        { "685_230.15: a", "{\"685230.1\":\"a\"}" },
        { "100000000000000000000: a", "{\"1e+20\":\"a\"}" },
        { "0.00001: a", "{\"1e-05\":\"a\"}" },
        { ".inf: a", "{\".inf\":\"a\"}" },
        { "a: [y, 'y', 1_0, ~]", "{\"a\":[true,\"y\",10,null]}" },
        { "{\"y\": \"n\", \"1\": 2}", "{\"y\":\"n\",\"1\":2}" }, /* JSON */
        { "a: &x {n: 1}\nb: *x", "{\"a\":{\"false\":1},\"b\":{\"false\":1}}" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *said = read_document(pairs[i][0]);
        assert_non_null(said);
        assert_string_equal(said, pairs[i][1]);
        free(said);
    }
    assert_null(read_document("~: a"));
    assert_null(read_document("a: {null: b}"));
    assert_null(read_document("9223372036854775808: a"));
    assert_null(read_document("a: [1, .nan]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_what_json_cannot_say),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
