#include "base/cleanup.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/rand.h"
#include "wire/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(s) ((const uint8_t *)(s))

static int parse(const void *p, size_t len, size_t at, struct name *n)
{
    struct cursor c = cursor_of(p, len);
    c.pos = at;
    return name_parse(&c, n);
}

static void must(const char *text, struct name *n)
{
    assert_int_equal(name_from_text(text, n), 0);
}

static void reads_labels_and_their_places(void **state)
{
    (void)state;
    struct name n;
    struct cursor c = cursor_of("\3www\7Example\3com\0rest", 21);
    assert_int_equal(name_parse(&c, &n), 0);
    assert_int_equal(c.pos, 17);
    assert_int_equal(n.len, 17);
    assert_int_equal(n.n_labels, 3);
    assert_int_equal(n.off[1], 4);
    assert_int_equal(n.off[3], 16);
    assert_memory_equal(n.wire, "\3www\7Example\3com", 17);
}

static void follows_pointers_backwards(void **state)
{
    (void)state;
    static const char msg[] = "\3com\0\7example\300\0\3www\300\5";
    struct name n;
    struct cursor c = cursor_of(msg, sizeof msg - 1);
    c.pos = 15;
    assert_int_equal(name_parse(&c, &n), 0);
    assert_int_equal(c.pos, 21);
    assert_memory_equal(n.wire, "\3www\7example\3com", 17);
}

static void refuses_bad_pointers(void **state)
{
    (void)state;
    struct name n;
    assert_int_equal(parse("\300\0", 2, 0, &n), ERR_PARSE);       /* itself */
    assert_int_equal(parse("\300\2\300\0", 4, 0, &n), ERR_PARSE); /* forward */
    assert_int_equal(parse("\300\2\300\0", 4, 2, &n), ERR_PARSE); /* a circle */
    assert_int_equal(parse("\1a\300\0", 4, 2, &n), ERR_PARSE);    /* through labels */
    assert_int_equal(parse("\1a\300\0", 4, 0, &n), ERR_PARSE);    /* label, then back */
    assert_int_equal(parse("\0\300", 2, 1, &n), ERR_PARSE);       /* half a pointer */
    assert_int_equal(parse("\100a", 2, 0, &n), ERR_PARSE);        /* label type 01 */
    assert_int_equal(parse("\200a", 2, 0, &n), ERR_PARSE);        /* label type 10 */
    assert_int_equal(parse("\3ab", 3, 0, &n), ERR_PARSE);         /* cut label */
    assert_int_equal(parse("\1a", 2, 0, &n), ERR_PARSE);          /* no end */
    assert_int_equal(parse("", 0, 0, &n), ERR_PARSE);             /* nothing */
}

static void failure_leaves_the_cursor(void **state)
{
    (void)state;
    struct name n;
    struct cursor c = cursor_of("\1a\300\0", 4);
    assert_int_equal(name_parse(&c, &n), ERR_PARSE);
    assert_int_equal(c.pos, 0);
    assert_int_equal(name_parse_plain(&c, &n), ERR_PARSE);
    assert_int_equal(c.pos, 0);
}

static void bounds_a_chain_of_pointers(void **state)
{
    (void)state;
    uint8_t msg[1 + 2 * 200] = { 0 };
    struct name n;
    for (unsigned i = 0; i < 200; i++)
        put_u16(msg + 1 + 2 * i, (uint16_t)(0xc000 | (i ? 2 * i - 1 : 0)));
    assert_int_equal(parse(msg, sizeof msg, 1 + 2 * 126, &n), 0);
    assert_int_equal(n.len, 1);
    assert_int_equal(parse(msg, sizeof msg, 1 + 2 * 127, &n), ERR_PARSE);
}

/* n_labels labels of `len` bytes each. */
static size_t long_name(uint8_t *out, unsigned n_labels, unsigned len)
{
    uint8_t *p = out;
    for (unsigned i = 0; i < n_labels; i++, p += len + 1) {
        p[0] = (uint8_t)len;
        memset(p + 1, 'x', len);
    }
    *p = 0;
    return (size_t)(p - out) + 1;
}

