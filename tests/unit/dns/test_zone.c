/* Zone files: what is read, what is refused, and what is found in the data. */
#include "dns/zone_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEAD "$TTL 60\n@ IN SOA ns root 7 2 3 4 5\n@ NS ns\n"

static struct zone_data *read_zone(const char *text, struct err *e)
{
    struct name origin;
    struct zone_data *z = NULL;
    assert_int_equal(name_from_text("example.test.", &origin), 0);
    struct zone_builder *b = zone_builder_new(origin.wire);
    struct zone_sink sink = { .record = zone_builder_add, .ctx = b };
    int code = zone_text_parse(&sink, "zone.db", text, strlen(text), origin.wire, e);
    zone_sink_done(&sink);
    if (code < 0)
        zone_builder_free(b);
    else if (zone_builder_end(b, &z, e) < 0)
        z = NULL;
    return z;
}

static struct zone_data *good(const char *text)
{
    struct err e = { 0 };
    struct zone_data *z = read_zone(text, &e);
    assert_string_equal(e.text, "");
    assert_non_null(z);
    return z;
}

static void refused(const char *text, const char *why)
{
    struct err e = { 0 };
    assert_null(read_zone(text, &e));
    if (!strstr(e.text, why))
        fail_msg("\"%s\" is not in \"%s\"", why, e.text);
}

static const struct zone_node *node(const struct zone_data *z, const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(text, &n), 0);
    return zone_find(z, n.wire, n.len);
}

/* "ttl rdata, ttl rdata" of a name and type; "-": nothing. */
static void has(const struct zone_data *z, const char *name, uint16_t type, const char *expected)
{
    struct strbuf out = { 0 };
    const struct zone_node *n = node(z, name);
    const struct zone_rrs *r = n ? zone_node_rrs(n, type, 0) : NULL;
    for (; r && r < n->sets + n->n && r->rr.type == type; r++) {
        const uint8_t *p = r->rr.rdata;
        for (uint16_t i = 0; i < r->rr.count; i++) {
            size_t len = r->rr.rdlen ? r->rr.rdlen : get_u16(p);
            p += r->rr.rdlen ? 0 : 2;
            strbuf_printf(&out, "%s%u ", out.len ? ", " : "", r->rr.ttl);
            rdata_to_text(type, p, len, &out);
            p += len;
        }
    }
    assert_string_equal(out.len ? out.p : "-", expected);
    strbuf_done(&out);
}

static void test_forms(void **state)
{
    (void)state;
    struct zone_data *z = good(HEAD "WWW 1h30m IN A 192.0.2.1 ; comment\n"
                                    "\tIN 90 A 192.0.2.2\n"
                                    "  AAAA 2001:db8::1\r\n"
                                    "txt TXT ( \"a;b\" ; c\n  \"(d)\"\n )\n"
                                    "$ORIGIN sub\n"
                                    "mx MX 10 mail\n"
                                    "abs.example.test. CNAME @\n"
                                    "$TTL 2d\n"
                                    "late A 192.0.2.9\n"
                                    "esc\\.dot A 192.0.2.8\n");
    has(z, "www.example.test.", RR_A, "5400 192.0.2.1, 90 192.0.2.2");
    has(z, "www.example.test.", RR_AAAA, "60 2001:db8::1");
    has(z, "txt.example.test.", RR_TXT, "60 \"a;b\" \"(d)\"");
    has(z, "mx.sub.example.test.", RR_MX, "60 10 mail.sub.example.test.");
    has(z, "abs.example.test.", RR_CNAME, "60 sub.example.test.");
    has(z, "late.sub.example.test.", RR_A, "172800 192.0.2.9");
    has(z, "esc\\.dot.sub.example.test.", RR_A, "172800 192.0.2.8");
    assert_int_equal(z->serial, 7);
    zone_data_free(z);
}

static void test_last_ttl(void **state)
{
    (void)state;
    struct zone_data *z =
        good("@ 600 SOA ns root 7 2 3 4 5\na A 192.0.2.1\nb 5 A 192.0.2.2\nc A 192.0.2.3\n");
    has(z, "a.example.test.", RR_A, "600 192.0.2.1");
    has(z, "c.example.test.", RR_A, "5 192.0.2.3");
    zone_data_free(z);
    refused("@ SOA ns root 7 2 3 4 5\n", "zone.db:1: no TTL");
}

static void test_generate(void **state)
{
    (void)state;
    struct zone_data *z = good(HEAD "$GENERATE 8-10/2 h$ A 192.0.2.$\n"
                                    "$GENERATE 1-2 x${9,3,x} 7 IN TXT \"n\\$${-1}\"\n");
    has(z, "h8.example.test.", RR_A, "60 192.0.2.8");
    has(z, "h9.example.test.", RR_A, "-");
    has(z, "h10.example.test.", RR_A, "60 192.0.2.10");
    has(z, "x00a.example.test.", RR_TXT, "7 \"n$0\"");
    has(z, "x00b.example.test.", RR_TXT, "7 \"n$1\"");
    zone_data_free(z);
    refused(HEAD "$GENERATE 5-1 a A 192.0.2.1\n", "zone.db:4: $GENERATE needs a range");
    refused(HEAD "$GENERATE 0-70000 a$ A 192.0.2.1\n", "at most 65536");
    refused(HEAD "$GENERATE 1-2 a${0,99} A 192.0.2.1\n", "OFFSET");
}

