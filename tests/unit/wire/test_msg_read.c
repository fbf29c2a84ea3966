#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/rand.h"
#include "wire/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t msg[MSG_MAX];
static struct arena arena;
static struct wbuf w;
static struct msg m;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 65536);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* A reply for "www.Example.com A". */
static void begin(uint16_t flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
    arena_reset(&arena);
    w = wbuf_of(msg, sizeof msg);
    wbuf_u16(&w, 5);
    wbuf_u16(&w, flags);
    wbuf_u16(&w, (uint16_t)qd);
    wbuf_u16(&w, (uint16_t)an);
    wbuf_u16(&w, (uint16_t)ns);
    wbuf_u16(&w, (uint16_t)ar);
    for (unsigned i = 0; i < qd; i++)
        wbuf_put(&w, "\3www\7Example\3com\0\0\1\0\1", 21);
}

static void record(const char *owner, size_t len, uint16_t type, uint32_t ttl, const void *rdata,
                   size_t rdlen)
{
    wbuf_put(&w, owner, len);
    wbuf_u16(&w, type);
    wbuf_u16(&w, CLASS_IN);
    wbuf_u32(&w, ttl);
    wbuf_u16(&w, (uint16_t)rdlen);
    wbuf_put(&w, rdata, rdlen);
}

static int parse(void)
{
    return msg_parse(msg, w.pos, &arena, &m);
}

static void reads_header_and_question(void **state)
{
    (void)state;
    begin(FLAG_QR | FLAG_RA | RCODE_NXDOMAIN, 1, 0, 0, 0);
    assert_int_equal(parse(), 0);
    assert_int_equal(m.id, 5);
    assert_int_equal(m.flags, FLAG_QR | FLAG_RA | RCODE_NXDOMAIN);
    assert_int_equal(m.rcode, RCODE_NXDOMAIN);
    assert_true(m.has_question);
    assert_memory_equal(m.q.name.wire, "\3www\7Example\3com", 17);
    assert_memory_equal(m.q.lower, "\3www\7example\3com", 17);
    begin(FLAG_QR, 0, 0, 0, 0);
    assert_int_equal(parse(), 0);
    assert_false(m.has_question);
}

static void groups_neighbours(void **state)
{
    (void)state;
    begin(FLAG_QR, 1, 7, 0, 0);
    record("\300\14", 2, RR_A, 5, "\1\2\3\4", 4);
    record("\300\14", 2, RR_A, 5, "\1\2\3\5", 4);
    record("\300\14", 2, RR_A, 6, "\1\2\3\6", 4);            /* other TTL */
    record("\300\14", 2, RR_TXT, 6, "\1a", 2);               /* other type */
    record("\3www\7Example\3com", 17, RR_TXT, 6, "\2bc", 3); /* the same owner in full */
    record("\3WWW\7Example\3com", 17, RR_TXT, 6, "\1d", 2);  /* other letters */
    record("\300\14", 2, RR_A, 5, "\1\2\3\7", 4);            /* no neighbour */
    assert_int_equal(parse(), 0);
    const struct rrset_list *l = &m.section[SECTION_ANSWER];
    assert_int_equal(l->n, 5);
    assert_int_equal(l->items[0].count, 2);
    assert_int_equal(l->items[0].rdlen, 4);
    assert_memory_equal(l->items[0].rdata, "\1\2\3\4\1\2\3\5", 8);
    assert_int_equal(l->items[1].ttl, 6);
    assert_int_equal(l->items[2].count, 2);
    assert_int_equal(l->items[2].rdlen, 0);
    assert_memory_equal(l->items[2].rdata, "\0\2\1a\0\3\2bc", 9);
    assert_memory_equal(l->items[3].owner, "\3WWW\7Example\3com", 17);
    assert_int_equal(l->items[4].count, 1);
}

static void expands_rdata(void **state)
{
    (void)state;
    begin(FLAG_QR, 1, 1, 1, 1);
    record("\300\14", 2, RR_CNAME, 5, "\1x\300\20", 4);
    record("\300\20", 2, RR_NS, 5, "\2ns\300\14", 5);
    record("\1x\300\20", 4, RR_AAAA, 5, "0123456789abcdef", 16);
    assert_int_equal(parse(), 0);
    assert_memory_equal(m.section[0].items[0].rdata, "\0\17\1x\7Example\3com", 17);
    assert_memory_equal(m.section[1].items[0].rdata, "\0\24\2ns\3www\7Example\3com", 22);
    assert_memory_equal(m.section[1].items[0].owner, "\7Example\3com", 13);
    assert_memory_equal(m.section[2].items[0].owner, "\1x\7Example\3com", 15);
    assert_int_equal(m.section[2].items[0].rdlen, 16);
}

