#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache_replies.h"

/* ---- what a reply is ---- */

static void test_judge(void **state)
{
    enum { ANSWER = 1, ALIAS = 2, SOA = 4, NS = 8 };
    static const struct {
        uint16_t rcode, qtype;
        int has;
        uint32_t ttl; /* of all records */
        bool store;
        enum cache_kind kind;
        uint32_t want;
    } cases[] = {
        { RCODE_NOERROR, RR_A, ANSWER, 60, true, CACHE_SUCCESS, 60 },
        { RCODE_NOERROR, RR_A, ANSWER, 0, true, CACHE_SUCCESS, 5 },
        { RCODE_NOERROR, RR_A, ANSWER, 90000, true, CACHE_SUCCESS, 3600 },
        { RCODE_NOERROR, RR_A, ALIAS | ANSWER, 60, true, CACHE_SUCCESS, 60 },
        { RCODE_NOERROR, RR_ANY, ALIAS, 60, true, CACHE_SUCCESS, 60 },
        { RCODE_NOERROR, RR_A, ALIAS, 60, false, CACHE_SUCCESS, 60 },
        { RCODE_NOERROR, RR_A, ALIAS | SOA, 60, true, CACHE_DENIAL, 60 },
        { RCODE_NOERROR, RR_A, SOA, 900, true, CACHE_DENIAL, 900 },
        { RCODE_NOERROR, RR_A, SOA, 9000, true, CACHE_DENIAL, 1800 },
        { RCODE_NOERROR, RR_A, NS, 60, true, CACHE_SUCCESS, 5 },
        { RCODE_NOERROR, RR_A, 0, 0, true, CACHE_SUCCESS, 5 },
        { RCODE_NXDOMAIN, RR_A, SOA, 900, true, CACHE_DENIAL, 900 },
        { RCODE_NXDOMAIN, RR_A, 0, 0, false, CACHE_SUCCESS, 5 },
        { RCODE_NXDOMAIN, RR_A, ALIAS | SOA, 60, false, CACHE_SUCCESS, 5 },
        { RCODE_SERVFAIL, RR_A, SOA, 60, true, CACHE_DENIAL, 5 },
        { RCODE_NOTIMP, RR_A, 0, 0, true, CACHE_DENIAL, 5 },
        { RCODE_REFUSED, RR_A, SOA, 60, false, CACHE_SUCCESS, 5 },
        { RCODE_FORMERR, RR_A, 0, 0, false, CACHE_SUCCESS, 5 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        ask(&w, "a.example.", cases[i].qtype);
        w.r.rcode = cases[i].rcode;
        if (cases[i].has & ALIAS)
            add(&w, SECTION_ANSWER, RR_CNAME, cases[i].ttl);
        if (cases[i].has & ANSWER)
            add(&w, SECTION_ANSWER, RR_A, cases[i].ttl);
        if (cases[i].has & SOA)
            add(&w, SECTION_AUTHORITY, RR_SOA, cases[i].ttl);
        if (cases[i].has & NS)
            add(&w, SECTION_AUTHORITY, RR_NS, cases[i].ttl);
        struct cache_verdict v = judge(&w, &defaults);
        if (v.store != cases[i].store || v.kind != cases[i].kind || v.ttl != cases[i].want)
            fail_msg("case %zu: store %d, kind %d, TTL %u", i, v.store, v.kind, v.ttl);
        w.r.tc = true;
        assert_false(judge(&w, &defaults).store);
        arena_done(&w.a);
    }
}

static void test_judge_limits(void **state)
{
    struct cache_limits l = defaults;
    struct world w;
    (void)state;
    answer_with(&w, "a.example.", 300);
    add(&w, SECTION_ADDITIONAL, RR_AAAA, 7); /* the smallest of all sections counts */
    assert_int_equal(judge(&w, &l).ttl, 7);
    l.min_ttl[CACHE_SUCCESS] = 20;
    l.max_ttl[CACHE_SUCCESS] = 10; /* raised first, then cut */
    assert_int_equal(judge(&w, &l).ttl, 10);
    assert_true(judge(&w, &l).life_ns == 10 * SECOND);
    arena_done(&w.a);

    answer_with(&w, "a.example.", 0);
    l.min_ttl[CACHE_SUCCESS] = 0;
    assert_false(judge(&w, &l).store);
    arena_done(&w.a);

    fail_with(&w, "a.example.");
    l.servfail_ns = 0;
    assert_false(judge(&w, &l).store);
    l.servfail_ns = SECOND / 2;
    assert_true(judge(&w, &l).store && judge(&w, &l).life_ns == SECOND / 2);
    arena_done(&w.a);
}

/* Expiration at 1700000000 seconds is the last that holds at that time. */
static void add_signature(struct world *w, uint32_t expiration, uint32_t inception)
{
    static uint8_t bytes[24];
    bytes[1] = 22; /* its length */
    for (int i = 0; i < 4; i++) {
        bytes[2 + 8 + i] = (uint8_t)(expiration >> (24 - 8 * i));
        bytes[2 + 12 + i] = (uint8_t)(inception >> (24 - 8 * i));
    }
    rrset_list_add(&w->r.section[SECTION_ANSWER], &w->a,
                   (struct rrset){ .type = RR_RRSIG, .ttl = 60, .count = 1, .rdata = bytes });
}

static void test_judge_signatures(void **state)
{
    static const struct {
        uint32_t expiration, inception;
        bool holds;
    } cases[] = {
        { 1700000000, 1600000000, true },
        { 1699999999, 1600000000, false },
        { 1800000000, 1700000001, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        answer_with(&w, "a.example.", 60);
        add_signature(&w, cases[i].expiration, cases[i].inception);
        assert_true(judge(&w, &defaults).store); /* nobody asked for signatures */
        w.k.do_bit = true;
        assert_int_equal(judge(&w, &defaults).store, cases[i].holds);
        arena_done(&w.a);
    }
}

/* ---- times ---- */

static void test_ttl_counts_down(void **state)
{
    struct cache *c = cache_new(&defaults);
    struct world w;
    (void)state;
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0);
    static const struct {
        int64_t age;
        uint32_t left;
    } cases[] = {
        { -SECOND, 30 }, /* stored by a worker whose batch began later */
        { 0, 30 },          { SECOND - 1, 30 },     { SECOND, 29 }, { 12 * SECOND / 10, 29 },
        { 29 * SECOND, 1 }, { 30 * SECOND - 1, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cache_entry *e = cache_find(c, &w.k, T0 + cases[i].age);
        assert_non_null(e);
        assert_true(cache_is_fresh(e, T0 + cases[i].age));
        assert_int_equal(cache_ttl_left(e, T0 + cases[i].age), cases[i].left);
    }
    assert_null(cache_find(c, &w.k, T0 + 30 * SECOND));
    arena_done(&w.a);
    done(c);
}

static void test_stale(void **state)
{
    struct cache_limits l = defaults;
    struct world w;
    (void)state;
    l.stale_ns = 100 * SECOND;
    struct cache *c = cache_new(&l);
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0);
    struct cache_entry *e = cache_find(c, &w.k, T0 + 130 * SECOND - 1);
    assert_non_null(e);
    assert_false(cache_is_fresh(e, T0 + 30 * SECOND));
    assert_null(cache_find(c, &w.k, T0 + 130 * SECOND));
    arena_done(&w.a);

    fail_with(&w, "b.example.");
    store(c, &w, T0);
    assert_non_null(cache_find(c, &w.k, T0 + 5 * SECOND - 1));
    assert_null(cache_find(c, &w.k, T0 + 5 * SECOND)); /* failures are never served stale */
    arena_done(&w.a);
    done(c);
}

/* ---- which entry ---- */

static uint16_t rcode_at(struct cache *c, struct world *w, int64_t now)
{
    struct cache_entry *e = cache_find(c, &w->k, now);
    return e ? e->rcode : 999;
}

static void test_the_latest_counts(void **state)
{
    struct cache_limits l = defaults;
    struct world w;
    (void)state;
    l.stale_ns = 1000 * SECOND;
    struct cache *c = cache_new(&l);
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0);
    arena_done(&w.a);
    deny_with(&w, "a.example.", 30);
    store(c, &w, T0 + SECOND);
    assert_int_equal(rcode_at(c, &w, T0 + 2 * SECOND), RCODE_NXDOMAIN);
    assert_int_equal(cache_count(c, CACHE_SUCCESS), 0);
    arena_done(&w.a);
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0 + 3 * SECOND);
    assert_int_equal(rcode_at(c, &w, T0 + 4 * SECOND), RCODE_NOERROR);
    assert_int_equal(cache_count(c, CACHE_DENIAL), 0);
    arena_done(&w.a);
    done(c);
}

