/* From Corefile keys to listeners, and from a question to the block that answers it. */
#include "dns/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct dns_config *config;
};

static int try_begin(struct world *w, const char *text, struct err *e)
{
    static const struct dns_options options = { .workers = 1 };
    *w = (struct world){ 0 };
    struct corefile *c = NULL;
    assert_int_equal(corefile_parse(text, strlen(text), "Corefile", NULL, &c, e), 0);
    return dns_config_new(c, &options, NULL, &w->config, e);
}

static void begin(struct world *w, const char *text)
{
    struct err e;
    if (try_begin(w, text, &e) < 0)
        fail_msg("%s", e.text);
}

static void end(struct world *w)
{
    dns_config_free(w->config);
}

static void expect_error(const char *corefile, const char *text)
{
    struct world w;
    struct err e;
    assert_true(try_begin(&w, corefile, &e) < 0);
    assert_string_equal(e.text, text);
}

/* The zone that a question at the first listener is routed to; "-": none. */
static const char *zone_at(const struct dns_listener *l, const char *name, uint16_t type)
{
    static struct query query;
    struct question *q = &query.msg.q;
    q->type = type;
    assert_int_equal(name_from_text(name, &q->name), 0);
    name_lower(q->lower, q->name.wire, q->name.len);
    const struct route *r = listener_route(l, &query);
    return r ? r->zone : "-";
}

static void expect_zone(const struct world *w, const char *name, uint16_t type, const char *zone)
{
    assert_string_equal(zone_at(&w->config->listeners.items[0], name, type), zone);
}

static void test_longest_zone(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "example.org:53 {\n whoami\n}\na.example.org:53 b.a.example.org:53 {\n whoami\n}\n");
    assert_int_equal(w.config->listeners.n, 1);
    expect_zone(&w, "example.org", RR_A, "example.org.");
    expect_zone(&w, "x.example.org", RR_A, "example.org.");
    expect_zone(&w, "X.A.EXAMPLE.org", RR_A, "a.example.org.");
    expect_zone(&w, "a.example.org", RR_A, "a.example.org.");
    expect_zone(&w, "b.a.example.org", RR_A, "b.a.example.org.");
    expect_zone(&w, "ba.example.org", RR_A, "example.org.");
    expect_zone(&w, "org", RR_A, "-");
    expect_zone(&w, "xexample.org", RR_A, "-");
    expect_zone(&w, ".", RR_A, "-");
    end(&w);
}

/* RFC 4035 section 3.1.4.1: the DS of a zone is its parent's. */
static void test_ds_goes_to_the_parent(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "org {\n whoami\n}\nexample.org {\n whoami\n}\nother.net {\n whoami\n}\n");
    expect_zone(&w, "example.org", RR_DS, "org.");
    expect_zone(&w, "x.example.org", RR_DS, "org.");
    expect_zone(&w, "example.org", RR_A, "example.org.");
    expect_zone(&w, "other.net", RR_DS, "other.net."); /* nobody else has it */
    expect_zone(&w, "org", RR_DS, "org.");
    end(&w);
    begin(&w, ". {\n whoami\n}\nexample.org {\n whoami\n}\n");
    expect_zone(&w, "example.org", RR_DS, "example.org."); /* "." is no parent */
    expect_zone(&w, "org", RR_DS, ".");
    expect_zone(&w, ".", RR_DS, ".");
    end(&w);
}

/* More zones than are scanned: a table is asked, and must say the same. */
static void test_many_zones(void **state)
{
    struct world w;
    struct strbuf text = { 0 };
    (void)state;
    for (int i = 0; i < 300; i++)
        strbuf_printf(&text, "z%d.example.org ", i);
    strbuf_puts(&text,
                "{\n whoami\n}\nexample.org {\n whoami\n}\nsub.z7.example.org . {\n whoami\n}\n");
    begin(&w, text.p);
    strbuf_done(&text);
    assert_true(w.config->listeners.items[0].n_routes > ROUTES_SCANNED);
    expect_zone(&w, "z7.example.org", RR_A, "z7.example.org.");
    expect_zone(&w, "www.Z299.example.org", RR_A, "z299.example.org.");
    expect_zone(&w, "a.b.sub.z7.example.org", RR_A, "sub.z7.example.org.");
    expect_zone(&w, "z300.example.org", RR_A, "example.org.");
    expect_zone(&w, "example.org", RR_A, "example.org.");
    expect_zone(&w, "org", RR_A, ".");
    expect_zone(&w, ".", RR_A, ".");
    expect_zone(&w, "z7.example.org", RR_DS, "example.org.");
    expect_zone(&w, "sub.z7.example.org", RR_DS, "z7.example.org.");
    expect_zone(&w, "example.org", RR_DS, "example.org.");
    end(&w);
}

