/* What a program that prints credentials is asked, and what is taken of its answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "source/exec_credential.h"

#define V1      "client.authentication.k8s.io/v1"
#define V1BETA1 "client.authentication.k8s.io/v1beta1"
#define PRINTED(status)                                                                            \
    "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":" status "}"

static void test_question(void **state)
{
    struct api_exec x = { .api_version = V1 };
    struct api_config c = { .server = "https://a:1", .ca_pem = "PEM ca", .exec = &x };
    struct strbuf b = { 0 };
    struct err e;
    (void)state;
    assert_int_equal(exec_credential_ask(&c, &b, &e), 0);
    assert_string_equal(b.p,
                        "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1
                        "\",\"spec\":{\"interactive\":false}}");
    strbuf_reset(&b);
    x = (struct api_exec){ .api_version = V1BETA1, .cluster_info = true, .cluster_config = "[1]" };
    c.server_name = "kube\"";
    c.proxy = "http://p:1";
    c.insecure = true;
    assert_int_equal(exec_credential_ask(&c, &b, &e), 0);
    assert_string_equal(
        b.p, "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1BETA1
             "\",\"spec\":{\"interactive\":false,\"cluster\":{\"server\":\"https://a:1\","
             "\"tls-server-name\":\"kube\\u0022\",\"insecure-skip-tls-verify\":true,"
             "\"certificate-authority-data\":\"UEVNIGNh\",\"proxy-url\":\"http://p:1\","
             "\"config\":[1]}}}");
    strbuf_reset(&b);
    c.ca_pem = NULL;
    c.ca = "/nowhere/ca.crt";
    assert_true(exec_credential_ask(&c, &b, &e) < 0);
    assert_non_null(strstr(e.text, "/nowhere/ca.crt"));
    strbuf_done(&b);
}

static int parse(const char *text, struct exec_credential *c, struct err *e)
{
    return exec_credential_parse(text, strlen(text), V1, c, e);
}

static void test_answers(void **state)
{
    struct exec_credential c;
    struct err e;
    (void)state;
    assert_int_equal(parse(" \n" PRINTED("{\"token\":\"t\"}") "\n", &c, &e), 0);
    assert_string_equal(c.token, "t");
    assert_null(c.cert_pem);
    assert_int_equal(c.expires_ns, 0);
    exec_credential_done(&c);
    assert_null(c.token);
    assert_int_equal(parse(PRINTED("{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\","
                                   "\"expirationTimestamp\":\"2026-01-02T03:04:05Z\"}"),
                           &c, &e),
                     0);
    assert_string_equal(c.cert_pem, "c");
    assert_string_equal(c.key_pem, "k");
    assert_true(c.expires_ns == 1767323045000000000LL);
    exec_credential_done(&c);
}

static void test_wrong_answers(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "not one JSON object" },
        { "secret", "not one JSON object" },
        { "kind: ExecCredential", "not one JSON object" },
        { PRINTED("{\"token\":\"a\"}") PRINTED("{\"token\":\"b\"}"), "not one JSON object" },
        { "{\"kind\":\"Status\"}", "no ExecCredential" },
        { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1BETA1 "\",\"status\":{}}",
          "v1beta1\" where exec.apiVersion is " V1 },
        { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}", "has no status" },
        { PRINTED("[]"), "has no status" },
        { PRINTED("{}"), "neither a token nor" },
        { PRINTED("{\"clientKeyData\":\"secret\"}"), "come together" },
        { PRINTED("{\"token\":\"secret\",\"expirationTimestamp\":\"soon\"}"),
          "\"soon\" is no RFC" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exec_credential c;
        struct err e = { 0 };
        assert_true(parse(cases[i].text, &c, &e) < 0);
        if (!strstr(e.text, cases[i].words) || strstr(e.text, "secret"))
            fail_msg("case %zu: %s", i, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_wrong_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
