/* The server's loop runs in a thread; the clients are here. */
#include "base/mem.h"
#include "net/control.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define TIME_MS 5000

struct world {
    char folder[32], path[64];
    uv_loop_t loop;
    uv_async_t end;
    struct control_server *server;
    pthread_t thread;
    int pipe[2];
};

/* "echo TEXT", "fd", "many N", "later". */
static void handle(void *ctx, struct control_client *c, char *line)
{
    struct world *w = ctx;
    if (strncmp(line, "echo ", 5) == 0) {
        control_send(c, line + 5, strlen(line + 5));
        control_send(c, "\n", 1);
    } else if (strcmp(line, "fd") == 0) {
        assert_true(control_send_fds(c, "two\n", w->pipe, 2));
        control_end(c);
    } else if (strncmp(line, "many ", 5) == 0) {
        for (int n = atoi(line + 5); n > 0; n--)
            control_send(c, "0123456789\n", 11);
        control_end(c);
    }
}

static void *run(void *arg)
{
    struct world *w = arg;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void on_end(uv_async_t *a)
{
    struct world *w = a->data;
    control_server_close(w->server);
    uv_close((uv_handle_t *)a, NULL);
}

static void begin(struct world *w)
{
    struct err e = { 0 };
    strcpy(w->folder, "/tmp/control-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    (void)snprintf(w->path, sizeof w->path, "%s/s", w->folder);
    assert_int_equal(pipe(w->pipe), 0);
    uv_loop_init(&w->loop);
    uv_async_init(&w->loop, &w->end, on_end);
    w->end.data = w;
    assert_int_equal(control_server_open(&w->loop, w->path, false, handle, w, &w->server, &e), 0);
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
}

static void finish(struct world *w)
{
    uv_async_send(&w->end);
    pthread_join(w->thread, NULL);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    close(w->pipe[0]);
    close(w->pipe[1]);
    (void)unlink(w->path);
    assert_int_equal(rmdir(w->folder), 0);
}

static void test_lines(void **state)
{
    struct world w;
    struct err e = { 0 };
    struct control_link l;
    char line[64];
    struct stat st;
    (void)state;
    begin(&w);
    assert_int_equal(stat(w.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(control_connect(w.path, TIME_MS, &l, &e), 0);
    assert_int_equal(control_tell(&l, "echo one\necho t", &e), 0);
    assert_int_equal(control_tell(&l, "wo\nmany 5000\n", &e), 0);
    assert_int_equal(control_next(&l, line, sizeof line, &e), 1);
    assert_string_equal(line, "one");
    assert_int_equal(control_next(&l, line, sizeof line, &e), 1);
    assert_string_equal(line, "two");
    for (int i = 0; i < 5000; i++)
        assert_int_equal(control_next(&l, line, sizeof line, &e), 1);
    assert_int_equal(control_next(&l, line, sizeof line, &e), 0);
    control_link_done(&l);
    finish(&w);
}

static void test_descriptors(void **state)
{
    struct world w;
    struct err e = { 0 };
    struct control_link l;
    char line[64], byte = 0;
    (void)state;
    begin(&w);
    assert_int_equal(control_connect(w.path, TIME_MS, &l, &e), 0);
    assert_int_equal(control_tell(&l, "echo first\nfd\n", &e), 0);
    assert_int_equal(control_next(&l, line, sizeof line, &e), 1);
    assert_int_equal(control_next(&l, line, sizeof line, &e), 1);
    assert_string_equal(line, "two");
    int from = control_take_fd(&l), to = control_take_fd(&l);
    assert_true(from >= 0 && to >= 0);
    assert_int_equal(control_take_fd(&l), -1);
    assert_int_equal(write(to, "x", 1), 1);
    assert_int_equal(read(w.pipe[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    close(from);
    close(to);
    control_link_done(&l);
    finish(&w);
}

static void test_limits(void **state)
{
    struct world w;
    struct err e = { 0 };
    struct control_link l[CONTROL_CLIENTS_MAX + 1];
    char line[64], *lot = xmalloc(CONTROL_LINE_MAX + 2);
    (void)state;
    begin(&w);
    assert_int_equal(control_connect(w.path, TIME_MS, &l[0], &e), 0);
    memset(lot, 'x', CONTROL_LINE_MAX + 1);
    lot[CONTROL_LINE_MAX + 1] = '\0';
    (void)control_tell(&l[0], lot, &e);
    assert_true(control_next(&l[0], line, sizeof line, &e) <= 0);
    control_link_done(&l[0]);
    for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
        assert_int_equal(control_connect(w.path, TIME_MS, &l[i], &e), 0);
        (void)control_tell(&l[i], "echo x\n", &e);
        assert_int_equal(control_next(&l[i], line, sizeof line, &e) == 1, i < CONTROL_CLIENTS_MAX);
    }
    for (unsigned i = 0; i <= CONTROL_CLIENTS_MAX; i++)
        control_link_done(&l[i]);
    free(lot);
    finish(&w);
}

static void unused(void *ctx, struct control_client *c, char *line)
{
    (void)ctx, (void)c, (void)line;
}

/* A second server is refused, or takes the name over; then it stays. */
static void test_path(void **state)
{
    struct world w;
    struct err e = { 0 };
    struct control_server *second;
    struct control_link l;
    uv_loop_t loop;
    (void)state;
    begin(&w);
    uv_loop_init(&loop);
    assert_int_equal(control_server_open(&loop, w.path, false, unused, NULL, &second, &e),
                     -EADDRINUSE);
    assert_non_null(strstr(e.text, "another process"));
    assert_int_equal(control_server_open(&loop, w.path, true, unused, NULL, &second, &e), 0);
    uv_async_send(&w.end);
    pthread_join(w.thread, NULL);
    assert_int_equal(access(w.path, F_OK), 0);
    control_server_close(second);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(control_connect(w.path, TIME_MS, &l, &e), -ENOENT);
    control_link_done(&l);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    close(w.pipe[0]);
    close(w.pipe[1]);
    assert_int_equal(rmdir(w.folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