static void takes_out_the_opt(void **state)
{
    (void)state;
    begin(FLAG_QR | 1, 1, 0, 0, 2);
    record("\300\14", 2, RR_A, 5, "\1\2\3\4", 4);
    record("", 1, RR_OPT, 0x02008000, "\0\17\0\2\0\3", 6);
    put_u16(msg + w.pos - 14, 1232);
    assert_int_equal(parse(), 0);
    assert_int_equal(m.section[SECTION_ADDITIONAL].n, 1);
    assert_true(m.edns.present && m.edns.do_bit);
    assert_int_equal(m.edns.udp_size, 1232);
    assert_int_equal(m.rcode, 0x21);
    assert_int_equal(m.edns.options_len, 6);
    assert_memory_equal(m.edns.options, "\0\17\0\2\0\3", 6);
}

static void refuses_broken_messages(void **state)
{
    (void)state;
    m.id = 4711;
    for (size_t len = 0; len < MSG_HEADER; len++)
        assert_int_equal(msg_parse(msg, len, &arena, &m), ERR_PARSE);
    static const unsigned counts[][4] = {
        { 2, 0, 0, 0 },
        { 1, 1, 0, 0 },
        { 1, 0, 65535, 0 },
        { 1, 0, 0, 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
        begin(FLAG_QR, counts[i][0], counts[i][1], counts[i][2], counts[i][3]);
        assert_int_equal(parse(), ERR_PARSE);
    }
    begin(FLAG_QR, 1, 1, 0, 1);
    record("\300\14", 2, RR_MX, 5, "\0\1\1m\300\14", 6);
    record("", 1, RR_OPT, 0, "\0\17\0\2\0\3", 6);
    size_t whole = w.pos;
    for (size_t len = MSG_HEADER; len < whole; len++)
        assert_int_equal(msg_parse(msg, len, &arena, &m), ERR_PARSE);
    assert_int_equal(m.id, 4711); /* untouched so far */
    wbuf_put(&w, "junk", 4);
    assert_int_equal(parse(), 0);
    msg[whole - 4] = 0;
    msg[whole - 3] = 3; /* an option longer than the record */
    assert_int_equal(parse(), ERR_PARSE);

    begin(FLAG_QR, 1, 1, 0, 0);
    record("\300\14", 2, RR_NS, 5, "\300\55", 2); /* points at itself */
    assert_int_equal(parse(), ERR_PARSE);
    begin(FLAG_QR, 1, 1, 0, 0);
    record("\300\55", 2, RR_A, 5, "\1\2\3\4", 4); /* points forward */
    assert_int_equal(parse(), ERR_PARSE);
}

/* Many records that each grow when expanded: memory must follow, order must stay. */
static void expands_many(void **state)
{
    (void)state;
    enum { N = 4000 };
    begin(FLAG_QR, 1, N, 0, 0);
    for (unsigned i = 0; i < N; i++) {
        uint8_t rdata[4] = { (uint8_t)(i >> 8), (uint8_t)i, 0xc0, MSG_HEADER };
        record("\300\14", 2, RR_MX, 5, rdata, 4);
    }
    assert_int_equal(parse(), 0);
    const struct rrset_list *l = &m.section[SECTION_ANSWER];
    assert_int_equal(l->n, 1);
    assert_int_equal(l->items[0].count, N);
    const uint8_t *p = l->items[0].rdata;
    for (unsigned i = 0; i < N; i++, p += 21) {
        assert_int_equal(get_u16(p), 19);
        assert_int_equal(get_u16(p + 2), i);
        assert_memory_equal(p + 4, "\3www\7Example\3com", 17);
    }
}

static void prints_a_message(void **state)
{
    (void)state;
    cleanup(strbuf_done) struct strbuf b = { 0 };
    begin(FLAG_QR | FLAG_AA | FLAG_RD, 1, 2, 0, 1);
    record("\300\14", 2, RR_A, 5, "\1\2\3\4", 4);
    record("\300\14", 2, RR_A, 5, "\1\2\3\5", 4);
    record("", 1, RR_OPT, 0x8000, "\0\17\0\6\0\22nope\0\14\0\3xyz\0\12\0\2\1\2\0\115\0\1\7", 28);
    put_u16(msg + w.pos - 36, 1232);
    assert_int_equal(parse(), 0);
    msg_to_text(&m, &b);
    assert_string_equal(b.p, ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 5\n"
                             ";; flags: qr aa rd; QUERY: 1, ANSWER: 2, AUTHORITY: 0, "
                             "ADDITIONAL: 1\n"
                             "\n;; OPT PSEUDOSECTION:\n"
                             "; EDNS: version: 0, flags: do; udp: 1232\n"
                             "; EDE: 18 \"nope\"\n"
                             "; PADDING: (3 bytes)\n"
                             "; COOKIE: 0102\n"
                             "; OPT=77: 07\n"
                             "\n;; QUESTION SECTION:\n"
                             ";www.Example.com.\tIN\tA\n"
                             "\n;; ANSWER SECTION:\n"
                             "www.Example.com.\t5\tIN\tA\t1.2.3.4\n"
                             "www.Example.com.\t5\tIN\tA\t1.2.3.5\n");
}

static int line(const char *text, struct rrset *rr)
{
    struct err e = { 0 };
    int rc = rr_from_text(text, (const uint8_t *)"\7example\3org", 300, &arena, rr, &e);
    assert_true(rc == 0 || e.text[0]);
    return rc;
}

static void reads_record_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again;
    } cases[] = {
        { "www A 1.2.3.4", "www.example.org.\t300\tIN\tA\t1.2.3.4" },
        { "@ 60 IN MX 10 mail", "example.org.\t60\tIN\tMX\t10 mail.example.org." },
        { "x. ch 1h txt \"a b\" ; comment", "x.\t3600\tCH\tTXT\t\"a b\"" },
        { "x.\t5\tCLASS7\tTYPE65280\t\\# 1 ff", "x.\t5\tCLASS7\tTYPE65280\t\\# 1 ff" },
        { "a NS @", "a.example.org.\t300\tIN\tNS\texample.org." },
        { "60 60 A 1.2.3.4", "60.example.org.\t60\tIN\tA\t1.2.3.4" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(strbuf_done) struct strbuf b = { 0 };
        struct rrset rr;
        assert_int_equal(line(cases[i].text, &rr), 0);
        assert_int_equal(rr.count, 1);
        assert_int_equal(rr.rdlen, 0);
        rr_to_text(rr.owner, rr.ttl, rr.class, rr.type, rr.rdata + 2, get_u16(rr.rdata), &b);
        assert_string_equal(b.p, cases[i].again);
    }
}

