/* The client against a little server on the same loop, whose paths say how it behaves. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the server ---- */

struct peer {
    uv_tcp_t tcp;
    struct strbuf in;
};

static uv_loop_t *loop;
static uv_tcp_t listener;
static char base[64];
static unsigned accepted, hanging;

static void peer_closed(uv_handle_t *h)
{
    struct peer *p = h->data;
    strbuf_done(&p->in);
    free(p);
}

static void written(uv_write_t *w, int status)
{
    (void)status;
    free(w->data);
    free(w);
}

static void say(struct peer *p, const char *text, size_t n)
{
    uv_write_t *w = xcalloc(1, sizeof *w);
    w->data = xmalloc(n + 1);
    memcpy(w->data, text, n);
    uv_buf_t buf = uv_buf_init(w->data, (unsigned)n);
    uv_write(w, (uv_stream_t *)&p->tcp, &buf, 1, written);
}

static void reply(struct peer *p, const char *body, size_t n)
{
    struct strbuf out = { 0 };
    strbuf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    strbuf_add(&out, body, n);
    say(p, out.p, out.len);
    strbuf_done(&out);
}

static void answer(struct peer *p)
{
    static const char chunked[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n";
    static char big[100000];
    memset(big, 'x', sizeof big);
    if (strstr(p->in.p, " /big "))
        reply(p, big, sizeof big);
    else if (strstr(p->in.p, " /stream "))
        say(p, chunked, sizeof chunked - 1);
    else if (strstr(p->in.p, " /hang "))
        hanging++;
    else if (strstr(p->in.p, " /cut "))
        say(p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 42),
            uv_close((uv_handle_t *)&p->tcp, peer_closed);
    else
        reply(p, p->in.p, p->in.len);
    strbuf_reset(&p->in);
}

/* A request is there when its head has ended and as much follows as it says. */
static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct peer *p = s->data;
    if (n > 0)
        strbuf_add(&p->in, buf->base, (size_t)n);
    free(buf->base);
    if (n < 0) {
        uv_close((uv_handle_t *)s, peer_closed);
        return;
    }
    const char *end = p->in.len ? strstr(p->in.p, "\r\n\r\n") : NULL;
    const char *length = p->in.len ? strstr(p->in.p, "Content-Length: ") : NULL;
    size_t want = length ? strtoul(length + 16, NULL, 10) : 0;
    if (end && p->in.len >= (size_t)(end + 4 - p->in.p) + want)
        answer(p);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
    (void)h;
    *buf = uv_buf_init(xmalloc(size), (unsigned)size);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct peer *p = xcalloc(1, sizeof *p);
    assert_int_equal(status, 0);
    uv_tcp_init(s->loop, &p->tcp);
    p->tcp.data = p;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&p->tcp), 0);
    uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    accepted++;
}

/* ---- around each test ---- */

static void on_deadline(uv_timer_t *t)
{
    (void)t;
    fail_msg("nothing happened for ten seconds");
}

static uv_timer_t deadline;

static int set_up(void **state)
{
    struct sockaddr_in sa = { .sin_family = AF_INET };
    int len = sizeof sa;
    struct http_client *c;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    accepted = hanging = 0;
    loop = xcalloc(1, sizeof *loop);
    uv_loop_init(loop);
    uv_tcp_init(loop, &listener);
    uv_tcp_bind(&listener, (struct sockaddr *)&sa, 0);
    uv_listen((uv_stream_t *)&listener, 16, on_connection);
    uv_tcp_getsockname(&listener, (struct sockaddr *)&sa, &len);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", ntohs(sa.sin_port));
    uv_timer_init(loop, &deadline);
    uv_timer_start(&deadline, on_deadline, 10000, 0);
    if (http_client_new(loop, &c, NULL) < 0)
        return -1;
    *state = c;
    return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, h->type == UV_TCP && h != (uv_handle_t *)&listener ? peer_closed : NULL);
}

