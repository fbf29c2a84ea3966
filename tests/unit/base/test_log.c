#include "base/log.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int pipe_fds[2];

static int open_pipe(void **state)
{
    (void)state;
    if (pipe(pipe_fds) < 0)
        return -1;
    log_set_fd(pipe_fds[1]);
    return 0;
}

static int close_pipe(void **state)
{
    (void)state;
    log_set_fd(STDOUT_FILENO);
    close(pipe_fds[0]);
    return close(pipe_fds[1]);
}

/* What was logged so far; the mark makes sure that there is something to read. */
static const char *logged(void)
{
    static char text[16384];
    assert_int_equal(write(pipe_fds[1], "|", 1), 1);
    ssize_t n = read(pipe_fds[0], text, sizeof text - 1);
    assert_true(n > 0 && text[n - 1] == '|');
    text[n - 1] = 0;
    return text;
}

static void levels_below_are_dropped(void **state)
{
    (void)state;
    log_debug("%s", "unseen");
    log_info("plugin/%s: %d", "ready", 1);
    assert_string_equal(logged(), "[INFO] plugin/ready: 1\n");
    log_set_level(LOG_DEBUG);
    log_debug("seen");
    assert_string_equal(logged(), "[DEBUG] seen\n");
    log_set_level(LOG_ERROR);
    log_info("unseen");
    log_warning("unseen");
    log_error("watch lost");
    log_line(LOG_FATAL, "no port");
    assert_string_equal(logged(), "[ERROR] watch lost\n[FATAL] no port\n");
    log_set_level(LOG_INFO);
}

static void a_long_line_is_cut_and_ends(void **state)
{
    (void)state;
    for (size_t n = 2030; n < 2060; n++) {
        char text[2100];
        memset(text, 'x', n);
        text[n] = 0;
        log_info("%s", text);
        const char *line = logged();
        size_t len = strlen(line);
        assert_int_equal(line[len - 1], '\n');
        assert_int_equal(strspn(line + 7, "x"), len - 8);
        assert_true(len == n + 8 || len == 2047);
    }
}

static void errors_are_sentences(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ERR_PARSE, "port '%s' is no number", "x"), ERR_PARSE);
    assert_int_equal(err_wrap(&e, "%s:%d", "Corefile", 3), ERR_PARSE);
    assert_string_equal(e.text, "Corefile:3: port 'x' is no number");
    assert_int_equal(e.code, ERR_PARSE);
    assert_int_equal(err_set(NULL, -5, "nobody reads this"), -5);
    char longer[1200];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    err_wrap(&e, "%s", longer);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_string_equal(err_str(ERR_REFUSED), "refused");
    assert_string_equal(err_str(-2), "No such file or directory");
    assert_string_equal(err_str(0), "success");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels_below_are_dropped, open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_ends, open_pipe, close_pipe),
        cmocka_unit_test(errors_are_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
