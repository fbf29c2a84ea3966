#include "wire/canonical.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct name name_of(const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(text, &n), 0);
    return n;
}

/* ---- rdata ---- */

static void check_lowered(uint16_t type, const char *text, const char *expect)
{
    uint8_t rdata[512], wanted[512];
    struct wbuf w = wbuf_of(rdata, sizeof rdata), x = wbuf_of(wanted, sizeof wanted);
    assert_int_equal(rdata_from_text(type, text, NULL, &w, NULL), 0);
    assert_int_equal(rdata_from_text(type, expect, NULL, &x, NULL), 0);
    rdata_canonical(type, rdata, w.pos);
    assert_int_equal(w.pos, x.pos);
    assert_memory_equal(rdata, wanted, w.pos);
}

static void test_names_inside_are_lowered(void **state)
{
    (void)state;
    check_lowered(RR_MX, "10 Mail.EXAMPLE.", "10 mail.example.");
    check_lowered(RR_SOA, "Ns.A. Root.B. 1 2 3 4 5", "ns.a. root.b. 1 2 3 4 5");
    check_lowered(RR_SRV, "1 2 3 WWW.x.", "1 2 3 www.x.");
    check_lowered(RR_NAPTR, "1 2 \"S\" \"SIP\" \"\" Srv.X.", "1 2 \"S\" \"SIP\" \"\" srv.x.");
    check_lowered(RR_TXT, "\"As It Is\"", "\"As It Is\"");
}

/* RFC 6840 section 5.1 takes NSEC off the list; newer types were never on it. */
static void test_names_that_stay(void **state)
{
    (void)state;
    check_lowered(RR_NSEC, "Next.X. A MX", "Next.X. A MX");
    check_lowered(RR_HTTPS, "1 Svc.X.", "1 Svc.X.");
}

static void test_rdata_order(void **state)
{
    (void)state;
    assert_true(rdata_compare((const uint8_t *)"ab", 2, (const uint8_t *)"b", 1) < 0);
    assert_true(rdata_compare((const uint8_t *)"ab", 2, (const uint8_t *)"a", 1) > 0);
    assert_true(rdata_compare((const uint8_t *)"", 0, (const uint8_t *)"a", 1) < 0);
    assert_int_equal(rdata_compare((const uint8_t *)"ab", 2, (const uint8_t *)"ab", 2), 0);
}

/* ---- type bits ---- */

static void test_bitmap_of_the_rfc(void **state)
{
    static const uint16_t types[] = { RR_A, RR_MX, RR_RRSIG, RR_NSEC, 1234 };
    static const uint8_t expect[] = "\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b"
                                    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20";
    uint8_t out[64];
    struct wbuf w = wbuf_of(out, sizeof out);
    (void)state;
    type_bitmap_put(&w, types, ARRAY_SIZE(types));
    assert_int_equal(w.pos, sizeof expect - 1);
    assert_memory_equal(out, expect, w.pos);
}

static void test_bitmap_of_nothing(void **state)
{
    uint8_t out[4];
    struct wbuf w = wbuf_of(out, sizeof out);
    (void)state;
    type_bitmap_put(&w, NULL, 0);
    assert_int_equal(w.pos, 0);
}

/* ---- the next name ---- */

static void check_after(const char *text, bool subtree, const char *expect)
{
    struct name n = name_of(text), x = name_of(expect);
    uint8_t out[NAME_MAX_WIRE];
    char shown[NAME_TEXT_MAX];
    assert_true(name_after(n.wire, subtree, out));
    assert_string_equal(name_to_text(out, shown), expect);
    assert_int_equal(name_wire_len(out), x.len);
    assert_true(name_compare(n.wire, out) < 0);
}

static void test_name_after(void **state)
{
    (void)state;
    check_after("a.example.", false, "\\000.a.example.");
    check_after(".", false, "\\000.");
    check_after("WwW.example.", false, "\\000.www.example.");
    check_after("a.example.", true, "a\\000.example.");
}

/* 63 + 63 + 63 + last bytes of label, with lengths and root. */
static void long_name(char *text, unsigned last)
{
    char *p = text;
    for (int i = 0; i < 3; i++)
        p += sprintf(p, "%.*s.", 63,
                     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    memset(p, 'c', last);
    strcpy(p + last, ".");
}

static void test_name_after_a_long_one(void **state)
{
    char text[300];
    uint8_t out[NAME_MAX_WIRE];
    (void)state;
    for (unsigned last = 58; last <= 61; last++) {
        long_name(text, last);
        struct name n = name_of(text);
        assert_true(name_after(n.wire, false, out));
        assert_true(name_compare(n.wire, out) < 0);
        assert_true(name_wire_len(out) <= NAME_MAX_WIRE);
    }
    assert_int_equal(out[63], 'c'); /* 255 bytes: the first label is raised */
}

static void test_raised_labels_pass_the_capitals(void **state)
{
    uint8_t wire[66] = { 63 }, out[NAME_MAX_WIRE];
    (void)state;
    memset(wire + 1, '@', 63);
    assert_true(name_after(wire, true, out));
    assert_int_equal(out[63], '[');
    assert_true(name_compare(wire, out) < 0);
    memset(wire + 1, 0xff, 63);
    assert_false(name_after(wire, true, out));
    wire[1] = 'a';
    assert_true(name_after(wire, true, out));
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 'b');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_inside_are_lowered),
        cmocka_unit_test(test_names_that_stay),
        cmocka_unit_test(test_rdata_order),
        cmocka_unit_test(test_bitmap_of_the_rfc),
        cmocka_unit_test(test_bitmap_of_nothing),
        cmocka_unit_test(test_name_after),
        cmocka_unit_test(test_name_after_a_long_one),
        cmocka_unit_test(test_raised_labels_pass_the_capitals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
