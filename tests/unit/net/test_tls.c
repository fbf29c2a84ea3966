/* Client and server in one process, bytes carried between them by hand. */
#include "base/file.h"
#include "base/mem.h"
#include "certs.h"
#include "net/tls.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DAY 86400

static struct authority ours, theirs;

static int make_certs(void **state)
{
    (void)state;
    certs_init();
    ours = certs_authority("ca");
    theirs = certs_authority("otherca");
    certs_leaf(&ours, "server", "DNS:dns.test,IP:127.0.0.1,IP:::1", -60, DAY);
    certs_leaf(&ours, "expired", "DNS:dns.test", -2 * DAY, -DAY);
    certs_leaf(&ours, "client", NULL, -60, DAY);
    certs_leaf(&theirs, "stranger", "DNS:dns.test", -60, DAY);
    certs_write("empty.pem", "");
    certs_write("garbage.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    return 0;
}

static int drop_certs(void **state)
{
    (void)state;
    certs_authority_done(&ours);
    certs_authority_done(&theirs);
    certs_done();
    return 0;
}

static struct tls_config *config(const struct tls_options *o)
{
    struct tls_config *c = NULL;
    struct err e = { 0 };
    if (tls_config_new(o, &c, &e) < 0)
        fail_msg("%s", e.text);
    return c;
}

static struct tls_options server_options(const char *name)
{
    static char cert[64], key[64];
    (void)snprintf(cert, sizeof cert, "%s.pem", name);
    (void)snprintf(key, sizeof key, "%s.key", name);
    return (struct tls_options){ .server = true, .cert = certs_path(cert), .key = certs_path(key) };
}

static struct tls_options client_options(void)
{
    return (struct tls_options){ .ca = certs_path("ca.pem") };
}

/* Two ends; `step` bytes are carried at a time. */
struct pair {
    struct tls *client, *server;
    int client_ret, server_ret;
};

static struct pair pair_new(const struct tls_options *server, const struct tls_options *client,
                            const char *name, struct tls_ticket *ticket)
{
    struct tls_config *s = config(server), *c = config(client);
    struct pair p = { .client = tls_new(c, name, ticket), .server = tls_new(s, NULL, NULL) };
    assert_non_null(p.client);
    assert_non_null(p.server);
    tls_config_free(s); /* the sessions hold what they need */
    tls_config_free(c);
    p.client_ret = tls_handshake(p.client);
    return p;
}

static void pair_done(struct pair *p)
{
    tls_free(p->client);
    tls_free(p->server);
}

static bool carry(struct tls *from, struct tls *to, size_t step, int *ret)
{
    const uint8_t *data;
    size_t n = MIN(tls_out(from, &data), step);
    if (n == 0)
        return false;
    if (*ret == 0)
        *ret = tls_feed(to, data, n);
    tls_out_done(from, n);
    return true;
}

static void shake_hands(struct pair *p, size_t step)
{
    uint8_t sink[1];
    while (carry(p->client, p->server, step, &p->server_ret) ||
           carry(p->server, p->client, step, &p->client_ret))
        continue;
    if (p->client_ret == 0) { /* tickets, late alerts */
        ssize_t n = tls_read(p->client, sink, sizeof sink);
        p->client_ret = n < 0 ? (int)n : 0;
    }
}

static void expect_ready(const struct pair *p)
{
    if (p->client_ret < 0 || p->server_ret < 0)
        fail_msg("client: %s; server: %s", tls_error(p->client), tls_error(p->server));
    assert_true(tls_is_ready(p->client));
    assert_true(tls_is_ready(p->server));
}

static void expect_client_error(const char *server, const char *name, const char *text)
{
    struct tls_options s = server_options(server), c = client_options();
    struct pair p = pair_new(&s, &c, name, NULL);
    shake_hands(&p, 65536);
    assert_true(p.client_ret < 0);
    assert_true(p.server_ret < 0); /* it was told */
    assert_false(tls_is_ready(p.client));
    if (!strstr(tls_error(p.client), text))
        fail_msg("'%s' is not in '%s'", text, tls_error(p.client));
    assert_int_equal(tls_feed(p.client, (const uint8_t *)"x", 1), -EPROTO);
    assert_int_equal(tls_write(p.client, (const uint8_t *)"x", 1), -ENOTCONN);
    pair_done(&p);
}

static void send_all(struct tls *from, struct tls *to, const uint8_t *data, size_t len)
{
    static uint8_t got[200000];
    size_t n = 0;
    int ret = 0;
    assert_int_equal(tls_write(from, data, len), 0);
    while (carry(from, to, 1000, &ret)) {
        ssize_t k;
        while ((k = tls_read(to, got + n, sizeof got - n)) > 0)
            n += (size_t)k;
        assert_int_equal(k, 0);
    }
    assert_int_equal(ret, 0);
    assert_int_equal(n, len);
    assert_memory_equal(got, data, len);
}

static void test_carries_bytes_both_ways(void **state)
{
    static const size_t steps[] = { 1, 17, 65536 };
    static uint8_t data[150000];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct tls_options s = server_options("server"), c = client_options();
        struct pair p = pair_new(&s, &c, "dns.test", NULL);
        uint8_t sink[8];
        assert_int_equal(tls_read(p.server, sink, sizeof sink), 0);
        shake_hands(&p, steps[i]);
        expect_ready(&p);
        send_all(p.client, p.server, data, sizeof data);
        send_all(p.server, p.client, data, 5);
        tls_goodbye(p.client);
        assert_true(carry(p.client, p.server, 65536, &p.server_ret));
        assert_int_equal(tls_read(p.server, sink, sizeof sink), -ENOTCONN);
        pair_done(&p);
    }
}

