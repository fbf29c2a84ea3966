#include "base/str.h"
#include "config/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct tree_doc parse(const char *text)
{
    struct tree_doc d = { 0 };
    struct err e = { 0 };
    if (tree_parse(text, strlen(text), "f.yaml", &arena, &d, &e) < 0)
        fail_msg("%s\n%s", text, e.text);
    return d;
}

/* {key@line:...}, [..], 'quoted', plain, ~ */
static void dump(struct strbuf *out, const struct tree *t)
{
    const char *quote = t->quoted ? "'" : "";
    if (t->key)
        strbuf_printf(out, "%s@%d:", t->key, t->line);
    if (t->kind == TREE_NULL)
        strbuf_puts(out, "~");
    if (t->kind == TREE_SCALAR)
        strbuf_printf(out, "%s%s%s", quote, t->text, quote);
    if (t->kind < TREE_SEQUENCE)
        return;
    strbuf_putc(out, t->kind == TREE_SEQUENCE ? '[' : '{');
    for (const struct tree *c = t->child; c; c = c->next) {
        dump(out, c);
        strbuf_puts(out, c->next ? "," : "");
    }
    strbuf_putc(out, t->kind == TREE_SEQUENCE ? ']' : '}');
}

static const struct {
    const char *text, *expect;
} good[] = {
    { "", "" },
    { "---\n---\n# nothing\n---\n~\n", "" },
    { "a: 1\nb:\n  - x\n  - \"y\"\n  -\nc: {d: ~, e: 'f'}\n",
      "{a@1:1,b@2:[x,'y',~],c@6:{d@6:~,e@6:'f'}}|" },
    { "a: 1\n---\nb: 2\n...\n---\n- c\n", "{a@1:1}|{b@3:2}|[c]|" },
    { "a: |\n  one\n  two\nb: >-\n  x\n  y\n", "{a@1:'one\ntwo\n',b@4:'x y'}|" },
    { "a: !!str 80\nb: !!int \"80\"\nc: !!null \"\"\n", "{a@1:'80',b@2:80,c@3:~}|" },
    { "\"80\": null\n80x: Null\n", "{80@1:~,80x@2:~}|" },
    { "a: &x {p: 1}\nb: *x\nc: [*x, *x]\n", "{a@1:{p@1:1},b@2:{p@1:1},c@3:[{p@1:1},{p@1:1}]}|" },
    { "a: &x 1\n---\na: &x 2\nb: *x\n", "{a@1:1}|{a@3:2,b@4:2}|" },
    { "a: &x 1\nb: &x 2\nc: *x\n", "{a@1:1,b@2:2,c@3:2}|" },
    { "\"<<\": 1\n", "{<<@1:1}|" },
    { "a: \"\"\nb: ''\n", "{a@1:'',b@2:''}|" },
    { "[]", "[]|" },
    { "\xef\xbb\xbf  {\"a\":[1,-2.5,true,false,null,\"x\"],\n\"b\":{}}\n",
      "{a@1:[1,-2.5,true,false,~,'x'],b@1:{}}|" },
    { "{\"a\":1}\n\n{\"a\":2}{\"a\":3}[4]", "{a@1:1}|{a@3:2}|{a@3:3}|[4]|" },
    { "---\n{\"a\":1}\n---\n{\"a\":2}\n---\nb: 3\n---\n- 4\n", "{a@2:1}|{a@4:2}|{b@6:3}|[4]|" },
    { "{\"a\":\n1}\n  b: 3\n", "{a@1:1}|{b@3:3}|" },
    { "{\"\":\"\\u00e9\"}", "{@1:'\xc3\xa9'}|" },
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct tree_doc d = parse(good[i].text);
        struct strbuf out = { 0 };
        strbuf_puts(&out, "");
        for (size_t k = 0; k < d.n; k++) {
            dump(&out, d.documents[k]);
            strbuf_putc(&out, '|');
        }
        assert_string_equal(out.p, good[i].expect);
        strbuf_done(&out);
    }
}

static void assert_refused(const char *text, size_t len, const char *expect)
{
    struct tree_doc d = { 0 };
    struct err e = { 0 };
    int r = tree_parse(text, len, "f.yaml", &arena, &d, &e);
    if (r >= 0)
        fail_msg("accepted: %.200s", text);
    assert_int_equal(e.code, r);
    assert_int_equal(d.n, 0);
    if (!str_starts(e.text, expect))
        fail_msg("expected \"%s\", have: %s", expect, e.text);
}

