#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/rand.h"
#include "wire/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t out[MSG_MAX];
static struct arena arena;
static struct question question;
static struct reply reply;

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

static void begin(const char *qname, uint16_t type)
{
    arena_reset(&arena);
    assert_int_equal(name_from_text(qname, &question.name), 0);
    name_lower(question.lower, question.name.wire, question.name.len);
    question.type = type;
    question.class = CLASS_IN;
    reply = (struct reply){ .id = 77, .flags = FLAG_QR | FLAG_AA | FLAG_RD, .q = &question };
}

static void add(enum section s, struct rrset rr)
{
    rrset_list_add(&reply.section[s], &arena, rr);
}

static void add_text(enum section s, const char *text)
{
    struct rrset rr;
    struct err e = { 0 };
    if (rr_from_text(text, NULL, 30, &arena, &rr, &e) != 0)
        fail_msg("%s", e.text);
    add(s, rr);
}

static void edns(uint16_t size)
{
    reply.edns = (struct edns){ .present = true, .udp_size = size };
}

static struct rrset addresses(unsigned n)
{
    uint8_t *p = arena_alloc(&arena, 4 * n);
    for (unsigned i = 0; i < n; i++)
        put_u32(p + 4 * i, 0x0a010101 + i);
    return (struct rrset){
        .rdata = p, .ttl = 5, .type = RR_A, .class = CLASS_IN, .count = (uint16_t)n, .rdlen = 4
    };
}

static unsigned count(enum section s)
{
    return get_u16(out + 6 + 2 * s);
}

static bool truncated(void)
{
    return get_u16(out + 2) & FLAG_TC;
}

static struct msg parsed(size_t len)
{
    struct msg m;
    assert_int_equal(msg_parse(out, len, &arena, &m), 0);
    return m;
}

#define BIG "big.prod.svc.cluster.local."

/* A headless service with 40 endpoints and two named ports. */
static void big_srv(void)
{
    begin(BIG, RR_SRV);
    char text[200];
    for (unsigned port = 0; port < 2; port++) {
        for (unsigned i = 1; i <= 40; i++) {
            sprintf(text, BIG " 5 IN SRV 0 1 %u 10-1-1-%u." BIG, port ? 443 : 80, i);
            add_text(SECTION_ANSWER, text);
        }
    }
    for (unsigned i = 1; i <= 40; i++) {
        sprintf(text, "10-1-1-%u." BIG " 5 IN A 10.1.1.%u", i, i);
        add_text(SECTION_ADDITIONAL, text);
    }
    /* As a server does: the owner that equals the question is not given. */
    for (unsigned i = 0; i < 80; i++)
        reply.section[SECTION_ANSWER].items[i].owner = NULL;
}

static void many_addresses(void **state)
{
    (void)state;
    begin(BIG, RR_A);
    add(SECTION_ANSWER, addresses(40));
    assert_int_equal(msg_encode(&reply, out, 512), 508);
    assert_int_equal(count(SECTION_ANSWER), 29);
    assert_true(truncated());
    edns(1232);
    assert_int_equal(msg_encode(&reply, out, 1232), 695);
    assert_int_equal(count(SECTION_ANSWER), 40);
    assert_false(truncated());
    assert_int_equal(msg_encode(&reply, out, 695), 695);
    assert_false(truncated());
    assert_int_equal(msg_encode(&reply, out, 694), 695 - 16);
    assert_true(truncated());
}

static void many_services(void **state)
{
    (void)state;
    static const struct {
        unsigned limit, answers;
    } cuts[] = { { 512, 8 }, { 1232, 21 }, { 4096, 72 } };
    big_srv();
    for (unsigned i = 0; i < ARRAY_SIZE(cuts); i++) {
        if (cuts[i].limit > 512)
            edns((uint16_t)cuts[i].limit);
        size_t len = msg_encode(&reply, out, cuts[i].limit);
        assert_true(len <= cuts[i].limit);
        assert_int_equal(count(SECTION_ANSWER), cuts[i].answers);
        assert_int_equal(count(SECTION_ADDITIONAL), reply.edns.present);
        assert_true(truncated());
    }
    size_t len = msg_encode(&reply, out, MSG_MAX);
    assert_int_equal(count(SECTION_ANSWER), 80);
    assert_int_equal(count(SECTION_ADDITIONAL), 41);
    assert_false(truncated());
    /* Targets are whole, and the additional owners point at them. */
    size_t targets = 2 * (9 * 37 + 31 * 38);
    assert_int_equal(len, 12 + 32 + 80 * 18 + targets + 40 * 16 + 11);
    struct msg m = parsed(len);
    assert_int_equal(m.section[SECTION_ADDITIONAL].n, 40);
    assert_memory_equal(m.section[SECTION_ADDITIONAL].items[39].owner,
                        "\11"
                        "10-1-1-40\3big\4prod\3svc\7cluster\5local",
                        38);
}

