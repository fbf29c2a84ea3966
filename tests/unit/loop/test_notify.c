/* What the service manager is sent, by a socket file and by an abstract name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loop/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int listen_at(const char *name)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(sa.sun_path, name, strlen(name));
    if (name[0] == '@')
        sa.sun_path[0] = '\0';
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static const char *heard(int fd)
{
    static char text[256];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void all_three(const char *name)
{
    long long told;
    struct timespec now;
    int fd = listen_at(name);
    notify_ready();
    assert_string_equal(heard(fd), "READY=1");
    notify_reloading();
    assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%lld", &told), 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    assert_in_range(now.tv_sec - told / 1000000, 0, 5);
    notify_stopping();
    assert_string_equal(heard(fd), "STOPPING=1");
    assert_string_equal(heard(fd), "");
    (void)close(fd);
}

static void test_abstract(void **state)
{
    char name[64];
    (void)state;
    (void)snprintf(name, sizeof name, "@signpost-test-notify-%d", (int)getpid());
    all_three(name);
}

static void test_file(void **state)
{
    char folder[] = "/tmp/notify-XXXXXX", name[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(name, sizeof name, "%s/socket", folder);
    all_three(name);
    (void)unlink(name);
    (void)rmdir(folder);
}

/* Not set, relative, too long, nobody there: nothing happens. */
static void test_nobody(void **state)
{
    char longest[200];
    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    notify_ready();
    memset(longest, 'x', sizeof longest - 1);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    const char *const names[] = { "", "@", "socket", "/there/is/none", longest };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)setenv("NOTIFY_SOCKET", names[i], 1);
        notify_ready();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abstract),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