static void keeps_the_limits(void **state)
{
    (void)state;
    uint8_t wire[400];
    struct name n;
    struct cursor c = cursor_of(wire, long_name(wire, 127, 1));
    assert_int_equal(c.len, 255);
    assert_int_equal(name_parse(&c, &n), 0);
    assert_int_equal(n.len, 255);
    assert_int_equal(n.n_labels, 127);
    assert_int_equal(n.off[127], 254);
    c.pos = 0;
    assert_int_equal(name_parse_plain(&c, &n), 0);
    assert_int_equal(n.len, 255);
    c.pos = 0;
    assert_true(name_skip_plain(&c));
    assert_int_equal(c.pos, 255);

    c = cursor_of(wire, long_name(wire, 128, 1));
    assert_int_equal(name_parse(&c, &n), ERR_PARSE);
    assert_int_equal(name_parse_plain(&c, &n), ERR_PARSE);
    assert_false(name_skip_plain(&c));

    size_t len = long_name(wire, 4, 62); /* 253 bytes */
    assert_int_equal(parse(wire, len, 0, &n), 0);
    memcpy(wire + len - 1, "\1a", 3); /* 255 */
    assert_int_equal(parse(wire, len + 2, 0, &n), 0);
    memcpy(wire + len - 1, "\2ab", 4); /* 256 */
    assert_int_equal(parse(wire, len + 3, 0, &n), ERR_PARSE);
    c = cursor_of(wire, len + 3);
    assert_int_equal(name_parse_plain(&c, &n), ERR_PARSE);

    len = long_name(wire, 1, 63);
    assert_int_equal(parse(wire, len, 0, &n), 0);
    len = long_name(wire, 1, 64);
    assert_int_equal(parse(wire, len, 0, &n), ERR_PARSE);
}

/* The limit counts what a name becomes, not what it looks like. */
static void counts_expanded_bytes(void **state)
{
    (void)state;
    uint8_t msg[400];
    struct name n;
    size_t len = long_name(msg, 4, 62);
    memcpy(msg + len, "\1a\300", 4);
    assert_int_equal(parse(msg, len + 4, len, &n), 0);
    assert_int_equal(n.len, 255);
    memcpy(msg + len, "\2ab\300", 5);
    assert_int_equal(parse(msg, len + 5, len, &n), ERR_PARSE);
}

static void plain_refuses_pointers(void **state)
{
    (void)state;
    struct name n;
    struct cursor c = cursor_of("\0\1a\300\0", 5);
    c.pos = 1;
    assert_int_equal(name_parse_plain(&c, &n), ERR_PARSE);
    assert_false(name_skip_plain(&c));
    assert_int_equal(name_parse(&c, &n), 0);
}

static void text_round_trip(const char *text, const char *again)
{
    struct name n;
    char out[NAME_TEXT_MAX];
    must(text, &n);
    assert_string_equal(name_to_text(n.wire, out), again);
}

static void writes_and_reads_text(void **state)
{
    (void)state;
    text_round_trip(".", ".");
    text_round_trip("example.com", "example.com.");
    text_round_trip("Example.COM.", "Example.COM.");
    text_round_trip("a\\.b.c", "a\\.b.c.");
    text_round_trip("a\\046b.c", "a\\.b.c.");
    text_round_trip("\\000\\255\\032.", "\\000\\255\\032.");
    text_round_trip("*.x", "*.x.");
    text_round_trip("@", "\\@.");
    text_round_trip("a\"b;(c)", "a\\\"b\\;\\(c\\).");
    text_round_trip("_http._tcp.web.", "_http._tcp.web.");
}

static void refuses_bad_text(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "..", ".a", "a..b", "a\\", "a\\25", "a\\256", "a\\2x5" };
    struct name n;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(name_from_text(bad[i], &n), ERR_PARSE);
    char text[300];
    memset(text, 'a', sizeof text);
    text[63] = 0;
    assert_int_equal(name_from_text(text, &n), 0);
    text[63] = 'a';
    text[64] = 0;
    assert_int_equal(name_from_text(text, &n), ERR_PARSE);
    for (unsigned i = 0; i < 254; i++) /* 127 labels */
        text[i] = i % 2 ? '.' : 'a';
    text[254] = 0;
    assert_int_equal(name_from_text(text, &n), 0);
    assert_int_equal(n.len, 255);
    memcpy(text + 254, "a", 2);
    assert_int_equal(name_from_text(text, &n), ERR_PARSE);
}