static void additional_alone_sets_tc(void **state)
{
    (void)state;
    begin("a.", RR_SRV);
    add_text(SECTION_ANSWER, "a. SRV 0 0 1 b.");
    add_text(SECTION_ADDITIONAL, "b. A 1.2.3.4");
    size_t len = msg_encode(&reply, out, 512);
    assert_false(truncated());
    assert_int_equal(msg_encode(&reply, out, len - 1), len - 16);
    assert_int_equal(count(SECTION_ANSWER), 1);
    assert_int_equal(count(SECTION_ADDITIONAL), 0);
    assert_true(truncated());
}

/* What does not fit ends the message, even if something smaller behind it would fit. */
static void stops_at_the_first_that_does_not_fit(void **state)
{
    (void)state;
    begin("a.", RR_TXT);
    char text[300] = "a. TXT ";
    memset(text + 7, 'x', 200);
    add_text(SECTION_ANSWER, "a. TXT 1");
    add_text(SECTION_ANSWER, text);
    add_text(SECTION_ANSWER, "a. TXT 2");
    add_text(SECTION_AUTHORITY, "a. NS b.");
    edns(512);
    msg_encode(&reply, out, 100);
    assert_int_equal(count(SECTION_ANSWER), 1);
    assert_int_equal(count(SECTION_AUTHORITY), 0);
    assert_int_equal(count(SECTION_ADDITIONAL), 1);
    assert_true(truncated());
}

static void compresses_what_may_be(void **state)
{
    (void)state;
    begin("x.example.org.", RR_MX);
    add_text(SECTION_ANSWER, "x.example.org. MX 10 mail.example.org.");
    add_text(SECTION_AUTHORITY, "example.org. NS mail.example.org.");
    add_text(SECTION_ADDITIONAL, "mail.example.org. A 1.2.3.4");
    size_t len = msg_encode(&reply, out, 512);
    size_t expect = 12 + 15 + 4;
    expect += 2 + 10 + 2 + 7;
    expect += 2 + 10 + 2;
    expect += 2 + 10 + 4;
    assert_int_equal(len, expect);
}

static void leaves_later_types_whole(void **state)
{
    (void)state;
    static const char *const records[] = {
        "SRV 1 2 3 a.example.org.",
        "NAPTR 1 2 a b c a.example.org.",
        "DNAME a.example.org.",
        "RP a.example.org. a.example.org.",
        "AFSDB 1 a.example.org.",
        "KX 1 a.example.org.",
        "NSEC a.example.org. A",
        "SVCB 1 a.example.org.",
        "RRSIG A 5 3 86400 20030322173103 20030220173103 2642 a.example.org. oA==",
    };
    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        char text[200];
        begin("a.example.org.", RR_ANY);
        sprintf(text, "a.example.org. %s", records[i]);
        add_text(SECTION_ANSWER, text);
        add_text(SECTION_ANSWER, "a.example.org. NS a.example.org."); /* asks for compression */
        const struct rrset *rr = &reply.section[SECTION_ANSWER].items[0];
        size_t len = msg_encode(&reply, out, 512);
        assert_int_equal(len, 12 + 15 + 4 + 12 + get_u16(rr->rdata) + 14);
        assert_memory_equal(out + 43, rr->rdata + 2, get_u16(rr->rdata));
    }
}

