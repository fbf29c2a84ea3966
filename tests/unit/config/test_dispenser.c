#include "base/str.h"
#include "config/corefile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct corefile *core;

static struct dispenser first_directive(const char *text)
{
    struct err e = { 0 };
    corefile_free(core);
    core = NULL;
    if (corefile_parse(text, strlen(text), "Corefile", NULL, &core, &e) < 0)
        fail_msg("%s", e.text);
    return dispenser_of(&core->blocks[0].directives[0]);
}

static int teardown(void **state)
{
    (void)state;
    corefile_free(core);
    core = NULL;
    return 0;
}

/* The walk of the header's example, as text. */
static void assert_walk(const char *text, const char *expect)
{
    struct dispenser d = first_directive(text);
    struct strbuf out = { 0 };
    while (dispenser_next_directive(&d)) {
        strbuf_printf(&out, "%s(", dispenser_val(&d));
        while (dispenser_next_arg(&d))
            strbuf_printf(&out, "%s,", dispenser_val(&d));
        strbuf_puts(&out, ")");
        while (dispenser_next_block(&d)) {
            strbuf_printf(&out, " %s:", dispenser_val(&d));
            while (dispenser_next_arg(&d))
                strbuf_printf(&out, "%s,", dispenser_val(&d));
        }
        strbuf_puts(&out, ";");
    }
    assert_string_equal(out.p, expect);
    strbuf_done(&out);
}

static void test_walk(void **state)
{
    (void)state;
    assert_walk(".\nd", "d();");
    assert_walk(".\nd a b", "d(a,b,);");
    assert_walk(".\nd {\n}\n", "d();");
    assert_walk(".\nd {\n}\nd x\n", "d();d(x,);");
    assert_walk(".\nd a {\n p\n q r s\n}\nother\nd b {\n t \"\"\n}\nd\n",
                "d(a,) p: q:r,s,;d(b,) t:,;d();");
    assert_walk(".\nd { p q\n r\n}\n", "d() p:q, r:;");
    assert_walk(".\nd \"two\nlines\" b \"{\" {\n \"}\" x\n}\n", "d(two\nlines,b,{,) }:x,;");
    assert_walk(".\nd d {\n d d\n}\nd d\n", "d(d,) d:d,;d(d,);");
}

/* The same lines come from the same place of the snippet, yet they are lines of their own. */
static void test_imported_twice(void **state)
{
    (void)state;
    assert_walk(
        "(s) {\n d a\n}\n(o) {\n p q\n}\n. {\n import s\n import s\n d {\n import o\n import "
        "o\n}\n}\n",
        "d(a,);d(a,);d() p:q, p:q,;");
}

/* Whatever a set-up leaves unread of one repeat does not run into the next. */
static void test_leftovers(void **state)
{
    (void)state;
    struct dispenser d = first_directive(".\nd a {\n p {\n q\n }\n}\nd b\n");
    assert_true(dispenser_next_directive(&d));
    assert_true(dispenser_next_directive(&d));
    assert_true(dispenser_next_arg(&d));
    assert_string_equal(dispenser_val(&d), "b");
    assert_false(dispenser_next_arg(&d));
    assert_false(dispenser_next_block(&d));
    assert_false(dispenser_next_directive(&d));
    assert_false(dispenser_next_arg(&d));
    assert_false(dispenser_next_block(&d));
}

static void test_rest(void **state)
{
    (void)state;
    struct dispenser d = first_directive(".\nd a b c {\n p\n}\n");
    const char **args = NULL;
    assert_true(dispenser_next_directive(&d) && dispenser_next_arg(&d));
    assert_int_equal(dispenser_rest(&d, &core->arena, &args), 2);
    assert_string_equal(args[0], "b");
    assert_string_equal(args[1], "c");
    assert_null(args[2]);
    assert_true(dispenser_next_block(&d));
    assert_int_equal(dispenser_rest(&d, &core->arena, &args), 0);
}

static void test_errors(void **state)
{
    (void)state;
    struct dispenser d = first_directive(".\n\nd a {\n p 1\n}\n");
    struct err e = { 0 };
    assert_true(dispenser_next_directive(&d));
    assert_true(dispenser_err(&d, &e, "no %s", "luck") < 0);
    assert_string_equal(e.text, "Corefile:3 - Error during parsing: no luck");
    assert_true(dispenser_next_arg(&d));
    assert_true(dispenser_arg_err(&d, &e) < 0);
    assert_string_equal(e.text, "Corefile:3 - Error during parsing: Wrong argument count or "
                                "unexpected line ending after 'a'");
    assert_true(dispenser_next_block(&d));
    assert_int_equal(dispenser_token(&d)->line, 4);
    assert_true(dispenser_unknown(&d, &e) < 0);
    assert_string_equal(e.text, "Corefile:4 - Error during parsing: unknown property 'p'");
}

static void test_end(void **state)
{
    (void)state;
    struct err e = { 0 };
    struct dispenser d = first_directive(".\nd\nd {\n}\nd x\n");
    assert_true(dispenser_next_directive(&d));
    assert_int_equal(dispenser_end(&d, &e), 0);
    assert_true(dispenser_next_directive(&d));
    assert_true(dispenser_end(&d, &e) < 0);
    assert_string_equal(e.text,
                        "Corefile:3 - Error during parsing: Unexpected token '{', expecting "
                        "argument");
    assert_true(dispenser_next_directive(&d));
    assert_true(dispenser_end(&d, &e) < 0);
    assert_non_null(strstr(e.text, "after 'x'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_walk, teardown),
        cmocka_unit_test_teardown(test_imported_twice, teardown),
        cmocka_unit_test_teardown(test_leftovers, teardown),
        cmocka_unit_test_teardown(test_rest, teardown),
        cmocka_unit_test_teardown(test_errors, teardown),
        cmocka_unit_test_teardown(test_end, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
