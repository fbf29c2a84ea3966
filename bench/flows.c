/* The two ends of the flows that bench/proxy.py measures.
 *
 *   flows serve PORT                     answers each connection with the address that it came to,
 * in four bytes, then every byte with itself flows new ADDRESS PORT COUNT         connections one
 * after the other, each up to its four bytes flows packets ADDRESS PORT COUNT     round trips of
 * one byte on one connection
 *
 * The last two print the nanoseconds that it took. Connections end by a reset, so that no address
 * waits in TIME_WAIT to be used again. */
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_MAX 10000000L

static int fail(const char *what)
{
    (void)fprintf(stderr, "flows: %s: %s\n", what, strerror(errno));
    return 1;
}

static void set_now(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void answer(int fd)
{
    struct sockaddr_in own = { 0 };
    socklen_t len = sizeof own;
    char data[256];
    ssize_t n;
    set_now(fd);
    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
        write(fd, &own.sin_addr, sizeof own.sin_addr) < 0)
        return;
    while ((n = read(fd, data, sizeof data)) > 0)
        if (write(fd, data, (size_t)n) != n)
            return;
}

static int serve(uint16_t port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 128) < 0)
        return fail("listening");
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (one < 0 && errno != EINTR && errno != ECONNABORTED)
            return fail("accept");
        if (one < 0)
            continue;
        answer(one);
        (void)close(one);
    }
}

/* A connection that has its answer, or -1. */
static int open_flow(const struct sockaddr_in *to)
{
    struct linger reset = { .l_onoff = 1 };
    struct timeval patience = { .tv_sec = 5 };
    uint8_t address[4];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    set_now(fd);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 &&
        recv(fd, address, sizeof address, MSG_WAITALL) == (ssize_t)sizeof address)
        return fd;
    (void)close(fd);
    return -1;
}

static int open_flows(const struct sockaddr_in *to, long count)
{
    for (long i = 0; i < count; i++) {
        int fd = open_flow(to);
        if (fd < 0)
            return fail("connection");
        (void)close(fd);
    }
    return 0;
}

static int send_packets(const struct sockaddr_in *to, long count)
{
    int fd = open_flow(to);
    char byte = 'x';
    if (fd < 0)
        return fail("connection");
    for (long i = 0; i < count; i++)
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            return fail("round trip");
    (void)close(fd);
    return 0;
}

static long number(const char *text, long max)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end || n < 1 || n > max ? 0 : n;
}

static int ask(char **words)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    long port = number(words[2], 65535), count = number(words[3], COUNT_MAX);
    if (inet_pton(AF_INET, words[1], &to.sin_addr) != 1 || !port || !count)
        return 2;
    to.sin_port = htons((uint16_t)port);
    int64_t since = clock_ns();
    int ret = strcmp(words[0], "new") == 0 ? open_flows(&to, count) : send_packets(&to, count);
    if (ret == 0)
        (void)printf("%lld\n", (long long)(clock_ns() - since));
    return ret;
}

int main(int argc, char **argv)
{
    long port = argc == 3 && strcmp(argv[1], "serve") == 0 ? number(argv[2], 65535) : 0;
    if (port)
        return serve((uint16_t)port);
    if (argc == 5 && (strcmp(argv[1], "new") == 0 || strcmp(argv[1], "packets") == 0))
        return ask(argv + 1);
    (void)fprintf(stderr, "usage: flows serve PORT | flows new|packets ADDRESS PORT COUNT\n");
    return 2;
}