static void test_listeners(void **state)
{
    struct world w;
    struct strbuf text = { 0 };
    (void)state;
    begin(&w, "a.org:1053 b.org:1054 {\n bind 127.0.0.1 ::1\n}\nc.org:1053 {\n bind 127.0.0.1\n}\n"
              "d.org:1053 {\n}\n");
    dns_config_print(w.config, &text);
    assert_string_equal(text.p, "a.org.:1053 on 127.0.0.1\nc.org.:1053 on 127.0.0.1\n"
                                "a.org.:1053 on ::1\n"
                                "b.org.:1054 on 127.0.0.1\n"
                                "b.org.:1054 on ::1\n"
                                "d.org.:1053\n");
    strbuf_done(&text);
    unsigned n;
    const struct route *const *routes = dns_config_routes(w.config, &n);
    assert_int_equal(n, 6);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(routes[i]->id, i);
    assert_string_equal(routes[0]->server, "dns://127.0.0.1:1053");
    assert_string_equal(routes[n - 1]->server, "dns://:1053");
    end(&w);
}

static void test_reverse_keys(void **state)
{
    struct world w;
    (void)state;
    begin(&w, "10.0.0.0/8 2001:db8::/32 {\n whoami\n}\n");
    expect_zone(&w, "1.2.3.10.in-addr.arpa", RR_PTR, "10.in-addr.arpa.");
    expect_zone(&w, "1.8.b.d.0.1.0.0.2.ip6.arpa", RR_PTR, "8.b.d.0.1.0.0.2.ip6.arpa.");
    expect_zone(&w, "1.2.3.11.in-addr.arpa", RR_PTR, "-");
    end(&w);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_error("a.org {\n whoami\n}\nA.ORG. {\n whoami\n}\n",
                 "Corefile:4 - cannot serve dns://a.org.:53 - it is already defined");
    expect_error("a.org {\n bind 127.0.0.1\n}\na.org {\n bind 127.0.0.1\n}\n",
                 "Corefile:4 - cannot serve dns://a.org.:53 - it is already defined");
    expect_error("a.org {\n bind 127.0.0.1\n}\na.org {\n whoami\n}\n",
                 "cannot serve dns://a.org.:53 - zone overlap listener capacity with "
                 "dns://127.0.0.1:53");
    expect_error("quic://a.org {\n whoami\n}\n",
                 "Corefile:1 - quic:// listeners are not supported; use tls://");
    expect_error("tls://a.org {\n}\ntls://a.org {\n}\n",
                 "Corefile:3 - cannot serve tls://a.org.:853 - it is already defined");
    expect_error("dns://a.org:853 {\n bind 127.0.0.1\n}\ntls://b.org {\n}\n",
                 "cannot serve dns://127.0.0.1:853 and tls://:853: one port cannot have two "
                 "schemes");
    expect_error("a.org {\n health\n health\n}\n",
                 "plugin/health: Corefile:3 - Error during parsing: this plugin can only be used "
                 "once per Server Block");
    expect_error("a.org {\n whoami x\n}\n",
                 "plugin/whoami: Corefile:2 - Error during parsing: Wrong argument count or "
                 "unexpected line ending after 'x'");
}

static void test_explain(void **state)
{
    struct world w;
    struct strbuf text = { 0 };
    (void)state;
    begin(&w, "a.org {\n whoami\n loadbalance\n log\n errors\n}\nb.org {\n}\n");
    dns_config_explain(w.config, &text);
    assert_non_null(strstr(text.p, "a.org. at dns://:53\n  in:   whoami\n  out:  loadbalance\n"
                                   "  then: errors, log\n"));
    assert_non_null(strstr(text.p, "b.org. at dns://:53\n  in:   (nothing"));
    strbuf_done(&text);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_zone), cmocka_unit_test(test_ds_goes_to_the_parent),
        cmocka_unit_test(test_many_zones),   cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_reverse_keys), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
