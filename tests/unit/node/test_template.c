/* The node cache's Corefile from its template. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/template.h"

static const struct stub_domain stubs[] = { { "a.example", "10.1.1.1 10.1.1.2:5353" },
                                            { "b.example", "10.1.1.3" } };
static const struct node_settings plain, upstreams = { .upstreams = "2.2.2.2:10053 3.3.3.3" },
                                         with_stubs = { .stubs = stubs, .n_stubs = 2 };

static const struct {
    const char *text;
    const struct node_settings *settings;
    const char *out;
} cases[] = {
    { "bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__\n", &plain,
      "bind 169.254.20.10 10.0.0.10 \n" },
    { "forward . __PILLAR__CLUSTER__DNS__ {\n        force_tcp\n    }\n", &upstreams,
      "forward . 9.10.11.12 {\n        force_tcp\n    }\n" },
    { "forward . __PILLAR__UPSTREAM__SERVERS__ {\n        force_tcp\n    }\n", &plain,
      "forward . /etc/resolv.conf {\n        force_tcp\n    }\n" },
    { "forward . __PILLAR__UPSTREAM__SERVERS__ {\n        force_tcp\n    }\nx", &upstreams,
      "forward . 2.2.2.2:10053 3.3.3.3\nx" },
    { "__PILLAR__UPSTREAM__SERVERS__ {force_tcp\n}", &upstreams, "2.2.2.2:10053 3.3.3.3" },
    { "__PILLAR__UPSTREAM__SERVERS__ {\nforce_tcp\nexpire 5s\n}", &upstreams,
      "2.2.2.2:10053 3.3.3.3 {\nforce_tcp\nexpire 5s\n}" },
    { "__PILLAR__UPSTREAM__SERVERS__ {", &upstreams, "2.2.2.2:10053 3.3.3.3 {" },
    { ". { }", &with_stubs,
      ". { }\n"
      "a.example:53 {\n    errors\n    cache 30\n    bind 169.254.20.10 10.0.0.10\n"
      "    forward . 10.1.1.1 10.1.1.2:5353\n}\n"
      "b.example:53 {\n    errors\n    cache 30\n    bind 169.254.20.10 10.0.0.10\n"
      "    forward . 10.1.1.3\n}\n" },
    { "__PILLAR", &plain, "__PILLAR" },
    { "", &plain, "" },
};

static struct template_values values(const struct node_settings *s, const char *cluster)
{
    return (struct template_values){ .local = "169.254.20.10 10.0.0.10",
                                     .cluster = cluster,
                                     .cluster_why = "X_SERVICE_HOST is not set",
                                     .port = 53,
                                     .settings = s };
}

static void rendered(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(strbuf_done) struct strbuf out = { 0 };
        struct err e = { 0 };
        struct template_values v = values(cases[i].settings, "9.10.11.12");
        assert_int_equal(
            template_render(cases[i].text, strlen(cases[i].text), "base", &v, &out, &e), 0);
        assert_string_equal(out.p ? out.p : "", cases[i].out);
    }
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *say;
    } bad[] = {
        { "a\n__PILLAR__UPSTREAM__SERVERS__ {\nforce_tcp\n}\n__PILLAR__DNS__DOMAIN__:53 {",
          "base:5: __PILLAR__DNS__DOMAIN__ is not replaced here" },
        { "\n__PILLAR__CLUSTER__DNS__",
          "base:2: __PILLAR__CLUSTER__DNS__ has no value: X_SERVICE_HOST is not set" },
        { "__PILLAR__", "base:1: __PILLAR__ is not replaced here" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup(strbuf_done) struct strbuf out = { 0 };
        struct err e = { 0 };
        struct template_values v = values(&upstreams, NULL);
        assert_true(template_render(bad[i].text, strlen(bad[i].text), "base", &v, &out, &e) < 0);
        assert_memory_equal(e.text, bad[i].say, strlen(bad[i].say));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rendered), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