static void test_checks_the_name(void **state)
{
    static const char *const good[] = { "dns.test", "DNS.test", "dns.test.", "127.0.0.1", "::1" };
    struct tls_options s = server_options("server"), c = client_options();
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct pair p = pair_new(&s, &c, good[i], NULL);
        shake_hands(&p, 65536);
        expect_ready(&p);
        pair_done(&p);
    }
    expect_client_error("server", "wrong.test",
                        "certificate verify failed: hostname mismatch: it is not for wrong.test");
    expect_client_error("server", "127.0.0.2", "it is not for 127.0.0.2");
    expect_client_error("expired", "dns.test", "certificate has expired");
    expect_client_error("stranger", "dns.test", "unable to get local issuer certificate");
}

static void test_needs_a_name(void **state)
{
    struct tls_options o = client_options();
    struct tls_config *c = config(&o);
    char name[TLS_NAME_MAX + 1];
    (void)state;
    memset(name, 'a', TLS_NAME_MAX);
    name[TLS_NAME_MAX] = 0;
    assert_null(tls_new(c, NULL, NULL));
    assert_null(tls_new(c, "", NULL));
    assert_null(tls_new(c, name, NULL));
    tls_config_free(c);
}

/* cert: the client's, or NULL. */
static bool accepted(enum tls_client_auth auth, const char *cert)
{
    struct tls_options s = server_options("server"), c = client_options();
    char pem[64], key[64];
    s.client_auth = auth;
    s.ca = certs_path("ca.pem");
    if (cert) {
        (void)snprintf(pem, sizeof pem, "%s.pem", cert);
        (void)snprintf(key, sizeof key, "%s.key", cert);
        c.cert = certs_path(pem);
        c.key = certs_path(key);
    }
    struct pair p = pair_new(&s, &c, "dns.test", NULL);
    shake_hands(&p, 65536);
    bool ok = p.server_ret == 0 && p.client_ret == 0;
    if (!ok) /* each side has a reason to tell */
        assert_true(*tls_error(p.server) && *tls_error(p.client));
    pair_done(&p);
    return ok;
}

static void test_client_certificates(void **state)
{
    static const struct {
        enum tls_client_auth auth;
        bool none, good, bad;
    } cases[] = {
        { TLS_NO_CERT, true, true, true },
        { TLS_REQUEST, true, true, true },
        { TLS_REQUIRE, false, true, true },
        { TLS_VERIFY_IF_GIVEN, true, true, false },
        { TLS_REQUIRE_AND_VERIFY, false, true, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(accepted(cases[i].auth, NULL), cases[i].none);
        assert_int_equal(accepted(cases[i].auth, "client"), cases[i].good);
        assert_int_equal(accepted(cases[i].auth, "stranger"), cases[i].bad);
    }
}

static void expect_alpn(const char *const *server, bool strict, const char *const *client,
                        const char *want)
{
    struct tls_options s = server_options("server"), c = client_options();
    char got[TLS_ALPN_MAX];
    s.alpn = server;
    s.alpn_strict = strict;
    c.alpn = client;
    struct pair p = pair_new(&s, &c, "dns.test", NULL);
    shake_hands(&p, 65536);
    if (want) {
        expect_ready(&p);
        tls_alpn(p.server, got);
        assert_string_equal(got, want);
        tls_alpn(p.client, got);
        assert_string_equal(got, want);
    } else {
        assert_true(p.server_ret < 0);
        assert_non_null(strstr(tls_error(p.client), "no application protocol"));
    }
    pair_done(&p);
}

static void test_alpn(void **state)
{
    static const char *const dot[] = { "dot", NULL }, *const h1[] = { "http/1.1", NULL },
                             *const both[] = { "h2", "http/1.1", NULL },
                             *const turned[] = { "http/1.1", "h2", NULL };
    (void)state;
    expect_alpn(dot, false, dot, "dot");
    expect_alpn(dot, false, NULL, "");
    expect_alpn(dot, false, h1, "");
    expect_alpn(NULL, false, dot, "");
    expect_alpn(both, true, h1, "http/1.1");
    expect_alpn(both, true, turned, "h2");
    expect_alpn(both, true, NULL, "");
    expect_alpn(both, true, dot, NULL);
}

static void test_resumes(void **state)
{
    struct tls_options so = server_options("server"), co = client_options();
    struct tls_config *s = config(&so), *c = config(&co);
    struct tls_ticket ticket = { 0 };
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct pair p = { .client = tls_new(c, "dns.test", &ticket),
                          .server = tls_new(s, NULL, NULL) };
        assert_null(ticket.session); /* used once */
        p.client_ret = tls_handshake(p.client);
        shake_hands(&p, 65536);
        expect_ready(&p);
        assert_int_equal(tls_is_resumed(p.client), i > 0);
        assert_int_equal(tls_is_resumed(p.server), i > 0);
        assert_non_null(ticket.session);
        pair_done(&p);
    }
    struct tls_config *fresh = config(&so); /* as after a reload */
    struct pair p = { .client = tls_new(c, "dns.test", &ticket),
                      .server = tls_new(fresh, NULL, NULL) };
    p.client_ret = tls_handshake(p.client);
    shake_hands(&p, 65536);
    expect_ready(&p);
    assert_false(tls_is_resumed(p.client));
    pair_done(&p);
    tls_ticket_done(&ticket);
    tls_config_free(fresh);
    tls_config_free(s);
    tls_config_free(c);
}