static void keeps_letter_case(void **state)
{
    (void)state;
    begin("WWW.Example.Org.", RR_A);
    add_text(SECTION_ANSWER, "www.example.org. CNAME Web.example.org.");
    add_text(SECTION_ANSWER, "Web.example.org. A 1.2.3.4");
    struct msg m = parsed(msg_encode(&reply, out, 512));
    assert_memory_equal(m.section[SECTION_ANSWER].items[0].owner, "\3www\7example\3org", 17);
    assert_memory_equal(m.section[SECTION_ANSWER].items[1].owner, "\3Web\7example\3org", 17);
}

static void root_question(void **state)
{
    (void)state;
    begin(".", RR_NS);
    struct rrset rr;
    assert_int_equal(rr_from_text(". NS a.root.", NULL, 5, &arena, &rr, NULL), 0);
    rr.owner = NULL;
    add(SECTION_ANSWER, rr);
    add(SECTION_ANSWER, addresses(2));
    size_t len = msg_encode(&reply, out, 512);
    assert_int_equal(len, 12 + 5 + 1 + 10 + 8 + 2 * 15);
    struct msg m = parsed(len);
    assert_int_equal(m.section[SECTION_ANSWER].items[0].owner[0], 0);
    assert_int_equal(m.section[SECTION_ANSWER].items[1].count, 2);
}

static void header_and_flags(void **state)
{
    (void)state;
    begin("a.", RR_A);
    reply.flags = FLAG_QR | FLAG_RA | FLAG_AD | FLAG_CD | FLAG_TC | 9 | OPCODE_NOTIFY << 11;
    reply.rcode = RCODE_NXDOMAIN;
    msg_encode(&reply, out, 512);
    assert_int_equal(get_u16(out), 77);
    assert_int_equal(get_u16(out + 2),
                     FLAG_QR | FLAG_RA | FLAG_AD | FLAG_CD | OPCODE_NOTIFY << 11 | RCODE_NXDOMAIN);
    assert_int_equal(get_u16(out + 4), 1);
    reply.tc = true;
    msg_encode(&reply, out, 512);
    assert_true(truncated());
    reply.q = NULL;
    add(SECTION_ANSWER, addresses(1));
    assert_int_equal(msg_encode(&reply, out, 512), MSG_HEADER);
    assert_int_equal(get_u32(out + 4), 0);
    assert_int_equal(get_u32(out + 8), 0);
}

static void extended_rcode(void **state)
{
    (void)state;
    begin("a.", RR_A);
    edns(1232);
    reply.rcode = RCODE_BADVERS;
    reply.edns.do_bit = true;
    reply.edns.version = 1;
    reply.edns.options = (const uint8_t *)"\0\12\0\2xy";
    reply.edns.options_len = 6;
    size_t len = msg_encode(&reply, out, 512);
    assert_int_equal(out[3] & 15, 0);
    assert_memory_equal(out + len - 17, "\0\0\51\4\320\1\1\200\0\0\6\0\12\0\2xy", 17);
    struct msg m = parsed(len);
    assert_int_equal(m.rcode, RCODE_BADVERS);
    assert_true(m.edns.do_bit);
    assert_int_equal(m.edns.options_len, 6);
    assert_int_equal(m.section[SECTION_ADDITIONAL].n, 0);
    reply.edns.present = false;
    msg_encode(&reply, out, 512);
    assert_int_equal(out[3] & 15, RCODE_SERVFAIL);
}

static void never_beyond_the_limit(void **state)
{
    (void)state;
    big_srv();
    edns(1232);
    reply.edns.options = (const uint8_t *)"\0\12\0\20"
                                          "0123456789abcdef";
    reply.edns.options_len = 20;
    for (size_t limit = 0; limit < 1300; limit++) {
        memset(out + limit, 0xee, 64);
        size_t len = msg_encode(&reply, out, limit);
        assert_true(len <= limit);
        for (unsigned i = 0; i < 64; i++)
            assert_int_equal(out[limit + i], 0xee);
        if (limit < MSG_HEADER)
            continue;
        struct msg m = parsed(len);
        assert_true(m.flags & FLAG_TC);
        assert_int_equal(m.edns.present, limit >= MSG_HEADER + 11);
    }
}