static void test_failure_hides_nothing(void **state)
{
    struct cache_limits l = defaults;
    struct world w;
    (void)state;
    l.stale_ns = 100 * SECOND;
    struct cache *c = cache_new(&l);
    for (int denied = 0; denied < 2; denied++) {
        (denied ? deny_with : answer_with)(&w, denied ? "b.example." : "a.example.", 30);
        store(c, &w, T0);
        uint16_t rcode = w.r.rcode;
        arena_done(&w.a);
        fail_with(&w, denied ? "b.example." : "a.example.");
        store(c, &w, T0 + 60 * SECOND);
        assert_int_equal(rcode_at(c, &w, T0 + 61 * SECOND), rcode);
        store(c, &w, T0 + 131 * SECOND); /* of no use any more: then the failure is kept */
        assert_int_equal(rcode_at(c, &w, T0 + 132 * SECOND), RCODE_SERVFAIL);
        arena_done(&w.a);
    }
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0 + 133 * SECOND); /* and data displaces it at once */
    assert_int_equal(rcode_at(c, &w, T0 + 133 * SECOND), RCODE_NOERROR);
    arena_done(&w.a);
    done(c);
}

static void test_prefer_positive(void **state)
{
    struct cache_limits l = defaults;
    struct world w;
    (void)state;
    l.stale_ns = 100 * SECOND;
    l.prefer_positive = true;
    struct cache *c = cache_new(&l);
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0);
    arena_done(&w.a);
    deny_with(&w, "a.example.", 1000);
    store(c, &w, T0 + 40 * SECOND);
    assert_int_equal(rcode_at(c, &w, T0 + 41 * SECOND), RCODE_NOERROR);
    assert_int_equal(rcode_at(c, &w, T0 + 131 * SECOND), RCODE_NXDOMAIN);
    arena_done(&w.a);
    done(c);
}