static const struct {
    const char *text, *error;
} bad[] = {
    { "a: 1\n\tb: 2\n",
      "f.yaml:2: not valid YAML: found a tab character that violates indentation; indent with " },
    { "a: b: c\n", "f.yaml:1: not valid YAML: mapping values are not allowed" },
    { "a: 1\nb\nc: 2\n", "f.yaml:3: not valid YAML: could not find expected ':'; " },
    { "a: \"x\nb: 1\n", "f.yaml:3: not valid YAML: found unexpected end of stream; " },
    { "a: 1\nb: \x01\n", "f.yaml:2: not valid YAML: control characters are not allowed" },
    { "a: 1\nb: \xff\n", "f.yaml:2: not valid YAML: " },
    { "a: 1\nb: 2\na: 3\n", "f.yaml:3: the key \"a\" is already set in line 1" },
    { "a: &x [*x]\n", "f.yaml:1: the alias *x has no anchor &x before it" },
    { "a: &x 1\n---\nb: *x\n", "f.yaml:3: the alias *x has no anchor" },
    { "a: &x {p: 1}\nb:\n  <<: *x\n", "f.yaml:3: merge keys (<<) are not supported" },
    { "? [a]\n: b\n", "f.yaml:1: a list, a mapping or an alias as a key" },
    { "a: &x k\n*x : b\n", "f.yaml:2: a list, a mapping or an alias as a key" },
    { "a: !vault x\n", "f.yaml:1: the tag !vault is not supported" },
    { "a: !!set {x}\n", "f.yaml:1: the tag tag:yaml.org,2002:set is not supported" },
    { "a: \"x\\0y\"\n", "f.yaml:1: the text holds a NUL character" },
    { "{\"a\":1,\n\"a\":2}", "f.yaml:2: not valid JSON (column 3): duplicate object key" },
    { "{\"a\":1}\n{\"b\":\n", "f.yaml:3: not valid JSON (column 0): " },
    { "{\"a\":1}\n]", "f.yaml:2: not valid YAML: " },
    { "{\"a\":\"\\u0000\"}", "f.yaml:1: not valid JSON" },
    { "a: 1\nb: %x\n", "f.yaml:2: not valid YAML: found character that cannot start any token" },
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_refused(bad[i].text, strlen(bad[i].text), bad[i].error);
    assert_int_equal(tree_parse("[", 1, "f", &arena, NULL, NULL), ERR_PARSE);
    assert_int_equal(tree_parse("a: [", 4, "f", &arena, NULL, NULL), ERR_PARSE);
}

static void test_depth(void **state)
{
    (void)state;
    char text[600];
    struct tree_doc d;
    memset(text, '[', 200);
    memset(text + 200, ']', 200);
    assert_int_equal(tree_parse(text + 100, 200, "f", &arena, &d, NULL), 0);
    assert_refused(text + 99, 202, "f.yaml:1: values are nested deeper than 100 levels");
    memcpy(text + 94, "x: &a ", 6); /* the mapping is a level, too */
    assert_refused(text + 94, 206, "f.yaml:1: values are nested deeper");
}

