/* A runner's process runs its program as promised, and goes when nobody asks any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernel/runner.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static struct runner_reply reply;

static struct runner *runner_of(const char *script)
{
    const char *const argv[] = { "sh", "-c", script, "sh", "one arg", NULL };
    const char *const env[] = { "OWN=mine", "HIDDEN=new" };
    struct runner *r = NULL;
    struct err e;
    assert_int_equal(runner_new(argv, env, 2, &r, &e), 0);
    return r;
}

static int ask(struct runner *r, const char *variable)
{
    struct pollfd p = { .fd = runner_fd(r), .events = POLLIN };
    int code = runner_ask(r, variable);
    if (code < 0)
        return code;
    assert_int_equal(poll(&p, 1, 20000), 1);
    return runner_take(r, &reply);
}

static void test_output(void **state)
{
    (void)state;
    setenv("HIDDEN", "old", 1);
    setenv("INHERITED", "yes", 1);
    struct runner *r = runner_of("echo $1-$OWN-$HIDDEN-$INHERITED-$ASKED; echo said >&2; read x; "
                                 "exit ${STATUS:-3}");
    assert_int_equal(runner_take(r, &reply), 0);
    assert_int_equal(ask(r, "ASKED=first"), 1);
    assert_int_equal(reply.status, 3);
    assert_string_equal(reply.output, "one arg-mine-new-yes-first\n");
    assert_string_equal(reply.said, "said\n");
    assert_int_equal(ask(r, "STATUS=0"), 1);
    assert_int_equal(reply.status, 0);
    assert_string_equal(reply.output, "one arg-mine-new-yes-\n");
    runner_free(r);
}

/* Nothing of ours is open in it, and it can get no rights. */
static void test_what_it_has(void **state)
{
    (void)state;
    struct runner *r = runner_of("ls /proc/self/fd; grep NoNewPrivs /proc/self/status");
    assert_int_equal(ask(r, "X="), 1);
    assert_string_equal(reply.output, "0\n1\n2\n3\nNoNewPrivs:\t1\n"); /* 3: ls reads the folder */
    runner_free(r);
}

static void test_bounds(void **state)
{
    (void)state;
    struct runner *r = runner_of("head -c ${N} /dev/zero | tr '\\0' x; head -c 2000 /dev/zero >&2");
    assert_int_equal(ask(r, "N=65536"), 1);
    assert_int_equal(reply.status, 0);
    assert_int_equal(reply.len, RUNNER_OUTPUT_MAX);
    assert_int_equal(strspn(reply.output, "x"), RUNNER_OUTPUT_MAX);
    assert_int_equal(ask(r, "N=65537"), 1);
    assert_int_equal(reply.status, ERR_LIMIT);
    char *big = xcalloc(1, RUNNER_ASKED_MAX + 2);
    memset(big, 'A', RUNNER_ASKED_MAX + 1);
    assert_int_equal(runner_ask(r, big), -EMSGSIZE);
    free(big);
    runner_free(r);
}

static void test_no_such_program(void **state)
{
    const char *const argv[] = { "/nowhere/program", NULL };
    struct runner *r;
    struct err e;
    (void)state;
    assert_int_equal(runner_new(argv, NULL, 0, &r, &e), 0);
    assert_int_equal(ask(r, "X="), 1);
    assert_int_equal(reply.status, -ENOENT);
    runner_free(r);
}

static void test_end(void **state)
{
    (void)state;
    struct runner *r = runner_of("kill -9 $PPID");
    assert_int_equal(ask(r, "X="), -EPIPE);
    assert_int_equal(runner_ask(r, "X="), -EPIPE);
    runner_free(r);
    r = runner_of("exec sleep 50"); /* nobody waits for it, so it is killed at once */
    assert_int_equal(runner_ask(r, "X="), 0);
    runner_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output), cmocka_unit_test(test_what_it_has),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_no_such_program),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
