#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A file of n bytes, each telling its place; the caller closes it. */
static int file_of(size_t n, char path[32])
{
    strcpy(path, "/tmp/test_file_XXXXXX");
    int fd = mkstemp(path);
    char *bytes = xmalloc(n + 1);
    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)('a' + i % 23);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    free(bytes);
    return fd;
}

/* Around the sizes at which the buffer grows. */
static const size_t sizes[] = { 0, 1, 8191, 8192, 8193, 16384, 40000 };

static void test_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char path[32], *text = NULL;
        size_t len = 0;
        int fd = file_of(sizes[i], path);
        assert_int_equal(file_read_all(fd, sizes[i], &text, &len), 0);
        assert_int_equal(len, sizes[i]);
        assert_int_equal(text[len], 0);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(text[k], 'a' + k % 23);
        free(text);
        close(fd);
        unlink(path);
    }
}

static void test_limits(void **state)
{
    char path[32], *text = NULL;
    size_t len = 77;
    int fd = file_of(9000, path);
    (void)state;
    assert_int_equal(file_read_all(fd, 8999, &text, &len), ERR_LIMIT);
    assert_null(text);
    assert_int_equal(len, 77); /* untouched */
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(file_read(fd, 100, &text, &len), 0);
    assert_int_equal(len, 100);
    assert_int_equal(strlen(text), 100);
    free(text);
    close(fd);
    unlink(path);
}

static void test_failures(void **state)
{
    char *text = NULL;
    size_t len;
    struct err e;
    (void)state;
    assert_int_equal(file_load("/nonexistent/file", 10, &text, &len, &e), -2);
    assert_string_equal(e.text, "open /nonexistent/file: No such file or directory");
    assert_int_equal(file_load("/tmp", 10, &text, &len, &e), -21);
    assert_string_equal(e.text, "read /tmp: Is a directory");
    assert_null(text);
    assert_int_equal(file_load("/proc/self/status", 10, &text, &len, &e), ERR_LIMIT);
    assert_string_equal(e.text, "read /proc/self/status: limit exceeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