/* Each line repeats the one before it ten times. */
static void test_alias_growth(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    strbuf_puts(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        strbuf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            strbuf_printf(&b, "%s*a%d", k ? "," : "", i - 1);
        strbuf_puts(&b, "]\n");
    }
    assert_refused(b.p, b.len, "f.yaml:6: aliases repeat more than 1000000 values");
    strbuf_reset(&b);
    strbuf_puts(&b, "a0: &a0 [x]\n");
    for (int i = 1; i < 110; i++)
        strbuf_printf(&b, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    assert_refused(b.p, b.len, "f.yaml:99: values are nested deeper than 100 levels");
    strbuf_done(&b);
}

static void test_many_members(void **state)
{
    (void)state;
    struct strbuf b = { 0 };
    for (int i = 0; i < 100; i++)
        strbuf_printf(&b, "k%d: %d\n", i, i);
    struct tree_doc d = parse(b.p);
    assert_string_equal(tree_str(d.documents[0], "k99"), "99");
    strbuf_puts(&b, "k50: x\n");
    assert_refused(b.p, b.len, "f.yaml:101: the key \"k50\" is already set in line 51");
    strbuf_done(&b);
}

static void test_lookups(void **state)
{
    (void)state;
    const struct tree *t =
        parse("spec:\n  selector: {app: web}\n  ports: [1]\nn: ~\n").documents[0];
    assert_string_equal(tree_str(t, "spec.selector.app"), "web");
    assert_null(tree_str(t, "spec.selector"));
    assert_null(tree_str(t, "spec.select.app"));
    assert_null(tree_str(t, "spec.selector.app.x"));
    assert_null(tree_str(t, "n"));
    assert_null(tree_str(NULL, "n"));
    assert_null(tree_get(t, "spe"));
    assert_null(tree_get(tree_path(t, "spec.ports"), "1"));
    assert_int_equal(tree_path(t, "spec.ports")->kind, TREE_SEQUENCE);
    assert_int_equal(tree_path(t, "spec.ports")->line, 3);
    assert_int_equal(tree_get(t, "n")->kind, TREE_NULL);
    assert_null(tree_text(NULL));
    assert_null(tree_get(NULL, "x"));
    assert_null(tree_path(NULL, "x"));
}

static void test_int(void **state)
{
    (void)state;
    const struct tree *t = parse("p: 80\nq: \"80\"\nn: ~\nneg: -5\noct: 010\nz: 0\nf: 8.0\nl: "
                                 "[1]\nbig: 99999999999999999999")
                               .documents[0];
    struct err e = { 0 };
    long v = 7;
    assert_int_equal(tree_int(t, "p", 1, 65535, &v, &e), 1);
    assert_int_equal(v, 80);
    assert_int_equal(tree_int(t, "neg", -5, 5, &v, &e), 1);
    assert_int_equal(v, -5);
    assert_int_equal(tree_int(t, "z", 0, 5, &v, &e), 1);
    v = 7;
    assert_int_equal(tree_int(t, "none", 1, 65535, &v, &e), 0);
    assert_int_equal(tree_int(t, "n", 1, 65535, &v, &e), 0);
    assert_int_equal(tree_int(NULL, "n", 1, 65535, &v, &e), 0);
    assert_int_equal(tree_int(t, "p", 81, 65535, &v, &e), ERR_INVALID);
    assert_string_equal(e.text, "must be a whole number from 81 to 65535, not \"80\"");
    assert_int_equal(tree_int(t, "q", 1, 65535, &v, &e), ERR_INVALID);
    assert_string_equal(e.text, "must be a whole number from 1 to 65535, not the string \"80\"");
    assert_int_equal(tree_int(t, "l", 1, 2, &v, &e), ERR_INVALID);
    assert_string_equal(e.text, "must be a whole number from 1 to 2, not a list");
    assert_int_equal(tree_int(t, "oct", 0, 100, &v, NULL), ERR_INVALID);
    assert_int_equal(tree_int(t, "f", 0, 100, &v, NULL), ERR_INVALID);
    assert_int_equal(tree_int(t, "big", 0, 100, &v, NULL), ERR_INVALID);
    assert_int_equal(v, 7);
}

static void test_bool(void **state)
{
    (void)state;
    const struct tree *t =
        parse("t: true\nT: TRUE\nf: False\ny: yes\noff: off\nq: \"true\"\nn: null\nx: maybe\nm: {}")
            .documents[0];
    struct err e = { 0 };
    bool v = false;
    assert_true(tree_bool(t, "t", &v, &e) == 1 && v);
    assert_true(tree_bool(t, "f", &v, &e) == 1 && !v);
    assert_true(tree_bool(t, "T", &v, &e) == 1 && v);
    assert_true(tree_bool(t, "off", &v, &e) == 1 && !v);
    assert_true(tree_bool(t, "y", &v, &e) == 1 && v);
    assert_true(tree_bool(t, "n", &v, &e) == 0 && v);
    assert_true(tree_bool(t, "none", &v, &e) == 0 && v);
    assert_int_equal(tree_bool(t, "q", &v, &e), ERR_INVALID);
    assert_string_equal(e.text, "must be true or false, not the string \"true\"");
    assert_int_equal(tree_bool(t, "x", &v, &e), ERR_INVALID);
    assert_int_equal(tree_bool(t, "m", &v, &e), ERR_INVALID);
    assert_true(v);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(test_good),         TREE_TEST(test_bad),     TREE_TEST(test_depth),
        TREE_TEST(test_alias_growth), TREE_TEST(test_lookups), TREE_TEST(test_many_members),
        TREE_TEST(test_int),          TREE_TEST(test_bool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