static void test_garbage_is_refused(void **state)
{
    static const char *const garbage[] = { "GET / HTTP/1.1\r\n\r\n",
                                           "\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00",
                                           "\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00\x00\x00" };
    struct tls_options o = server_options("server");
    struct tls_config *c = config(&o);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
        struct tls *t = tls_new(c, NULL, NULL);
        uint8_t bytes[64] = { 0 };
        memcpy(bytes, garbage[i], i == 0 ? 18 : 12);
        assert_true(tls_feed(t, bytes, sizeof bytes) < 0);
        assert_true(*tls_error(t));
        assert_false(tls_is_ready(t));
        assert_int_equal(tls_read(t, bytes, sizeof bytes), 0);
        tls_free(t);
    }
    tls_config_free(c);
}

static void test_keylog(void **state)
{
    struct tls_options s = server_options("server"), c = client_options();
    cleanup_free char *text = NULL;
    size_t len;
    (void)state;
    certs_write("keys.log", "before\n");
    s.keylog = certs_path("keys.log");
    struct pair p = pair_new(&s, &c, "dns.test", NULL);
    shake_hands(&p, 65536);
    expect_ready(&p);
    pair_done(&p);
    assert_int_equal(file_load(certs_path("keys.log"), 65536, &text, &len, NULL), 0);
    assert_int_equal(strncmp(text, "before\n", 7), 0);
    assert_non_null(strstr(text, "\nCLIENT_TRAFFIC_SECRET_0 "));
    assert_int_equal(text[len - 1], '\n');
}

static void expect_refused(const struct tls_options *o, const char *file, const char *text)
{
    struct tls_config *c = NULL;
    struct err e = { 0 };
    assert_true(tls_config_new(o, &c, &e) < 0);
    assert_null(c);
    if (!strstr(e.text, text) || !strstr(e.text, certs_path(file)))
        fail_msg("'%s' or the file %s is not in '%s'", text, file, e.text);
}

static void test_bad_files_are_named(void **state)
{
    struct tls_options o = server_options("server");
    (void)state;
    o.cert = certs_path("nofile.pem");
    expect_refused(&o, "nofile.pem", "could not load TLS cert: open ");
    o.cert = certs_path("empty.pem");
    expect_refused(&o, "empty.pem", "there is no certificate");
    o.cert = certs_path("garbage.pem");
    expect_refused(&o, "garbage.pem", "could not load TLS cert: ");
    o = server_options("server");
    o.key = certs_path("nofile.key");
    expect_refused(&o, "nofile.key", "could not load TLS cert: open ");
    o.key = certs_path("client.key");
    expect_refused(&o, "client.key", "key values mismatch");
    o.key = certs_path("empty.pem");
    expect_refused(&o, "empty.pem", "no private key");
    o = client_options();
    o.ca = certs_path("nofile.pem");
    expect_refused(&o, "nofile.pem", "error reading ");
    o.ca = certs_path("empty.pem");
    expect_refused(&o, "empty.pem", "there is no certificate");
    o = server_options("server");
    o.keylog = certs_path("nofolder/keys");
    expect_refused(&o, "nofolder/keys", "unable to write TLS Key Log");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carries_bytes_both_ways),
        cmocka_unit_test(test_checks_the_name),
        cmocka_unit_test(test_needs_a_name),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_garbage_is_refused),
        cmocka_unit_test(test_keylog),
        cmocka_unit_test(test_bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