/* Beyond 16384 bytes nothing can be pointed at; names are then written whole. */
static void far_names(void **state)
{
    (void)state;
    begin("a.", RR_A);
    char text[400];
    for (unsigned i = 0; i < 1000; i++) {
        sprintf(text, "host%u.sub%u.example. NS ns%u.sub%u.example.", i, i / 7, i % 10, i / 7);
        add_text(i % 2 ? SECTION_ANSWER : SECTION_AUTHORITY, text);
    }
    size_t len = msg_encode(&reply, out, MSG_MAX);
    assert_true(len > 0x4000 && !truncated());
    struct msg m = parsed(len);
    for (unsigned s = 0; s < 2; s++) {
        assert_int_equal(m.section[s].n, 500);
        for (unsigned i = 0; i < 500; i++) {
            const struct rrset *a = &reply.section[s].items[i], *b = &m.section[s].items[i];
            assert_true(name_equal(a->owner, b->owner));
            assert_memory_equal(a->rdata, b->rdata, 2u + get_u16(a->rdata));
        }
    }
}

static void same_owner_many_times(void **state)
{
    (void)state;
    begin("a.", RR_A);
    struct rrset rr = addresses(3);
    rr.owner = (const uint8_t *)"\1b\1c";
    add(SECTION_ANSWER, rr);
    size_t len = msg_encode(&reply, out, 512);
    assert_int_equal(len, 12 + 3 + 4 + (5 + 14) + 2 * 16);
    struct msg m = parsed(len);
    assert_int_equal(m.section[SECTION_ANSWER].n, 1);
    assert_int_equal(m.section[SECTION_ANSWER].items[0].count, 3);
    assert_memory_equal(m.section[SECTION_ANSWER].items[0].rdata, rr.rdata, 12);
}

static void list_grows(void **state)
{
    (void)state;
    struct rrset_list l = { 0 };
    for (unsigned i = 0; i < 70000; i++)
        rrset_list_add(&l, &arena, (struct rrset){ .ttl = i });
    assert_int_equal(l.n, 65535);
    for (unsigned i = 0; i < l.n; i++)
        assert_int_equal(l.items[i].ttl, i);
}

static const char *const pool[] = {
    "A 1.2.3.4",
    "A 1.2.3.5",
    "AAAA fd00::1",
    "NS ns.%s",
    "CNAME w.%s",
    "PTR x.y.%s",
    "SOA ns.%s h.%s 1 2 3 4 5",
    "MX 10 m.%s",
    "SRV 1 2 3 t.%s",
    "TXT one two",
    "TXT \"\"",
    "NAPTR 1 2 a b c n.%s",
    "RP m.%s t.%s",
    "MINFO a.%s b.%s",
    "TYPE65280 \\# 3 010203",
    "SVCB 1 s.%s port=1",
    "DS 1 2 3 00",
    "NSEC n.%s A TXT",
    "HINFO a b",
    "TYPE65280 \\# 0",
};

static const char *random_owner(struct rand *r, char buf[64])
{
    static const char *const tails[] = {
        "", "b.", "a.b.", "Example.org.", "example.org.", "c.d.e."
    };
    char *p = buf;
    for (unsigned n = rand_below(r, 3); n; n--)
        p += sprintf(p, "l%u.", rand_below(r, 4));
    strcpy(p, tails[rand_below(r, ARRAY_SIZE(tails))]);
    if (!*buf)
        strcpy(buf, ".");
    return buf;
}

static void random_record(struct rand *r)
{
    char owner[64], name[64], form[128], text[600];
    const char *item = pool[rand_below(r, ARRAY_SIZE(pool))];
    random_owner(r, name);
    sprintf(form, item, name[0] == '.' ? "" : name, name[0] == '.' ? "" : name);
    sprintf(text, "%s %u IN %s", random_owner(r, owner), rand_below(r, 2), form);
    add_text((enum section)rand_below(r, SECTION_COUNT), text);
    if (rand_below(r, 4) == 0) { /* once more the same owner, to be grouped or not */
        sprintf(text, "%s %u IN %s", owner, rand_below(r, 2), form);
        add_text((enum section)rand_below(r, SECTION_COUNT), text);
    }
}

