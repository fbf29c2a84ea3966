#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct capture {
    char *p;
    size_t n;
    FILE *f;
};

static FILE *begin(struct capture *c)
{
    *c = (struct capture){ 0 };
    c->f = open_memstream(&c->p, &c->n);
    assert_non_null(c->f);
    return c->f;
}

static void expect(struct capture *c, const char *want)
{
    fclose(c->f);
    assert_string_equal(c->p, want);
    free(c->p);
}

static void test_columns(void **state)
{
    (void)state;
    struct table t;
    struct capture c;
    table_init(&t, "Walk");
    table_column(&t, "name", TABLE_LEFT);
    table_column(&t, "ms", TABLE_RIGHT);
    table_column(&t, "", TABLE_LEFT);
    table_cell(&t, TABLE_PLAIN, "bar");
    table_cell(&t, TABLE_GOOD, "%.1f", 12.5);
    table_cell(&t, TABLE_PLAIN, "won");
    table_cell(&t, TABLE_PLAIN, "%s", "a-longer-name");
    table_cell(&t, TABLE_PLAIN, "3");
    table_end_row(&t);
    table_end_row(&t);
    table_print(&t, begin(&c));
    expect(&c, "Walk\n"
               "  name             ms\n"
               "  bar            12.5  won\n"
               "  a-longer-name     3\n");
    table_done(&t);
}

static void test_bare(void **state)
{
    (void)state;
    struct table t;
    struct capture c;
    table_init(&t, NULL);
    table_column(&t, "", TABLE_LEFT);
    table_column(&t, "", TABLE_RIGHT);
    table_cell(&t, TABLE_PLAIN, "a");
    table_cell(&t, TABLE_PLAIN, "1");
    table_cell(&t, TABLE_PLAIN, "open row");
    table_print(&t, begin(&c));
    expect(&c, "a         1\nopen row\n");
    table_done(&t);
    table_init(&t, NULL);
    table_print(&t, begin(&c));
    expect(&c, "");
    table_done(&t);
    table_done(NULL);
}

static void test_widths(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int width;
    } rows[] = {
        { "", 0 },          { "abc", 3 },      { "é", 1 },
        { "e\xcc\x81", 1 }, { "名前", 4 },     { "😀", 2 },
        { "…", 1 },         { "█", 1 },        { "\xff", 1 },
        { "\xc3", 1 },      { "\xc0\x80", 2 }, { "\xed\xa0\x80", 1 },
        { "a\nb", 3 },      { "\x1b[31m", 5 }, { "a\xe2\x80\xae", 2 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(text_width(rows[i].text), rows[i].width);
}

/* Bytes from outside must not reach the terminal as commands. */
static void test_clean(void **state)
{
    (void)state;
    struct table t;
    struct capture c;
    table_init(&t, NULL);
    table_column(&t, "", TABLE_LEFT);
    table_cell(&t, TABLE_PLAIN, "\x1b[2Jx\ny\xff\xe2\x80\xae名");
    table_print(&t, begin(&c));
    expect(&c, "?[2Jx?y??名\n");
    table_done(&t);
    tone_line(begin(&c), TABLE_BAD, "a\tb  ");
    expect(&c, "a?b\n");
}

static void test_limit(void **state)
{
    (void)state;
    struct table t;
    struct capture c;
    table_init(&t, NULL);
    table_column(&t, "", TABLE_LEFT);
    table_limit(&t, 4);
    table_column(&t, "", TABLE_LEFT);
    const char *const texts[] = { "abcd", "abcde", "名前名", "a名前" };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        table_cell(&t, TABLE_PLAIN, "%s", texts[i]);
        table_cell(&t, TABLE_PLAIN, "|");
    }
    table_print(&t, begin(&c));
    expect(&c, "abcd  |\nabc…  |\n名…   |\na名…  |\n");
    table_done(&t);
}

static void test_bars(void **state)
{
    (void)state;
    struct capture c;
    const struct bar bars[] = { { "web-1", 200, TABLE_GOOD },
                                { "b", 99, TABLE_PLAIN },
                                { "c", 1, TABLE_PLAIN },
                                { "none", 0, TABLE_BAD } };
    bars_print(begin(&c), "300 requests", bars, ARRAY_SIZE(bars), 10);
    expect(&c, "300 requests\n"
               "  web-1  ██████████  200  66.7%\n"
               "  b      █████        99  33.0%\n"
               "  c      ▏             1   0.3%\n"
               "  none                 0   0.0%\n");
    bars_print(begin(&c), NULL, bars + 3, 1, 10);
    expect(&c, "none    0  0.0%\n");
}

/* A file is no terminal; with NO_COLOR, not even a terminal would be coloured. */
static void test_colour(void **state)
{
    (void)state;
    struct capture c;
    FILE *tty = fopen("/dev/tty", "w"), *f = begin(&c);
    unsetenv("NO_COLOR");
    assert_false(text_colour(f));
    if (tty) {
        assert_true(text_colour(tty));
        setenv("NO_COLOR", "1", 1);
        assert_false(text_colour(tty));
        setenv("NO_COLOR", "", 1);
        assert_true(text_colour(tty));
        fclose(tty);
    }
    expect(&c, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_bare),  cmocka_unit_test(test_widths),
        cmocka_unit_test(test_clean),   cmocka_unit_test(test_limit), cmocka_unit_test(test_bars),
        cmocka_unit_test(test_colour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