static void refuses_bad_record_lines(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " A 1.2.3.4",
        "\tA 1.2.3.4",
        "x",
        "x 60",
        "x IN",
        "x 60 60 A 1.2.3.4",
        "x IN CH A 1.2.3.4",
        "x FOO 1.2.3.4",
        "x A",
        "x A 1.2.3",
        "x..y A 1.2.3.4",
        "\"x\" A 1.2.3.4",
        "x 4294967296 A 1.2.3.4",
        "; nothing",
    };
    struct rrset rr;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (line(bad[i], &rr) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void survives_noise(void **state)
{
    (void)state;
    struct rand r = { { 21, 22, 23, 24 } };
    unsigned taken = 0;
    for (unsigned i = 0; i < 20000; i++) {
        begin(FLAG_QR, 1, 2, 1, 2);
        record("\300\14", 2, RR_CNAME, 5, "\1x\300\20", 4);
        record("\300\55", 2, RR_MX, 5, "\0\1\1m\300\14", 6);
        record("\300\20", 2, RR_SOA, 5,
               "\300\14\300\14"
               "0123456789abcdefghij",
               24);
        record("\300\14", 2, RR_SVCB, 5, "\0\1\0\0\3\0\2\0\65", 9);
        record("", 1, RR_OPT, 0, "\0\17\0\2\0\3", 6);
        for (unsigned k = rand_below(&r, 5); k; k--)
            msg[rand_below(&r, (uint32_t)w.pos)] = (uint8_t)rand_next(&r);
        if (parse() != 0)
            continue;
        cleanup(strbuf_done) struct strbuf b = { 0 };
        msg_to_text(&m, &b);
        taken++;
    }
    assert_true(taken > 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_header_and_question),
        cmocka_unit_test(groups_neighbours),
        cmocka_unit_test(expands_rdata),
        cmocka_unit_test(takes_out_the_opt),
        cmocka_unit_test(refuses_broken_messages),
        cmocka_unit_test(expands_many),
        cmocka_unit_test(prints_a_message),
        cmocka_unit_test(reads_record_lines),
        cmocka_unit_test(refuses_bad_record_lines),
        cmocka_unit_test(survives_noise),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