static void longest_text_fits(void **state)
{
    (void)state;
    uint8_t wire[300];
    char out[NAME_TEXT_MAX];
    struct name n;
    size_t len = long_name(wire, 4, 62);
    memcpy(wire + len - 1, "\1", 2);
    wire[len + 1] = 0;
    for (unsigned i = 0; i < 254; i++) {
        if (wire[i] == 'x')
            wire[i] = 1;
    }
    name_to_text(wire, out);
    assert_true(strlen(out) < NAME_TEXT_MAX);
    must(out, &n);
    assert_memory_equal(n.wire, wire, 255);
}

static void appends_the_origin(void **state)
{
    (void)state;
    struct name n, origin;
    char out[NAME_TEXT_MAX];
    must("example.org", &origin);
    assert_int_equal(name_from_text_at("www", 3, origin.wire, &n), 0);
    assert_string_equal(name_to_text(n.wire, out), "www.example.org.");
    assert_int_equal(name_from_text_at("www.", 4, origin.wire, &n), 0);
    assert_string_equal(name_to_text(n.wire, out), "www.");
    assert_int_equal(name_from_text_at("@", 1, origin.wire, &n), 0);
    assert_string_equal(name_to_text(n.wire, out), "example.org.");
    assert_int_equal(name_from_text_at(".", 1, origin.wire, &n), 0);
    assert_int_equal(n.len, 1);
    assert_int_equal(name_from_text_at("a\\.", 3, origin.wire, &n), 0);
    assert_string_equal(name_to_text(n.wire, out), "a\\..example.org.");

    uint8_t wire[300];
    long_name(wire, 4, 62); /* 253: two more bytes fit */
    assert_int_equal(name_from_text_at("a", 1, wire, &n), 0);
    assert_int_equal(name_from_text_at("ab", 2, wire, &n), ERR_PARSE);
}

static void compares_without_case(void **state)
{
    (void)state;
    assert_true(name_equal(BYTES("\3www\3Com"), BYTES("\3WWW\3cOM")));
    assert_false(name_equal(BYTES("\3www\3com"), BYTES("\3www\3con")));
    assert_false(name_equal(BYTES("\3www"), BYTES("\3www\3com")));
    assert_false(name_equal(BYTES("\1a\1b"), BYTES("\3a.b")));
    assert_false(name_equal(BYTES("\1["), BYTES("\1{"))); /* differ by 0x20, yet no letters */
    assert_false(name_equal(BYTES("\1@"), BYTES("\1`")));
    assert_true(name_equal(BYTES(""), BYTES("")));
}

static void knows_what_lies_below(void **state)
{
    (void)state;
    assert_true(name_is_below(BYTES("\1a\3COM"), BYTES("\3com")));
    assert_true(name_is_below(BYTES("\3com"), BYTES("\3com")));
    assert_true(name_is_below(BYTES("\3com"), BYTES("")));
    assert_false(name_is_below(BYTES("\3com"), BYTES("\1a\3com")));
    assert_false(name_is_below(BYTES("\4acom"), BYTES("\3com")));
}

/* The example of RFC 4034 section 6.1. */
static void orders_canonically(void **state)
{
    (void)state;
    static const char *const sorted[] = {
        "example.",         "a.example.",      "yljkjljk.a.example.",
        "Z.a.example.",     "zABC.a.EXAMPLE.", "z.example.",
        "\\001.z.example.", "*.z.example.",    "\\200.z.example.",
    };
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
            struct name a, b;
            must(sorted[i], &a);
            must(sorted[j], &b);
            int diff = name_compare(a.wire, b.wire);
            assert_true(i < j ? diff < 0 : i > j ? diff > 0 : diff == 0);
        }
    }
}

static void lowers_every_byte_rightly(void **state)
{
    (void)state;
    uint8_t in[256], out[257];
    for (unsigned i = 0; i < 256; i++)
        in[i] = (uint8_t)i;
    for (unsigned len = 0; len <= 255; len++) {
        memset(out, 0xee, sizeof out);
        name_lower(out, in + (256 - len), len);
        for (unsigned i = 0; i < len; i++) {
            uint8_t b = in[256 - len + i];
            assert_int_equal(out[i], b >= 'A' && b <= 'Z' ? b + 32 : b);
        }
        assert_int_equal(out[len], 0xee);
    }
    name_lower(in, in, 255); /* in place */
    assert_int_equal(in['Q'], 'q');
}

