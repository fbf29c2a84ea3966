#include "dns/axfr.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "wire/msg.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

#define ID 77

static const uint8_t origin[] = "\1z\4test";

/* What is left of a transfer. */
struct seen {
    unsigned records, soas;
    char last[NAME_TEXT_MAX];
    uint32_t last_ttl;
};

static int see(void *ctx, const struct zone_record *r, struct err *e)
{
    struct seen *s = ctx;
    (void)e;
    s->records++;
    s->soas += r->type == RR_SOA;
    s->last_ttl = r->ttl;
    (void)name_to_text(r->owner, s->last);
    return 0;
}

/* A message with a question and records in text form. */
struct text_message {
    uint16_t id, flags, rcode, qtype;
    const char *qname;
    const char *records[8];
};

static size_t encode(const struct text_message *t, struct arena *a, uint8_t *out)
{
    struct question q = { .type = t->qtype ? t->qtype : RR_AXFR, .class = CLASS_IN };
    struct reply r = { .id = t->id ? t->id : ID,
                       .flags = t->flags ? t->flags : FLAG_QR | FLAG_AA,
                       .rcode = t->rcode,
                       .q = &q,
                       .tc = t->flags & FLAG_TC };
    assert_int_equal(name_from_text(t->qname ? t->qname : "Z.test.", &q.name), 0);
    for (int i = 0; t->records[i]; i++) {
        struct rrset rr;
        assert_int_equal(rr_from_text(t->records[i], NULL, 0, a, &rr, NULL), 0);
        rrset_list_add(&r.section[SECTION_ANSWER], a, rr);
    }
    return msg_encode(&r, out, MSG_MAX);
}

/* What the last of the messages gives. */
static int run(const struct text_message *messages, size_t n, struct seen *ret, struct err *e)
{
    static struct axfr a;
    static uint8_t wire[MSG_MAX];
    struct arena arena;
    int code = 0;
    *ret = (struct seen){ 0 };
    axfr_init(&a, origin, ID, see, ret);
    arena_init(&arena, 4096);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(code, 0);
        code = axfr_message(&a, wire, encode(&messages[i], &arena, wire), e);
    }
    arena_done(&arena);
    return code;
}

#define SOA_1 "z.test. 60 IN SOA ns.z.test. root.z.test. 1 2 3 4 5"
#define SOA_2 "z.test. 60 IN SOA ns.z.test. root.z.test. 2 2 3 4 5"

static void test_whole(void **state)
{
    struct seen seen;
    struct err e = { 0 };
    const struct text_message one[] = { { .records = { SOA_1, "NS.z.test. 60 IN A 192.0.2.1",
                                                       "z.test. 60 IN NS ns.z.test.", SOA_1 } } };
    const struct text_message three[] = {
        { .records = { SOA_1 } },
        { .records = { "ns.z.test. 60 IN A 192.0.2.1",
                       "Other.Z.test. 4000000000 IN A 192.0.2.2" } },
        { .records = { SOA_1 } }
    };
    (void)state;
    assert_int_equal(run(one, 1, &seen, &e), 1);
    assert_int_equal(seen.records, 3);
    assert_int_equal(seen.soas, 1);
    assert_int_equal(run(three, 3, &seen, &e), 1);
    assert_int_equal(seen.records, 3);
    assert_string_equal(seen.last, "other.z.test.");
    assert_int_equal(seen.last_ttl, 0);
    assert_int_equal(run(three, 2, &seen, &e), 0);
}

static void test_refused(void **state)
{
    static const struct {
        struct text_message message;
        const char *why;
    } cases[] = {
        { { .id = 78, .records = { SOA_1, SOA_1 } }, "another id" },
        { { .flags = FLAG_AA, .records = { SOA_1, SOA_1 } }, "not the response" },
        { { .flags = FLAG_QR | FLAG_TC, .records = { SOA_1, SOA_1 } }, "truncated" },
        { { .rcode = RCODE_NOTAUTH, .records = { SOA_1, SOA_1 } }, "NOTAUTH" },
        { { .qname = "y.test.", .records = { SOA_1, SOA_1 } }, "another question" },
        { { .qtype = RR_SOA, .records = { SOA_1, SOA_1 } }, "another question" },
        { { .records = { "z.test. 60 IN NS ns.z.test.", SOA_1 } }, "does not begin" },
        { { .records = { "a.z.test. 60 IN SOA . . 1 2 3 4 5" } }, "SOA record of another name" },
        { { .records = { SOA_1, SOA_2 } }, "serial 1 and ends with 2" },
        { { .records = { SOA_1, SOA_1, "z.test. 60 IN NS ns.z.test." } }, "behind the closing" },
        { { .records = { SOA_1, "z.test. 60 CH TXT a", SOA_1 } }, "another class" },
        { { .records = { SOA_1, "z.test. 60 IN TYPE251 \\# 0", SOA_1 } }, "IXFR" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct seen seen;
        struct err e = { 0 };
        if (run(&cases[i].message, 1, &seen, &e) >= 0)
            fail_msg("case %zu: \"%s\"", i, cases[i].why);
        if (!strstr(e.text, cases[i].why))
            fail_msg("\"%s\" is not in \"%s\"", cases[i].why, e.text);
    }
}

static void test_cut_short(void **state)
{
    static struct axfr a;
    static uint8_t wire[MSG_MAX];
    struct arena arena;
    struct seen seen = { 0 };
    const struct text_message m = { .records = { SOA_1, "a.z.test. 1 IN MX 1 b.z.test.", SOA_1 } };
    (void)state;
    arena_init(&arena, 4096);
    size_t len = encode(&m, &arena, wire);
    for (size_t cut = 0; cut < len; cut++) {
        struct err e = { 0 };
        axfr_init(&a, origin, ID, see, &seen);
        assert_int_equal(axfr_message(&a, wire, cut, &e), ERR_PARSE);
    }
    arena_done(&arena);
}

static void test_too_many_bytes(void **state)
{
    static struct axfr a;
    static uint8_t wire[MSG_MAX];
    struct arena arena;
    struct seen seen = { 0 };
    struct err e = { 0 };
    const struct text_message first = { .records = { SOA_1 } }, empty = { 0 };
    (void)state;
    arena_init(&arena, 4096);
    axfr_init(&a, origin, ID, see, &seen);
    assert_int_equal(axfr_message(&a, wire, encode(&first, &arena, wire), &e), 0);
    size_t len = encode(&empty, &arena, wire);
    assert_int_equal(axfr_message(&a, wire, len, &e), 0);
    a.bytes = AXFR_BYTES_MAX - len;
    assert_int_equal(axfr_message(&a, wire, len, &e), 0);
    assert_int_equal(axfr_message(&a, wire, len, &e), ERR_LIMIT);
    arena_done(&arena);
}

static void test_serials(void **state)
{
    (void)state;
    assert_true(serial_is_before(1, 2));
    assert_false(serial_is_before(2, 1));
    assert_false(serial_is_before(7, 7));
    assert_true(serial_is_before(0xffffffff, 0));
    assert_true(serial_is_before(0, 0x7fffffff));
    assert_false(serial_is_before(0, 0x80000000));
    assert_false(serial_is_before(0x80000000, 0));
    assert_true(serial_is_before(0x80000001, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_too_many_bytes),
        cmocka_unit_test(test_serials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
