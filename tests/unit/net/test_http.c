#include "base/mem.h"
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static void page(void *ctx, const char *path, struct http_reply *reply)
{
    if (strcmp(path, "/metrics") == 0) {
        reply->content_type = "text/plain; version=0.0.4";
        strbuf_printf(&reply->body, "pages %d\n", ++*(int *)ctx);
    } else if (strcmp(path, "/ready") == 0) {
        reply->status = 503;
        strbuf_puts(&reply->body, "kubernetes");
    } else {
        reply->status = 404;
    }
}

static void other_page(void *ctx, const char *path, struct http_reply *reply)
{
    (void)ctx, (void)path, (void)reply;
}

/* A free port of loopback, as an address text. */
static const char *free_address(char out[32])
{
    struct sockaddr_in sa = { .sin_family = AF_INET };
    socklen_t len = sizeof sa;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    close(fd);
    (void)snprintf(out, 32, "127.0.0.1:%u", ntohs(sa.sin_port));
    return out;
}

/* Sends the request and gives back all that comes. */
static char *talk(const char *address, const char *request)
{
    struct ip ip;
    uint16_t port;
    struct sockaddr_storage sa;
    struct strbuf b = { 0 };
    char in[4096];
    assert_int_equal(ip_port_parse(address, 0, &ip, &port), 0);
    socklen_t len = ip_to_sockaddr(&ip, port, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    for (ssize_t n; (n = recv(fd, in, sizeof in, 0)) > 0;)
        strbuf_add(&b, in, (size_t)n);
    close(fd);
    strbuf_puts(&b, "");
    return strbuf_steal(&b);
}

static void expect(const char *address, const char *request, const char *status, const char *body)
{
    char text[512];
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                   request);
    char *reply = talk(address, text);
    assert_true(str_starts(reply, status));
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
    free(reply);
}

static void test_pages(void **state)
{
    struct http_server *s;
    struct err e;
    char address[32];
    int n = 0;
    (void)state;
    assert_int_equal(http_server_open(free_address(address), page, &n, &s, &e), 0);
    expect(address, "GET /metrics", "HTTP/1.1 200 ", "pages 1\n");
    expect(address, "GET /metrics?x=y", "HTTP/1.1 200 ", "pages 2\n");
    expect(address, "HEAD /metrics", "HTTP/1.1 200 ", "");
    expect(address, "GET /ready", "HTTP/1.1 503 ", "kubernetes");
    expect(address, "GET /", "HTTP/1.1 404 ", "404 page not found\n");
    expect(address, "DELETE /metrics", "HTTP/1.1 405 ", "only GET and HEAD are served\n");
    http_server_close(s);
    http_server_close(NULL);
}

static void test_shared(void **state)
{
    struct http_server *a, *b, *c;
    struct err e;
    char address[32];
    int n = 0;
    (void)state;
    assert_int_equal(http_server_open(free_address(address), page, &n, &a, &e), 0);
    assert_int_equal(http_server_open(address, page, &n, &b, &e), 0);
    assert_ptr_equal(a, b);
    http_server_close(a);
    expect(address, "GET /metrics", "HTTP/1.1 200 ",
           "pages 1\n"); /* the other one needs it still */
    http_server_close(b);
    assert_int_equal(http_server_open(address, other_page, &n, &c, &e), 0);
    http_server_close(c);
}

static void test_bad_addresses(void **state)
{
    static const char *const rows[][2] = {
        { "8080", "address 8080: missing port in address" },
        { ":70000", "address :70000: invalid port" },
        { "localhost:x", "address localhost:x: invalid port" },
        { "example.org:80",
          "address example.org:80: neither an IP address and port nor \":port\"" },
        { "192.0.2.1:8080", "listen tcp 192.0.2.1:8080: Cannot assign requested address" },
    };
    struct http_server *s;
    struct err e;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_true(http_server_open(rows[i][0], page, NULL, &s, &e) < 0);
        assert_string_equal(e.text, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_bad_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
