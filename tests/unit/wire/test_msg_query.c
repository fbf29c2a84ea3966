#include "base/cleanup.h"
#include "base/rand.h"
#include "wire/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A query being put together by hand. */
static uint8_t msg[70000];
static struct query_msg q;
static struct wbuf w;

static void begin(uint16_t flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
    w = wbuf_of(msg, sizeof msg);
    wbuf_u16(&w, 0x1234);
    wbuf_u16(&w, flags);
    wbuf_u16(&w, (uint16_t)qd);
    wbuf_u16(&w, (uint16_t)an);
    wbuf_u16(&w, (uint16_t)ns);
    wbuf_u16(&w, (uint16_t)ar);
}

static void question(const char *name, size_t len)
{
    wbuf_put(&w, name, len);
    wbuf_u16(&w, RR_A);
    wbuf_u16(&w, CLASS_IN);
}

static void record(const char *owner, size_t len, uint16_t type, const char *rdata, size_t rdlen)
{
    wbuf_put(&w, owner, len);
    wbuf_u16(&w, type);
    wbuf_u16(&w, CLASS_IN);
    wbuf_u32(&w, 5);
    wbuf_u16(&w, (uint16_t)rdlen);
    wbuf_put(&w, rdata, rdlen);
}

static void opt(uint16_t size, uint32_t ttl, const char *options, size_t len)
{
    wbuf_u8(&w, 0);
    wbuf_u16(&w, RR_OPT);
    wbuf_u16(&w, size);
    wbuf_u32(&w, ttl);
    wbuf_u16(&w, (uint16_t)len);
    wbuf_put(&w, options, len);
}

#define NAME(s) s, sizeof(s)

static enum query_form parse(void)
{
    return msg_parse_query(msg, w.pos, &q);
}

static void reads_a_plain_query(void **state)
{
    (void)state;
    begin(FLAG_RD | FLAG_CD, 1, 0, 0, 0);
    question(NAME("\3WWW\7Example\3com"));
    assert_int_equal(parse(), QUERY_OK);
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.flags, FLAG_RD | FLAG_CD);
    assert_int_equal(q.q.name.len, 17);
    assert_int_equal(q.q.name.n_labels, 3);
    assert_memory_equal(q.q.name.wire, "\3WWW\7Example\3com", 17);
    assert_memory_equal(q.q.lower, "\3www\7example\3com", 17);
    assert_int_equal(q.q.type, RR_A);
    assert_int_equal(q.q.class, CLASS_IN);
    assert_false(q.edns.present);
    assert_int_equal(q.authority_off, 0);
    assert_ptr_equal(q.raw, msg);
    assert_int_equal(q.raw_len, w.pos);
}

static void reads_edns(void **state)
{
    (void)state;
    begin(FLAG_RD, 1, 0, 0, 1);
    question(NAME("\1a"));
    opt(1232, 0x00038000, "\0\12\0\2xy\0\3\0\0", 10);
    assert_int_equal(parse(), QUERY_OK);
    assert_true(q.edns.present && q.edns.do_bit);
    assert_int_equal(q.edns.version, 3);
    assert_int_equal(q.edns.udp_size, 1232);
    assert_int_equal(q.edns.options_len, 10);
    assert_memory_equal(q.edns.options, "\0\12\0\2xy\0\3\0\0", 10);
}

static void last_opt_counts(void **state)
{
    (void)state;
    begin(0, 1, 0, 0, 2);
    question(NAME("\1a"));
    opt(1232, 0x8000, "\0\12\0\2xy", 6);
    opt(4096, 0, "", 0);
    assert_int_equal(parse(), QUERY_OK);
    assert_int_equal(q.edns.udp_size, 4096);
    assert_int_equal(q.edns.options_len, 0);
    assert_false(q.edns.do_bit);
}

static void nothing_stays_from_the_query_before(void **state)
{
    (void)state;
    reads_edns(NULL);
    reads_a_plain_query(NULL);
}