static void test_key(void **state)
{
    struct cache *c = cache_new(&defaults);
    struct world w, other;
    (void)state;
    answer_with(&w, "A.Example.", 30);
    store(c, &w, T0);
    for (int i = 0; i < 5; i++) {
        ask(&other, i == 0 ? "b.example." : "a.eXAMPLE.", i == 1 ? RR_AAAA : RR_A);
        if (i == 2)
            other.q.class = CLASS_CH;
        cache_key_init(&other.k, &other.q, i == 3, i == 4);
        assert_null(cache_find(c, &other.k, T0));
        arena_done(&other.a);
    }
    ask(&other, "a.eXAMPLE.", RR_A);
    assert_non_null(cache_find(c, &other.k, T0));
    arena_done(&other.a);
    arena_done(&w.a);
    done(c);
}

/* ---- the answer ---- */

static void test_fill(void **state)
{
    static const uint8_t target[] = "\001t\007example";
    struct cache *c = cache_new(&defaults);
    struct world w, asked;
    (void)state;
    answer_with(&w, "A.Example.", 30);
    rrset_list_add(&w.r.section[SECTION_ADDITIONAL], &w.a,
                   (struct rrset){ .owner = target,
                                   .type = RR_TXT,
                                   .count = 2,
                                   .ttl = 40,
                                   .rdata = (const uint8_t *)"\0\003\002hi\0\001\0" });
    w.r.flags = FLAG_QR | FLAG_RA | FLAG_RD | FLAG_AD;
    store(c, &w, T0);
    arena_done(&w.a); /* the entry has its own bytes */

    ask(&asked, "A.Example.", RR_A);
    struct cache_entry *e = cache_find(c, &asked.k, T0);
    assert_int_equal(e->flags, FLAG_RA | FLAG_AD);
    cache_entry_fill(e, 17, &asked.a, &asked.r);
    assert_int_equal(asked.r.section[SECTION_ANSWER].n, 1);
    assert_int_equal(asked.r.section[SECTION_AUTHORITY].n, 0);
    const struct rrset *a = &asked.r.section[SECTION_ANSWER].items[0];
    assert_null(a->owner);
    assert_int_equal(a->ttl, 17);
    assert_memory_equal(a->rdata, "\300\0\002\001\300\0\002\002", 8);
    const struct rrset *txt = &asked.r.section[SECTION_ADDITIONAL].items[0];
    assert_memory_equal(txt->owner, target, sizeof target);
    assert_memory_equal(txt->rdata, "\0\003\002hi\0\001\0", 8);
    assert_int_equal(txt->ttl, 17);
    arena_done(&asked.a);

    ask(&asked, "a.example.", RR_A); /* the owner stays as the first query spelled it */
    cache_entry_fill(cache_find(c, &asked.k, T0), 17, &asked.a, &asked.r);
    assert_memory_equal(asked.r.section[SECTION_ANSWER].items[0].owner, "\001A\007Example", 11);
    arena_done(&asked.a);
    done(c);
}

