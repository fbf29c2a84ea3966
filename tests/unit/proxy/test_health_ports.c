/* healthCheckNodePort over real sockets on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "proxy/health_ports.h"

#include <unistd.h>

static const struct ip loopback[] = { { 4, { 127, 0, 0, 1 } } };
static struct proxy_metrics metrics;
static unsigned warnings;

struct bench {
    uv_loop_t loop;
    struct health health;
    struct health_ports *ports;
};

static void on_warning(void *ctx, const char *service, const char *text)
{
    (void)ctx;
    assert_non_null(strstr(text, "healthCheckNodePort of Service"));
    assert_non_null(strstr(text, service));
    warnings++;
}

static void bench_init(struct bench *b)
{
    warnings = 0;
    uv_loop_init(&b->loop);
    health_init(&b->health, &metrics, "nftables", 1000000000LL);
    b->ports = health_ports_new(&b->loop, &b->health, on_warning, NULL);
}

static void bench_done(struct bench *b)
{
    health_ports_free(b->ports);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    health_done(&b->health);
}

static uint16_t free_port(void)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(&loopback[0], 0, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    return port_of_sockaddr((struct sockaddr *)&sa);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(&loopback[0], port, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&sa, len) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The answer to a request; "" when the connection was closed without one. */
static void ask(struct bench *b, uint16_t port, const char *request, char out[2048])
{
    int fd = connect_to(port);
    size_t n = 0;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    for (int64_t end = clock_ns() + 2000000000LL; clock_ns() < end;) {
        uv_run(&b->loop, UV_RUN_NOWAIT);
        ssize_t got = recv(fd, out + n, 2047 - n, MSG_DONTWAIT);
        if (got == 0)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    out[n] = '\0';
    close(fd);
}

static void test_answers(void **state)
{
    (void)state;
    struct bench b;
    char text[2048];
    uint16_t port = free_port();
    struct health_check c = { "shop/web", port, 2 };
    bench_init(&b);
    health_ports_update(b.ports, &c, 1, loopback, 1);
    assert_int_equal(health_ports_count(b.ports), 1);
    ask(&b, port, "GET /anything HTTP/1.1\r\nHost: x\r\n\r\n", text);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "X-Load-Balancing-Endpoint-Weight: 2\r\n"));
    assert_non_null(strstr(text, "\"namespace\": \"shop\""));
    assert_non_null(strstr(text, "\"name\": \"web\""));
    assert_non_null(strstr(text, "\"localEndpoints\": 2"));
    assert_non_null(strstr(text, "\"serviceProxyHealthy\": true"));
    c.n_local = 0;
    health_ports_update(b.ports, &c, 1, loopback, 1);
    ask(&b, port, "HEAD / HTTP/1.0\r\n\r\n", text);
    assert_non_null(strstr(text, "503 Service Unavailable"));
    c.n_local = 1;
    b.health.timeout_ns = 1;
    health_queued(&b.health); /* and nothing was written since */
    (void)usleep(1000);
    health_ports_update(b.ports, &c, 1, loopback, 1);
    ask(&b, port, "GET / HTTP/1.1\r\n\r\n", text);
    assert_non_null(strstr(text, "503 Service Unavailable"));
    assert_non_null(strstr(text, "\"serviceProxyHealthy\": false"));
    bench_done(&b);
}

static void test_port_goes(void **state)
{
    (void)state;
    struct bench b;
    uint16_t port = free_port();
    struct health_check c = { "shop/web", port, 2 };
    bench_init(&b);
    health_ports_update(b.ports, &c, 1, loopback, 1);
    health_ports_update(b.ports, NULL, 0, loopback, 1);
    uv_run(&b.loop, UV_RUN_NOWAIT);
    assert_int_equal(health_ports_count(b.ports), 0);
    assert_int_equal(connect_to(port), -1);
    health_ports_update(b.ports, &c, 1, loopback, 1);
    health_ports_update(b.ports, &c, 1, NULL, 0); /* the address is gone */
    uv_run(&b.loop, UV_RUN_NOWAIT);
    assert_int_equal(connect_to(port), -1);
    bench_done(&b);
}

/* Somebody else has the port: told once, tried again, the others work. */
static void test_port_taken(void **state)
{
    (void)state;
    struct bench b;
    struct sockaddr_storage sa;
    uint16_t ports[] = { free_port(), free_port() };
    struct health_check c[] = { { "shop/a", ports[0], 1 }, { "shop/b", ports[1], 1 } };
    socklen_t len = ip_to_sockaddr(&loopback[0], ports[0], &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    bench_init(&b);
    for (unsigned i = 0; i < 2; i++)
        health_ports_update(b.ports, c, 2, loopback, 1);
    assert_int_equal(warnings, 1);
    assert_int_equal(health_ports_count(b.ports), 1);
    close(fd);
    health_ports_update(b.ports, c, 2, loopback, 1);
    assert_int_equal(health_ports_count(b.ports), 2);
    bench_done(&b);
}

/* A client that says too much, and one that says nothing while the server ends. */
static void test_bad_clients(void **state)
{
    (void)state;
    struct bench b;
    static char much[HEALTH_PORT_REQUEST_MAX + 16];
    char text[2048];
    uint16_t port = free_port();
    struct health_check c = { "shop/web", port, 2 };
    bench_init(&b);
    health_ports_update(b.ports, &c, 1, loopback, 1);
    memset(much, 'x', sizeof much - 1);
    ask(&b, port, much, text);
    assert_string_equal(text, "");
    int fd = connect_to(port);
    for (unsigned i = 0; i < 10; i++)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    bench_done(&b);
    close(fd);
}

int main(void)
{
    proxy_metrics_init(&metrics, MODE_NFTABLES);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_port_goes),
        cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_bad_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