static void drops_and_refuses_by_header(void **state)
{
    (void)state;
    for (size_t len = 0; len < MSG_HEADER; len++)
        assert_int_equal(msg_parse_query(msg, len, &q), QUERY_DROP);
    begin(FLAG_QR, 1, 0, 0, 0);
    assert_int_equal(parse(), QUERY_DROP);
    for (unsigned opcode = 0; opcode < 16; opcode++) {
        begin((uint16_t)(opcode << 11), 1, 0, 0, 0);
        question(NAME("\1a"));
        bool fine = opcode == OPCODE_QUERY || opcode == OPCODE_NOTIFY;
        assert_int_equal(parse(), fine ? QUERY_OK : QUERY_NOTIMP);
        assert_int_equal(q.id, 0x1234);
        assert_int_equal(flags_opcode(q.flags), opcode);
    }
    /* The opcode is looked at before the counts, and those before the rest. */
    begin(OPCODE_STATUS << 11, 9, 9, 9, 9);
    assert_int_equal(parse(), QUERY_NOTIMP);
    begin(0, 1, 0, 0, 3);
    assert_int_equal(parse(), QUERY_FORMERR);
    begin(0, 1, 0, 0, 0);
    assert_int_equal(parse(), QUERY_EMPTY);
    begin(0, 1, 1, 1, 2);
    assert_int_equal(parse(), QUERY_EMPTY);
}