static void turns_addresses_into_names(void **state)
{
    (void)state;
    static const struct {
        const char *ip, *name;
    } cases[] = {
        { "10.0.0.1", "1.0.0.10.in-addr.arpa." },
        { "255.200.9.0", "0.9.200.255.in-addr.arpa." },
        { "fd00::10", "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa." },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ip ip, back;
        struct name n;
        char text[NAME_TEXT_MAX];
        assert_int_equal(ip_parse(cases[i].ip, &ip), 0);
        name_from_ip(&ip, &n);
        assert_string_equal(name_to_text(n.wire, text), cases[i].name);
        assert_int_equal(name_to_ip(n.wire, &back), 0);
        assert_true(ip_equal(&ip, &back));
    }
}

static void refuses_names_that_are_no_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        ".",
        "arpa.",
        "in-addr.arpa.",
        "0.0.10.in-addr.arpa.",
        "1.1.0.0.10.in-addr.arpa.",
        "256.0.0.10.in-addr.arpa.",
        "01.0.0.10.in-addr.arpa.",
        "a.0.0.10.in-addr.arpa.",
        "1000.0.0.10.in-addr.arpa.",
        "1.0.0.10.ip6.arpa.",
        "1.0.0.10.in-addr.arpb.",
        "g.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
        "00.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
    };
    struct ip ip;
    struct name n;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        must(bad[i], &n);
        assert_int_equal(name_to_ip(n.wire, &ip), ERR_NOT_FOUND);
    }
    must("1.0.0.10.IN-ADDR.ARPA", &n);
    assert_int_equal(name_to_ip(n.wire, &ip), 0);
}

static void random_name(struct rand *r, uint8_t *wire)
{
    unsigned at = 0, labels = rand_below(r, 20);
    while (labels--) {
        unsigned len = 1 + rand_below(r, 63);
        if (at + len + 2 > NAME_MAX_WIRE)
            break;
        wire[at++] = (uint8_t)len;
        while (len--)
            wire[at++] = (uint8_t)rand_next(r);
    }
    wire[at] = 0;
}

static void any_name_survives_text(void **state)
{
    (void)state;
    struct rand r = { { 1, 2, 3, 4 } };
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t wire[NAME_MAX_WIRE];
        char text[NAME_TEXT_MAX];
        struct name a, b;
        random_name(&r, wire);
        must(name_to_text(wire, text), &a);
        assert_int_equal(a.len, name_wire_len(wire));
        assert_int_equal(a.n_labels, name_wire_labels(wire));
        assert_memory_equal(a.wire, wire, a.len);
        struct cursor c = cursor_of(wire, a.len);
        assert_int_equal(name_parse_plain(&c, &b), 0);
        assert_memory_equal(a.off, b.off, a.n_labels + 1u);
        assert_true(name_equal(a.wire, b.wire));
        assert_int_equal(name_compare(a.wire, b.wire), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_labels_and_their_places),
        cmocka_unit_test(follows_pointers_backwards),
        cmocka_unit_test(refuses_bad_pointers),
        cmocka_unit_test(failure_leaves_the_cursor),
        cmocka_unit_test(bounds_a_chain_of_pointers),
        cmocka_unit_test(keeps_the_limits),
        cmocka_unit_test(counts_expanded_bytes),
        cmocka_unit_test(plain_refuses_pointers),
        cmocka_unit_test(writes_and_reads_text),
        cmocka_unit_test(refuses_bad_text),
        cmocka_unit_test(longest_text_fits),
        cmocka_unit_test(appends_the_origin),
        cmocka_unit_test(compares_without_case),
        cmocka_unit_test(knows_what_lies_below),
        cmocka_unit_test(orders_canonically),
        cmocka_unit_test(lowers_every_byte_rightly),
        cmocka_unit_test(turns_addresses_into_names),
        cmocka_unit_test(refuses_names_that_are_no_addresses),
        cmocka_unit_test(any_name_survives_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