/* All records of a list one after the other, as text: equal lists give equal texts. */
static void list_text(const struct rrset_list *l, struct strbuf *b)
{
    for (unsigned i = 0; i < l->n; i++) {
        const struct rrset *rr = &l->items[i];
        const uint8_t *p = rr->rdata;
        for (unsigned k = 0; k < rr->count; k++) {
            size_t len = rr->rdlen;
            if (!len) {
                len = get_u16(p);
                p += 2;
            }
            rr_to_text(rr->owner ? rr->owner : question.name.wire, rr->ttl, rr->class, rr->type, p,
                       len, b);
            strbuf_putc(b, '\n');
            p += len;
        }
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct rand r = { { 11, 12, 13, 14 } };
    char name[64];
    for (unsigned i = 0; i < 1500; i++) {
        begin(random_owner(&r, name), RR_A);
        for (unsigned n = rand_below(&r, 20); n; n--)
            random_record(&r);
        if (rand_below(&r, 2))
            edns((uint16_t)rand_next(&r));
        size_t len = msg_encode(&reply, out, MSG_MAX);
        assert_false(truncated());
        struct msg m = parsed(len);
        assert_memory_equal(m.q.name.wire, question.name.wire, question.name.len);
        assert_int_equal(m.edns.present, reply.edns.present);
        assert_int_equal(m.edns.udp_size, reply.edns.udp_size);
        for (unsigned s = 0; s < SECTION_COUNT; s++) {
            cleanup(strbuf_done) struct strbuf a = { 0 }, b = { 0 };
            strbuf_puts(&a, "");
            strbuf_puts(&b, "");
            list_text(&reply.section[s], &a);
            list_text(&m.section[s], &b);
            assert_string_equal(a.p, b.p);
        }
    }
}

/* A SOA record alone, whose names end like the question or do not. */
static void denials(void **state)
{
    static const struct {
        const char *question, *record;
        size_t len; /* of the record in the message */
    } rows[] = {
        { "x.ns.svc.c.l.", "c.l. 30 IN SOA ns.dns.c.l. hostmaster.c.l. 1 2 3 4 5", 54 },
        { "c.l.", "c.l. 30 IN SOA ns.dns.c.l. hostmaster.c.l. 1 2 3 4 5", 54 },
        { "x.c.l.", "c.l. 30 IN SOA c.l. hostmaster.c.l. 1 2 3 4 5", 47 },
        { "x.c.l.", "c.l. 30 IN SOA ns.elsewhere. h.c.l. 1 2 3 4 5", 50 },
        { "x.c.l.", "l. 30 IN SOA ns.xl. h.l. 1 2 3 4 5", 43 },
        { "x.C.l.", "c.l. 30 IN SOA ns.c.l. h.c.l. 1 2 3 4 5", 43 },
        { "x.c.l.", "bc.l. 30 IN SOA ns.bc.l. h.bc.l. 1 2 3 4 5", 44 },
        { "x.c.l.", ". 30 IN SOA ns. h. 1 2 3 4 5", 38 },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        begin(rows[i].question, RR_AAAA);
        add_text(SECTION_AUTHORITY, rows[i].record);
        size_t len = msg_encode(&reply, out, MSG_MAX), head = MSG_HEADER + question.name.len + 4;
        assert_int_equal(len - head, rows[i].len);
        struct msg m = parsed(len);
        cleanup(strbuf_done) struct strbuf a = { 0 }, b = { 0 };
        list_text(&reply.section[SECTION_AUTHORITY], &a);
        list_text(&m.section[SECTION_AUTHORITY], &b);
        assert_string_equal(a.p, b.p);
        assert_int_equal(msg_encode(&reply, out, len - 1), head);
        assert_true(truncated());
        assert_int_equal(count(SECTION_AUTHORITY), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_addresses),
        cmocka_unit_test(many_services),
        cmocka_unit_test(additional_alone_sets_tc),
        cmocka_unit_test(stops_at_the_first_that_does_not_fit),
        cmocka_unit_test(compresses_what_may_be),
        cmocka_unit_test(leaves_later_types_whole),
        cmocka_unit_test(keeps_letter_case),
        cmocka_unit_test(root_question),
        cmocka_unit_test(header_and_flags),
        cmocka_unit_test(extended_rcode),
        cmocka_unit_test(never_beyond_the_limit),
        cmocka_unit_test(far_names),
        cmocka_unit_test(same_owner_many_times),
        cmocka_unit_test(list_grows),
        cmocka_unit_test(denials),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