static void refuses_counts(void **state)
{
    (void)state;
    static const unsigned bad[][4] = {
        { 0, 0, 0, 0 },
        { 2, 0, 0, 0 },
        { 1, 2, 0, 0 },
        { 1, 0, 2, 0 },
        { 1, 0, 0, 3 },
        { 0xffff, 0xffff, 0xffff, 0xffff },
        /* more than there is */
        { 1, 1, 0, 0 },
        { 1, 0, 1, 0 },
        { 1, 0, 0, 1 },
        { 1, 0, 0, 2 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        begin(0, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
        question(NAME("\1a"));
        assert_int_equal(parse(), QUERY_FORMERR);
    }
}

static void refuses_bad_questions(void **state)
{
    (void)state;
    begin(0, 1, 0, 0, 0);
    question("\300\14", 2);
    assert_int_equal(parse(), QUERY_FORMERR);
    begin(0, 1, 0, 0, 0);
    question("\1a\300\4", 4); /* bytes of the header would do as a name */
    assert_int_equal(parse(), QUERY_FORMERR);
    begin(0, 1, 0, 0, 0);
    question(NAME("\3www"));
    for (size_t len = MSG_HEADER + 1; len < w.pos; len++)
        assert_int_equal(msg_parse_query(msg, len, &q), QUERY_FORMERR);
    assert_int_equal(parse(), QUERY_OK);

    begin(0, 1, 0, 0, 0);
    for (unsigned i = 0; i < 128; i++)
        wbuf_put(&w, "\1a", 2);
    question("", 1);
    assert_int_equal(parse(), QUERY_FORMERR);
    begin(0, 1, 0, 0, 0);
    for (unsigned i = 0; i < 127; i++)
        wbuf_put(&w, "\1A", 2);
    question("", 1);
    assert_int_equal(parse(), QUERY_OK);
    assert_int_equal(q.q.name.len, 255);
    assert_int_equal(q.q.lower[253], 'a');
}

static void ignores_what_comes_after(void **state)
{
    (void)state;
    begin(0, 1, 0, 0, 0);
    question(NAME("\1a"));
    wbuf_put(&w, "junk", 4);
    assert_int_equal(parse(), QUERY_OK);
}

static void takes_large_queries(void **state)
{
    (void)state;
    static char padding[60004] = "\0\14\352\140"; /* option 12 with 60000 bytes */
    begin(0, 1, 0, 0, 1);
    question(NAME("\1a"));
    opt(1232, 0, padding, sizeof padding);
    assert_int_equal(parse(), QUERY_OK);
    assert_int_equal(q.edns.options_len, sizeof padding);
}

static void checks_the_other_records(void **state)
{
    (void)state;
    begin(0, 1, 0, 1, 0); /* IXFR has a SOA there */
    question(NAME("\1a"));
    size_t at = w.pos;
    record("\300\14", 2, RR_SOA,
           "\300\14\300\14"
           "0123456789abcdefghij",
           24);
    assert_int_equal(parse(), QUERY_OK);
    assert_int_equal(q.authority_off, at);

    begin(OPCODE_NOTIFY << 11, 1, 1, 0, 0);
    question(NAME("\1a"));
    record("\300\14", 2, RR_SOA,
           "\300\14\300\14"
           "0123456789abcdefghij",
           24);
    assert_int_equal(parse(), QUERY_OK);

    static const struct {
        const char *owner, *rdata;
        uint16_t type;
        uint8_t owner_len, rdlen;
    } bad[] = {
        { "\300\14", "\1\2\3", RR_A, 2, 3 },    { "\300\14", "\300\77", RR_NS, 2, 2 },
        { "\377\377", "\1\2\3\4", RR_A, 2, 4 }, { "\100", "\1\2\3\4", RR_A, 1, 4 },
        { "", "\0\1\0\5x", RR_OPT, 1, 5 },      { "", "\0\1\0", RR_OPT, 1, 3 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        begin(0, 1, 0, 0, 1);
        question(NAME("\1a"));
        record(bad[i].owner, bad[i].owner_len, bad[i].type, bad[i].rdata, bad[i].rdlen);
        assert_int_equal(parse(), QUERY_FORMERR);
    }
    begin(0, 1, 0, 0, 2);
    question(NAME("\1a"));
    opt(1232, 0, "", 0);
    record("\300\14", 2, 65280, "anything", 8);
    for (size_t len = w.pos - 1; len > MSG_HEADER; len--)
        assert_int_equal(msg_parse_query(msg, len, &q), QUERY_FORMERR);
    assert_int_equal(parse(), QUERY_OK);
    assert_true(q.edns.present);
}

/* An OPT record means something in the additional section only. */
static void opt_elsewhere_is_no_edns(void **state)
{
    (void)state;
    begin(0, 1, 0, 1, 0);
    question(NAME("\1a"));
    opt(1232, 0, "", 0);
    assert_int_equal(parse(), QUERY_OK);
    assert_false(q.edns.present);
}

static void own_queries_are_taken(void **state)
{
    (void)state;
    uint8_t out[NAME_MAX_WIRE + 32];
    for (unsigned size = 0; size <= 4096; size += 1232) {
        size_t len = msg_encode_query(out, 7, (const uint8_t *)"\1A\2bC", RR_SRV, (uint16_t)size);
        assert_int_equal(msg_parse_query(out, len, &q), QUERY_OK);
        assert_int_equal(q.id, 7);
        assert_int_equal(q.flags, FLAG_RD);
        assert_int_equal(q.q.type, RR_SRV);
        assert_memory_equal(q.q.name.wire, "\1A\2bC", 6);
        assert_int_equal(q.edns.present, size > 0);
        assert_int_equal(q.edns.udp_size, size);
    }
    struct name longest;
    char text[256];
    for (unsigned i = 0; i < 254; i++)
        text[i] = i % 2 ? '.' : 'a';
    text[254] = 0;
    assert_int_equal(name_from_text(text, &longest), 0);
    size_t len = msg_encode_query(out, 7, longest.wire, RR_A, 1232);
    assert_int_equal(len, 12 + 255 + 4 + 11);
    assert_int_equal(msg_parse_query(out, len, &q), QUERY_OK);
}

/* Bytes flipped at random never do harm, and what is taken is consistent. */
static void survives_noise(void **state)
{
    (void)state;
    struct rand r = { { 9, 8, 7, 6 } };
    unsigned taken = 0;
    for (unsigned i = 0; i < 50000; i++) {
        begin(FLAG_RD, 1, 0, i % 2, 1 + i % 2);
        question(NAME("\3www\7Example\3com"));
        if (i % 2)
            record("\300\14", 2, RR_MX, "\0\1\1m\300\14", 6);
        opt(1232, 0, "\0\12\0\2xy", 6);
        if (i % 2)
            record("\300\14", 2, RR_TXT, "\3abc\1d", 6);
        for (unsigned k = rand_below(&r, 4); k; k--)
            msg[rand_below(&r, (uint32_t)w.pos)] = (uint8_t)rand_next(&r);
        if (parse() != QUERY_OK)
            continue;
        taken++;
        assert_int_equal(q.q.name.len, q.q.name.off[q.q.name.n_labels] + 1);
        for (unsigned k = 0; k < q.q.name.len; k++)
            assert_int_equal(q.q.lower[k] | 0x20, q.q.name.wire[k] | 0x20);
    }
    assert_true(taken > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_plain_query),
        cmocka_unit_test(reads_edns),
        cmocka_unit_test(last_opt_counts),
        cmocka_unit_test(nothing_stays_from_the_query_before),
        cmocka_unit_test(drops_and_refuses_by_header),
        cmocka_unit_test(refuses_counts),
        cmocka_unit_test(refuses_bad_questions),
        cmocka_unit_test(ignores_what_comes_after),
        cmocka_unit_test(takes_large_queries),
        cmocka_unit_test(checks_the_other_records),
        cmocka_unit_test(opt_elsewhere_is_no_edns),
        cmocka_unit_test(own_queries_are_taken),
        cmocka_unit_test(survives_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