static void test_repeated_records(void **state)
{
    (void)state;
    struct strbuf text = { 0 };
    struct zone_data *z = good(HEAD "a A 192.0.2.1\na A 192.0.2.2\nA A 192.0.2.1\n");
    has(z, "a.example.test.", RR_A, "60 192.0.2.1, 60 192.0.2.2");
    zone_data_free(z);
    strbuf_puts(&text, HEAD);
    for (int i = 0; i < 100; i++)
        strbuf_printf(&text, "b A 192.0.2.%d\n", i % 50);
    z = good(text.p);
    assert_int_equal(zone_node_rrs(node(z, "b.example.test."), RR_A, 0)->rr.count, 50);
    strbuf_done(&text);
    zone_data_free(z);
}

static void test_tree(void **state)
{
    (void)state;
    struct name n;
    struct zone_data *z =
        good(HEAD "a.b.c A 192.0.2.1\nz.b.c A 192.0.2.2\nother.test. A 192.0.2.3\n"
                  "sub.example.test. SOA x. y. 9 1 1 1 1\n");
    assert_int_equal(z->n_outside, 1);
    assert_int_equal(z->serial, 9); /* the last SOA counts */
    assert_int_equal(node(z, "b.c.example.test.")->n, 0);
    assert_non_null(node(z, "c.example.test."));
    assert_null(node(z, "d.example.test."));
    assert_ptr_equal(z->apex, node(z, "example.test."));
    assert_int_equal(name_from_text("m.b.c.example.test.", &n), 0);
    assert_ptr_equal(zone_before(z, n.wire), node(z, "a.b.c.example.test."));
    assert_int_equal(name_from_text("b.c.example.test.", &n), 0);
    assert_ptr_equal(zone_before(z, n.wire), z->apex); /* c has no records */
    for (size_t i = 1; i < z->n_nodes; i++)
        assert_true(name_compare(z->nodes[i - 1].wire, z->nodes[i].wire) < 0);
    zone_data_free(z);
}

static void test_signatures(void **state)
{
    (void)state;
    struct zone_data *z =
        good(HEAD "a A 192.0.2.1\n"
                  "a RRSIG A 8 3 60 20300101000000 20200101000000 1 example.test. AAAA\n"
                  "a RRSIG NSEC 8 3 60 20300101000000 20200101000000 1 example.test. BBBB\n"
                  "a NSEC example.test. A RRSIG NSEC\n");
    const struct zone_node *a = node(z, "a.example.test.");
    assert_int_equal(zone_node_rrs(a, RR_RRSIG, RR_A)->covers, RR_A);
    assert_int_equal(zone_node_rrs(a, RR_RRSIG, RR_NSEC)->covers, RR_NSEC);
    assert_null(zone_node_rrs(a, RR_RRSIG, RR_AAAA));
    zone_data_free(z);
    refused(HEAD "@ NSEC3PARAM 1 0 0 -\n", "NSEC3 are not supported");
}

static void test_refused(void **state)
{
    (void)state;
    refused("", "no SOA record for the zone example.test.");
    refused("$TTL 60\na A 192.0.2.1\n", "no SOA");
    refused(HEAD "a A 192.0.2.300\n", "zone.db:4: ");
    refused(HEAD "\n\n; c\nb TXT \"open\n", "zone.db:7: a quoted string does not end on line 7");
    refused(HEAD "a TXT ( x\ny\n", "zone.db:4: '(' without ')'");
    refused(HEAD "a TXT x )\n", "')' on line 4");
    refused(HEAD "a CH TXT x\n", "class CH");
    refused(HEAD "a FROG x\n", "\"FROG\" is not a TTL, class or record type");
    refused(HEAD "a AXFR x\n", "type AXFR cannot stand in a zone");
    refused(HEAD "a 60 IN\n", "the record type is missing");
    refused(HEAD "$FROG x\n", "unknown directive \"$FROG\"");
    refused(HEAD "$TTL frog\n", "$TTL needs a time");
    refused(HEAD "$INCLUDE /nonexistent/file\n", "zone.db:4: $INCLUDE: open /nonexistent/file");
    refused(HEAD "$ORIGIN a b\n", "\"b\" is one word too many");
    refused(" A 192.0.2.1\n", "the first record has no owner name");
    refused(HEAD "a NS \\# 1 05\n", "zone.db:4: rdata of NS: these bytes");
    refused("@ 60 SOA \\# 4 00000000\n", "zone.db:1: rdata of SOA: these bytes");
    refused(HEAD "a..b A 192.0.2.1\n", "is not a domain name");
    refused(HEAD "a TXT x\\\n", "ends in a backslash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_last_ttl),
        cmocka_unit_test(test_generate), cmocka_unit_test(test_repeated_records),
        cmocka_unit_test(test_tree),     cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
