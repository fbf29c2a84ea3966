#include "base/mem.h"
#include "dns/serve.h"
#include "dns/setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t owner[] = "\003www\007example\003org";

static void test_dup_of_fixed_size_rdata(void **state)
{
    struct arena a;
    uint8_t bytes[] = { 10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 3 };
    const struct rrset rr = { .owner = owner,
                              .type = RR_A,
                              .class = CLASS_IN,
                              .ttl = 5,
                              .count = 3,
                              .rdlen = 4,
                              .rdata = bytes };
    (void)state;
    arena_init(&a, 256);
    struct rrset copy = rrset_dup(&a, &rr);
    memset(bytes, 0xff, sizeof bytes);
    assert_ptr_not_equal(copy.owner, owner);
    assert_memory_equal(copy.owner, owner, sizeof owner);
    assert_memory_equal(copy.rdata, "\012\0\0\001\012\0\0\002\012\0\0\003", 12);
    assert_int_equal(copy.count, 3);
    assert_int_equal(copy.ttl, 5);
    arena_done(&a);
}

static void test_dup_of_prefixed_rdata(void **state)
{
    struct arena a;
    uint8_t bytes[] = "\0\003\002hi\0\001\0\0\0";
    const struct rrset rr = { .type = RR_TXT, .class = CLASS_IN, .count = 3, .rdata = bytes };
    (void)state;
    arena_init(&a, 256);
    struct rrset copy = rrset_dup(&a, &rr);
    memset(bytes, 0xff, sizeof bytes);
    assert_null(copy.owner); /* the question's name stays the question's name */
    assert_memory_equal(copy.rdata, "\0\003\002hi\0\001\0\0\0", 10);
    arena_done(&a);
}

/* A query as it is when its chain has filled the reply. */
static struct query *query_with_answer(struct query_pool *p)
{
    struct query *q = query_get(p);
    assert_non_null(q);
    q->reply = (struct reply){ .flags = FLAG_QR | FLAG_AA | FLAG_RA | FLAG_RD };
    q->bare = false;
    q->error = NULL;
    query_add(
        q, SECTION_ANSWER,
        (struct rrset){ .owner = owner, .type = RR_A, .count = 1, .rdlen = 4, .rdata = owner });
    query_add(q, SECTION_AUTHORITY, (struct rrset){ .owner = owner, .type = RR_NS, .count = 1 });
    return q;
}

static void test_fail(void **state)
{
    struct query_pool pool = { 0 };
    struct query *q = query_with_answer(&pool);
    (void)state;
    assert_int_equal(query_fail(q, RCODE_SERVFAIL, "upstream %s: %s", "10.0.0.1", "gone"),
                     STEP_DONE);
    assert_int_equal(q->reply.rcode, RCODE_SERVFAIL);
    assert_int_equal(q->reply.flags, FLAG_QR | FLAG_RD);
    for (int s = 0; s < SECTION_COUNT; s++)
        assert_int_equal(q->reply.section[s].n, 0);
    assert_true(q->bare);
    assert_string_equal(q->error, "upstream 10.0.0.1: gone");
    query_put(&pool, q);
    query_pool_done(&pool);
}

static void test_fail_without_a_word(void **state)
{
    struct query_pool pool = { 0 };
    struct query *q = query_with_answer(&pool);
    (void)state;
    assert_int_equal(query_fail(q, RCODE_REFUSED, NULL), STEP_DONE);
    assert_int_equal(q->reply.rcode, RCODE_REFUSED);
    assert_null(q->error);
    query_put(&pool, q);
    query_pool_done(&pool);
}

/* What has been put back is used again, with the buffer of ordinary size. */
static void test_pool(void **state)
{
    struct query_pool pool = { 0 };
    (void)state;
    struct query *a = query_get(&pool), *b = query_get(&pool);
    assert_ptr_not_equal(a, b);
    a->packet = xmalloc(60000);
    query_put(&pool, a);
    assert_ptr_equal(query_get(&pool), a);
    assert_ptr_equal(a->packet, a->inline_packet);
    query_put(&pool, a);
    query_put(&pool, b);
    assert_int_equal(pool.made, 2);
    query_pool_done(&pool);
}

static enum step never(struct query *q, void *conf, void *data)
{
    (void)q, (void)conf, (void)data;
    fail();
    return STEP_DONE;
}

/* The limit turns waiting into a SERVFAIL; below it the reply so far is copied out of the snapshot.
 */
static void test_wait(void **state)
{
    static struct dns_worker w;
    static struct dns_config config;
    const struct route route = { .config = &config };
    uint8_t snapshot[] = { 10, 0, 0, 1 };
    (void)state;
    serve_metrics_init();
    struct query *q = query_with_answer(&w.pool);
    q->worker = &w.worker;
    q->route = &route;
    q->reply.section[SECTION_AUTHORITY].n = 0;
    q->reply.section[SECTION_ANSWER].items[0].rdata = snapshot;
    w.waiting = SERVE_WAITING_MAX - 1;
    assert_int_equal(query_wait(q, never, NULL), STEP_WAIT);
    assert_int_equal(w.waiting, SERVE_WAITING_MAX);
    assert_int_equal(config.waiting, 1);
    memset(snapshot, 0, sizeof snapshot);
    assert_memory_equal(q->reply.section[SECTION_ANSWER].items[0].rdata, "\012\0\0\001", 4);
    assert_int_equal(query_wait(q, never, NULL), STEP_DONE);
    assert_int_equal(q->reply.rcode, RCODE_SERVFAIL);
    assert_string_equal(q->error, "too many waiting queries");
    query_put(&w.pool, q);
    query_pool_done(&w.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dup_of_fixed_size_rdata),
        cmocka_unit_test(test_dup_of_prefixed_rdata),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_fail_without_a_word),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