static void test_counters_survive_a_renewal(void **state)
{
    struct cache *c = cache_new(&defaults);
    struct world w;
    (void)state;
    answer_with(&w, "a.example.", 30);
    store(c, &w, T0);
    atomic_store(&cache_find(c, &w.k, T0)->hits, 7);
    atomic_store(&cache_find(c, &w.k, T0)->last_hit_ns, T0);
    assert_int_equal(store(c, &w, T0 + SECOND), 0);
    struct cache_entry *e = cache_find(c, &w.k, T0 + SECOND);
    assert_int_equal(cache_ttl_left(e, T0 + SECOND), 30);
    assert_int_equal(atomic_load(&e->hits), 7);
    assert_true(atomic_load(&e->last_hit_ns) == T0);
    assert_int_equal(cache_count(c, CACHE_SUCCESS), 1);
    arena_done(&w.a);
    done(c);
}

/* Two configurations in a row use one table; it goes with the last of them. */
static void test_share(void **state)
{
    struct world w;
    struct cache *c = cache_new(&defaults);
    (void)state;
    ask(&w, "shared.test.", RR_A);
    add(&w, SECTION_ANSWER, RR_A, 60);
    store(c, &w, T0);
    assert_ptr_equal(cache_share(c), c);
    cache_free(c);
    assert_non_null(cache_find(c, &w.k, T0 + SECOND));
    cache_free(c);
    arena_done(&w.a);
}

/* ---- notes ---- */

#define HASH(bucket, half) ((uint64_t)(bucket) << 32 | (uint32_t)(half))

static void test_note(void **state)
{
    (void)state;
    struct cache *c = cache_new(&defaults);
    assert_int_equal(cache_note_age(c, HASH(1, 7), T0), -1);
    cache_note(c, HASH(1, 7), T0);
    assert_int_equal(cache_note_age(c, HASH(1, 7), T0), 0);
    assert_int_equal(cache_note_age(c, HASH(1, 7), T0 + 3 * SECOND), 3 * SECOND);
    assert_int_equal(cache_note_age(c, HASH(1, 8), T0), -1);
    cache_note(c, HASH(1, 7), T0 + 9 * SECOND); /* its own place again */
    assert_int_equal(cache_note_age(c, HASH(1, 7), T0 + 10 * SECOND), SECOND);
    done(c);
}

static void test_note_takes_the_oldest_ones_place(void **state)
{
    (void)state;
    struct cache *c = cache_new(&defaults);
    for (int i = 0; i < CACHE_NOTES; i++)
        cache_note(c, HASH(1, 100 + i), T0 + (i == 3 ? 0 : 5 + i) * SECOND);
    cache_note(c, HASH(1, 200), T0 + 60 * SECOND);
    assert_int_equal(cache_note_age(c, HASH(1, 103), T0 + 60 * SECOND), -1);
    for (int i = 0; i < CACHE_NOTES; i++)
        if (i != 3)
            assert_int_equal(cache_note_age(c, HASH(1, 100 + i), T0 + 60 * SECOND),
                             (55 - i) * SECOND);
    assert_int_equal(cache_note_age(c, HASH(1, 200), T0 + 60 * SECOND), 0);
    done(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_judge_limits),
        cmocka_unit_test(test_judge_signatures),
        cmocka_unit_test(test_ttl_counts_down),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_the_latest_counts),
        cmocka_unit_test(test_failure_hides_nothing),
        cmocka_unit_test(test_prefer_positive),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_counters_survive_a_renewal),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_note_takes_the_oldest_ones_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
