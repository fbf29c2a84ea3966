#include "base/mem.h"
#include "base/str.h"
#include "config/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool quiet;
static const char *conf;
static long port;
static long long wait_ns;
static struct flag_list ips;
static const char *default_ips[] = { "::1", "127.0.0.1" };

static const struct flag flags[] = {
    { "quiet", FLAG_BOOL, &quiet, NULL, "Says nothing." },
    { "conf", FLAG_STRING, &conf, "FILE", "The Corefile." },
    { "dns.port", FLAG_INT, &port, "N", "Port of keys without one." },
    { "p", FLAG_INT, &port, "N", "The same." },
    { "wait", FLAG_DURATION, &wait_ns, "TIME", "How long to wait." },
    { "localip", FLAG_LIST, &ips, "A,B", "Addresses; see a\\b." },
};

static const struct command command = {
    .name = "dns",
    .also = "coredns",
    .args = "[NAME]",
    .summary = "the DNS server",
    .details = "First paragraph.\n.starts with a dot\n\nSecond one.",
};

static int setup(void **state)
{
    (void)state;
    quiet = false;
    conf = "Corefile";
    port = 53;
    wait_ns = 90500000000LL;
    ips = (struct flag_list){ default_ips, 2 };
    return 0;
}

#define MAX_ARGS 12

/* Runs the blank-separated line; the result is in the variables, "left" and e. */
static int parse(const char *line, char *left, size_t size, struct err *e)
{
    char *words = xstrdup(line), *argv[MAX_ARGS + 1], *rest = NULL;
    int argc = 0, n = -1;
    for (char *w = strtok_r(words, " ", &rest); w && argc < MAX_ARGS;
         w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    argv[argc] = NULL;
    int r = flags_parse(&command, flags, ARRAY_SIZE(flags), argc, argv, &n, e);
    left[0] = 0;
    for (int i = 0; r == 0 && i < n; i++)
        snprintf(left + strlen(left), size - strlen(left), "%s;", argv[i]);
    conf = r == 0 && strcmp(conf, "Corefile") != 0 ? (str_eq(conf, "x") ? "x" : "other") : conf;
    free(words);
    return r;
}

static void test_spellings(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "dns -conf x -p 5 -quiet",
        "dns --conf x --p 5 --quiet",
        "dns -conf=x -p=5 -quiet=true",
        "dns --conf=x --p=5 --quiet=1",
        "dns --dns.port 5 -conf x --quiet=T",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char left[64];
        struct err e = { 0 };
        setup(NULL);
        if (parse(lines[i], left, sizeof left, &e) < 0)
            fail_msg("%s", e.text);
        assert_string_equal(left, "");
        assert_string_equal(conf, "x");
        assert_int_equal(port, 5);
        assert_true(quiet);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    char left[64];
    assert_int_equal(parse("dns a -quiet false - -p -7 b -- -conf --", left, sizeof left, NULL), 0);
    assert_string_equal(left, "a;false;-;b;-conf;--;");
    assert_true(quiet);
    assert_int_equal(port, -7);
    assert_string_equal(conf, "Corefile");
    assert_int_equal(parse("dns", left, sizeof left, NULL), 0);
    assert_string_equal(left, "");
}

static void test_values(void **state)
{
    (void)state;
    char left[64];
    assert_int_equal(parse("dns -localip ::2,::3 --wait 1m -localip=::4 -p 1 -p 2 -quiet=false",
                           left, sizeof left, NULL),
                     0);
    assert_int_equal(wait_ns, 60000000000LL);
    assert_int_equal(port, 2);
    assert_false(quiet);
    assert_int_equal(ips.n, 3);
    assert_string_equal(ips.items[0], "::2");
    assert_string_equal(ips.items[2], "::4");
    flag_list_done(&ips);
    assert_int_equal(ips.n, 0);
    assert_int_equal(parse("dns -localip=", left, sizeof left, NULL), 0);
    assert_int_equal(ips.n, 0);
}

static const struct {
    const char *line, *error;
} bad[] = {
    { "dns -nope", "unknown flag -nope: \"signpost dns --help\" lists them all" },
    { "dns --con=3", "unknown flag --con: \"signpost dns --help\" lists them all" },
    { "dns -conf", "the flag --conf needs a value: FILE" },
    { "dns -p x", "invalid value \"x\" for --p: give a whole number" },
    { "dns -p 99999999999999999999", "invalid value" },
    { "dns -wait 5",
      "invalid value \"5\" for --wait: give a duration such as 500ms, 30s or 1h30m" },
    { "dns -quiet=maybe", "invalid value \"maybe\" for --quiet: give true or false" },
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e = { 0 };
        char left[64];
        assert_int_equal(parse(bad[i].line, left, sizeof left, &e), ERR_INVALID);
        if (!str_starts(e.text, bad[i].error))
            fail_msg("%s: %s", bad[i].line, e.text);
    }
}

typedef void show_fn(const struct command *, const struct flag *, size_t, FILE *);

static char *shown(show_fn *show)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    show(&command, flags, ARRAY_SIZE(flags), f);
    fclose(f);
    return text;
}

static void assert_shows(show_fn *show, const char *const *words)
{
    char *text = shown(show);
    for (; *words; words++)
        if (!strstr(text, *words))
            fail_msg("\"%s\" is not in:\n%s", *words, text);
    free(text);
}

static void test_help(void **state)
{
    (void)state;
    static const char *const words[] = {
        "Usage: signpost dns [flags] [NAME]\n\nthe DNS server\n",
        "Second one.\n",
        "\n  --quiet                     Says nothing.\n",
        "\n  --conf FILE                 The Corefile. (default Corefile)\n",
        "\n  -p N ",
        "(default 53)",
        "(default 1m30s500ms)",
        "(default ::1,127.0.0.1)",
        NULL,
    };
    assert_shows(flags_help, words);
}

static void test_man(void **state)
{
    (void)state;
    static const char *const words[] = {
        ".Dt SIGNPOST-DNS 8\n",
        "\n.Op Fl Fl conf Ar \\&FILE\n",
        "\n.It Fl p Ar \\&N\n",
        "\n\\&.starts with a dot\n.Pp\nSecond one.\n",
        "see a\\eb.\nThe default",
        "\n.Nm coredns\n",
        NULL,
    };
    assert_shows(flags_man, words);
}

static void test_completion(void **state)
{
    (void)state;
    static const char *const words[] = {
        "_signpost_dns() {\n",
        "\n    -conf|--conf) COMPREPLY=($(compgen -f",
        "\n    -dns.port|--dns.port|-p|--p|",
        "'--quiet --conf --dns.port -p --wait --localip --help'",
        "complete -F _signpost_dns coredns\n",
        NULL,
    };
    assert_shows(flags_completion, words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_spellings, setup),
        cmocka_unit_test_setup(test_arguments, setup),
        cmocka_unit_test_setup(test_values, setup),
        cmocka_unit_test_setup(test_bad, setup),
        cmocka_unit_test_setup(test_help, setup),
        cmocka_unit_test_setup(test_man, setup),
        cmocka_unit_test_setup(test_completion, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
