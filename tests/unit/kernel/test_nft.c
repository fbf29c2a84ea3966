/* The nft program is run as promised: arguments, text, refusals in words. A script stands in for
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/nft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char folder[] = "/tmp/nft-XXXXXX";

static char *in_folder(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void script(const char *body)
{
    FILE *f = fopen(in_folder("nft"), "we");
    assert_non_null(f);
    (void)fprintf(f, "#!/bin/sh\ncd %s\n%s\n", folder, body);
    (void)fclose(f);
    assert_int_equal(chmod(in_folder("nft"), 0700), 0);
}

static void check_file(const char *name, const char *want)
{
    char text[256] = "";
    FILE *f = fopen(in_folder(name), "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    assert_string_equal(text, want);
}

static int apply(const char *text, bool check, struct err *e)
{
    return nft_program()->apply(nft_program()->ctx, text, strlen(text), check, e);
}

static void test_run(void **state)
{
    (void)state;
    struct err e;
    script("echo \"$@\" >args; echo $LC_ALL >>args; cat >text");
    assert_int_equal(apply("add table ip x\n", false, &e), 0);
    check_file("args", "-f -\nC\n");
    check_file("text", "add table ip x\n");
    assert_int_equal(apply("one\ntwo\n", true, &e), 0);
    check_file("args", "-c -f -\nC\n");
    check_file("text", "one\ntwo\n");
}

/* Far more text than a pipe holds, far more noise than is kept. */
static void test_sizes(void **state)
{
    (void)state;
    struct err e;
    size_t n = 3 << 20;
    char *text = malloc(n + 1);
    assert_non_null(text);
    memset(text, 'x', n);
    text[n] = '\0';
    script("cat | wc -c | tr -d ' ' >text");
    assert_int_equal(apply(text, false, &e), 0);
    check_file("text", "3145728\n");
    free(text);
    script(
        "i=0; while [ $i -lt 3000 ]; do echo \"line of noise $i\" >&2; i=$((i+1)); done; exit 1");
    assert_int_equal(apply("x", false, &e), ERR_REFUSED);
    assert_true(strlen(e.text) < sizeof e.text - 1);
    assert_non_null(strstr(e.text, "status 1: line of noise 0 line of noise 1 "));
    script("cat >/dev/null"); /* does not read all it is given */
    assert_int_equal(apply("x", false, &e), 0);
}

static void test_refusals(void **state)
{
    (void)state;
    struct err e;
    script("echo 'netlink: Error: Could not process rule: Message too long' >&2; exit 1");
    assert_int_equal(apply("x", false, &e), -EMSGSIZE);
    script("echo 'Error: cache initialization failed: Operation not permitted' >&2; exit 1");
    assert_int_equal(apply("x", false, &e), -EPERM);
    script("printf 'a\\tb\\n  ^^^\\n' >&2; exit 3");
    assert_int_equal(apply("x", false, &e), ERR_REFUSED);
    assert_string_equal(e.text, "nft ended with status 3: a b ^^^");
    script("kill -9 $$");
    assert_int_equal(apply("x", false, &e), ERR_REFUSED);
    assert_string_equal(e.text, "nft ended with status 137: it said nothing");
}

static void test_dry(void **state)
{
    (void)state;
    struct nft_dry d;
    struct err e;
    nft_dry_init(&d);
    assert_int_equal(d.backend.apply(d.backend.ctx, "abc", 3, false, &e), 0);
    assert_string_equal(d.last.p, "abc");
    assert_int_equal(d.backend.apply(d.backend.ctx, "def", 3, true, &e), 0);
    assert_string_equal(d.last.p, "abc");
    d.poison = "x";
    assert_int_equal(d.backend.apply(d.backend.ctx, "axb", 3, false, &e), ERR_REFUSED);
    d.max = 2;
    assert_int_equal(d.backend.apply(d.backend.ctx, "abc", 3, false, &e), -EMSGSIZE);
    assert_int_equal(d.n_applied, 3);
    assert_int_equal(d.n_checked, 1);
    nft_dry_done(&d);
}

static int set_up(void **state)
{
    char path[512];
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s:/usr/bin:/bin", folder);
    return setenv("PATH", path, 1);
}

static int tear_down(void **state)
{
    char command[300];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_dry),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