static int tear_down(void **state)
{
    http_client_free(*state);
    uv_run(loop, UV_RUN_NOWAIT); /* what the client opened closes by itself */
    uv_walk(loop, close_handle, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(loop);
    free(loop);
    return left;
}

/* ---- requests ---- */

struct seen {
    struct http_client *client;
    struct http_call *call;
    unsigned ended, chunks;
    int error;
    long status;
    bool again, cancel, stop;
    struct strbuf text;
};

static void on_end(void *ctx, const struct http_result *r)
{
    struct seen *s = ctx;
    s->ended++;
    s->error = r->error;
    s->status = r->status;
    if (r->len)
        strbuf_add(&s->text, r->body, r->len);
    assert_true(r->error == 0 || r->text != NULL);
}

static int on_chunk(void *ctx, long status, const char *p, size_t n)
{
    struct seen *s = ctx;
    s->chunks++;
    s->status = status;
    strbuf_add(&s->text, p, n);
    if (s->cancel)
        http_call_cancel(s->call);
    return s->stop;
}

static const char *url(const char *path)
{
    static char text[128];
    (void)snprintf(text, sizeof text, "%s%s", base, path);
    return text;
}

static void start(struct http_client *c, struct seen *s, struct http_request r, const char *path)
{
    struct err e;
    r.url = url(path);
    r.end = on_end;
    r.ctx = s;
    s->client = c;
    assert_int_equal(http_client_send(c, &r, &s->call, &e), 0);
    assert_int_equal(s->ended, 0); /* never from within */
}

static void run_until(const unsigned *n, unsigned wanted)
{
    while (*n < wanted)
        uv_run(loop, UV_RUN_ONCE);
}

static void test_request_as_sent(void **state)
{
    struct seen s = { 0 };
    const char *headers[] = { "X-One: 1", "Content-Type: application/json" };
    start(*state, &s,
          (struct http_request){ .headers = headers,
                                 .n_headers = 2,
                                 .body = "{\"a\":\"\0\"}",
                                 .body_len = 9,
                                 .bearer = "to.ken" },
          "/echo");
    run_until(&s.ended, 1);
    assert_int_equal(s.error, 0);
    assert_int_equal(s.status, 200);
    assert_true(str_starts(s.text.p, "POST /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(s.text.p, "X-One: 1\r\n"));
    assert_non_null(strstr(s.text.p, "Authorization: Bearer to.ken\r\n"));
    assert_null(strstr(s.text.p, "Expect"));
    assert_memory_equal(s.text.p + s.text.len - 9, "{\"a\":\"\0\"}", 9);
    strbuf_done(&s.text);
}

static void test_methods_and_basic(void **state)
{
    struct seen s = { 0 };
    start(*state, &s, (struct http_request){ .method = "DELETE", .user = "u", .password = "p" },
          "/x");
    run_until(&s.ended, 1);
    assert_true(str_starts(s.text.p, "DELETE /x HTTP/1.1\r\n"));
    assert_non_null(strstr(s.text.p, "Authorization: Basic dTpw\r\n"));
    strbuf_done(&s.text);
}

static void test_connection_is_used_again(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct seen s = { 0 };
        start(*state, &s, (struct http_request){ 0 }, "/x");
        run_until(&s.ended, 1);
        assert_int_equal(s.error, 0);
        strbuf_done(&s.text);
    }
    assert_int_equal(accepted, 1);
}

static void test_body_limit(void **state)
{
    struct seen s = { 0 }, t = { 0 };
    start(*state, &s, (struct http_request){ .body_max = 99999 }, "/big");
    start(*state, &t, (struct http_request){ .body_max = 100000 }, "/big");
    run_until(&s.ended, 1);
    run_until(&t.ended, 1);
    assert_int_equal(s.error, ERR_LIMIT);
    assert_int_equal(t.error, 0);
    assert_int_equal(t.text.len, 100000);
    strbuf_done(&s.text);
    strbuf_done(&t.text);
}

static void test_stream_and_cancel(void **state)
{
    struct seen s = { 0 }, within = { .cancel = true }, stopped = { .stop = true };
    start(*state, &s, (struct http_request){ .chunk = on_chunk }, "/stream");
    start(*state, &within, (struct http_request){ .chunk = on_chunk }, "/stream");
    start(*state, &stopped, (struct http_request){ .chunk = on_chunk }, "/stream");
    run_until(&s.chunks, 1);
    run_until(&within.chunks, 1);
    run_until(&stopped.ended, 1);
    assert_string_equal(s.text.p, "one\n");
    assert_int_equal(s.ended, 0); /* it goes on */
    http_call_cancel(s.call);
    assert_int_equal(stopped.error, -ECANCELED);
    for (int i = 0; i < 20; i++)
        uv_run(loop, UV_RUN_NOWAIT);
    assert_int_equal(s.ended + within.ended, 0);
    assert_int_equal(within.chunks, 1);
    strbuf_done(&s.text);
    strbuf_done(&within.text);
    strbuf_done(&stopped.text);
}

static void test_failures(void **state)
{
    struct seen cut = { 0 }, total = { 0 }, none = { 0 };
    struct http_call *call;
    struct err e;
    start(*state, &cut, (struct http_request){ 0 }, "/cut");
    start(*state, &total, (struct http_request){ .total_ms = 50 }, "/hang");
    struct http_request r = { .url = "http://127.0.0.1:1/", .end = on_end, .ctx = &none };
    assert_int_equal(http_client_send(*state, &r, &call, &e), 0);
    run_until(&cut.ended, 1);
    run_until(&total.ended, 1);
    run_until(&none.ended, 1);
    assert_int_equal(cut.error, -EIO);
    assert_int_equal(total.error, -ETIMEDOUT);
    assert_int_equal(none.error, -ECONNREFUSED);
    r.url = "ftp://127.0.0.1/";
    assert_int_equal(http_client_send(*state, &r, &call, &e), ERR_INVALID);
    assert_string_equal(e.text, "'ftp://127.0.0.1/' is not a http:// or https:// URL");
    strbuf_done(&cut.text);
}

static void test_idle(void **state)
{
    struct seen s = { 0 };
    start(*state, &s, (struct http_request){ .chunk = on_chunk, .idle_ms = 60 }, "/stream");
    run_until(&s.ended, 1);
    assert_int_equal(s.chunks, 1);
    assert_int_equal(s.error, -ETIMEDOUT);
    strbuf_done(&s.text);
}

static void on_end_again(void *ctx, const struct http_result *r)
{
    struct seen *s = ctx;
    struct err e;
    assert_int_equal(r->error, 0);
    if (++s->ended == 3)
        return;
    struct http_request next = { .url = url("/x"), .end = on_end_again, .ctx = s };
    assert_int_equal(http_client_send(s->client, &next, &s->call, &e), 0);
}

static void test_sending_from_the_end(void **state)
{
    struct seen s = { .client = *state };
    struct err e;
    struct http_request r = { .url = url("/x"), .end = on_end_again, .ctx = &s };
    assert_int_equal(http_client_send(*state, &r, &s.call, &e), 0);
    run_until(&s.ended, 3);
    assert_int_equal(accepted, 1);
}

/* Free with requests of every kind under way; the limit on their number. */
static void test_limit_and_free(void **state)
{
    static struct seen s[HTTP_CLIENT_REQUESTS_MAX];
    struct err e;
    struct http_call *call;
    memset(s, 0, sizeof s);
    for (int i = 0; i < HTTP_CLIENT_REQUESTS_MAX; i++)
        start(*state, &s[i], (struct http_request){ 0 }, i % 2 ? "/hang" : "/stream");
    struct http_request r = { .url = url("/x"), .end = on_end, .ctx = &s[0] };
    assert_int_equal(http_client_send(*state, &r, &call, &e), ERR_LIMIT);
    run_until(&hanging, 3);
    http_call_cancel(s[0].call);
    assert_int_equal(http_client_send(*state, &r, &call, &e), 0);
    http_client_free(*state);
    *state = NULL;
    for (int i = 0; i < HTTP_CLIENT_REQUESTS_MAX; i++)
        assert_int_equal(s[i].ended, 0);
}

static void test_tls_files(void **state)
{
    struct err e;
    char path[] = "/tmp/test_http_client.XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "no certificate\n", 15), 15);
    close(fd);
    assert_int_equal(http_tls_check(&(struct http_tls){ 0 }, &e), 0);
    assert_true(http_tls_check(&(struct http_tls){ .ca = "/no/such" }, &e) < 0);
    assert_string_equal(e.text, "error reading /no/such: open /no/such: No such file or directory");
    assert_int_equal(http_tls_check(&(struct http_tls){ .ca = path }, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "there is no certificate in PEM form"));
    assert_int_equal(http_tls_check(&(struct http_tls){ .cert = path }, &e), ERR_INVALID);
    assert_true(http_tls_check(&(struct http_tls){ .cert = path, .key = path }, &e) < 0);
    assert_true(str_starts(e.text, "could not load TLS cert: "));
    unlink(path);
}

int main(void)
{
#define with(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with(test_request_as_sent),
        with(test_methods_and_basic),
        with(test_connection_is_used_again),
        with(test_body_limit),
        with(test_stream_and_cancel),
        with(test_failures),
        with(test_idle),
        with(test_sending_from_the_end),
        with(test_limit_and_free),
        cmocka_unit_test(test_tls_files),
    };
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
