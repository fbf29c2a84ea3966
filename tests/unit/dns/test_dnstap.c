#include "dns/plugins/dnstap_message.h"
#include "dns/plugins/dnstap_ring.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>

/* ---- the ring ---- */

static bool put(struct tap_ring *r, uint8_t fill, size_t room, size_t len)
{
    uint8_t *p = tap_ring_reserve(r, room);
    if (!p)
        return false;
    memset(p, fill, len);
    tap_ring_commit(r, len);
    return true;
}

static void take(struct tap_ring *r, uint8_t fill, size_t len)
{
    size_t n;
    const uint8_t *p = tap_ring_peek(r, &n);
    assert_non_null(p);
    assert_int_equal(n, len);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p[i], fill);
    tap_ring_drop(r, n);
}

static void test_ring_order_and_limits(void **state)
{
    struct tap_ring r;
    size_t n;
    (void)state;
    tap_ring_init(&r, 4000);
    assert_int_equal(r.size, 4096);
    assert_null(tap_ring_peek(&r, &n));
    assert_true(tap_ring_is_empty(&r));
    assert_false(put(&r, 1, 4096, 1)); /* never fits */
    assert_true(put(&r, 1, 4088, 4088));
    assert_false(put(&r, 2, 1, 1));
    take(&r, 1, 4088);
    assert_true(put(&r, 2, 500, 3)); /* fewer bytes than were reserved */
    assert_true(put(&r, 3, 0, 0));
    take(&r, 2, 3);
    take(&r, 3, 0);
    assert_true(tap_ring_is_empty(&r));
    tap_ring_done(&r);
}

/* Lengths of all kinds, so that the end of the ring is met at all places. */
static void test_ring_around_the_end(void **state)
{
    struct tap_ring r;
    (void)state;
    tap_ring_init(&r, 4096);
    for (unsigned i = 0; i < 5000; i++) {
        size_t len = (i * 37) % 1300;
        assert_true(put(&r, (uint8_t)i, len + i % 9, len));
        assert_true(put(&r, (uint8_t)~i, 5, 5));
        take(&r, (uint8_t)i, len);
        take(&r, (uint8_t)~i, 5);
    }
    tap_ring_done(&r);
}

#define MESSAGES 20000

static void *writer(void *ring)
{
    for (uint32_t i = 0; i < MESSAGES;) {
        size_t len = 4 + i % 200;
        uint8_t *p = tap_ring_reserve(ring, len);
        if (!p) {
            sched_yield();
            continue;
        }
        memset(p, (int)i, len);
        put_u32(p, i++);
        tap_ring_commit(ring, len);
    }
    return NULL;
}

static void test_ring_between_threads(void **state)
{
    struct tap_ring r;
    pthread_t thread;
    (void)state;
    tap_ring_init(&r, 4096);
    assert_int_equal(pthread_create(&thread, NULL, writer, &r), 0);
    for (uint32_t i = 0; i < MESSAGES;) {
        size_t len;
        const uint8_t *p = tap_ring_peek(&r, &len);
        if (!p) {
            sched_yield();
            continue;
        }
        assert_int_equal(get_u32(p), i);
        assert_int_equal(len, 4 + i % 200);
        assert_true(len == 4 || p[len - 1] == (uint8_t)i);
        tap_ring_drop(&r, len);
        i++;
    }
    pthread_join(thread, NULL);
    assert_true(tap_ring_is_empty(&r));
    tap_ring_done(&r);
}

/* ---- messages ---- */

static void test_message(void **state)
{
    static const uint8_t wanted[] = {
        0x0a, 2,    'm',  'e',                                /* identity */
        0x12, 1,    'v',                                      /* version */
        0x1a, 1,    'x',                                      /* extra */
        0x72, 43,                                             /* message */
        0x08, 6,    0x10, 1,    0x18, 2,                      /* type, family, protocol */
        0x22, 4,    127,  0,    0,    1,                      /* query_address */
        0x30, 0xb5, 0xea, 0x01,                               /* query_port 30005 */
        0x40, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x4d, 7, 0, 0, 0, /* 1700000000 s, 7 ns */
        0x60, 0x81, 0xe2, 0xcf, 0xaa, 0x06, 0x6d, 0, 1, 0, 0, /* and 1 s, 256 ns */
        0x72, 3,    'a',  'b',  'c',                          /* response_message */
        0x78, 1,                                              /* type */
    };
    struct tap_message m = { .type = TAP_CLIENT_RESPONSE,
                             .tcp = true,
                             .query_port = 30005,
                             .query_ns = 1700000000000000007,
                             .response_ns = 1700000001000000256,
                             .response_msg = { "abc", 3 },
                             .identity = { "me", 2 },
                             .version = { "v", 1 },
                             .extra = { "x", 1 } };
    uint8_t out[512];
    (void)state;
    assert_int_equal(ip_parse("127.0.0.1", &m.query), 0);
    assert_true(tap_message_room(&m) <= sizeof out);
    assert_int_equal(tap_message_write(&m, out), sizeof wanted);
    assert_memory_equal(out, wanted, sizeof wanted);
}

/* The largest of everything stays within the room. */
static void test_message_of_full_size(void **state)
{
    static uint8_t bytes[65535];
    struct tap_message m = { .type = TAP_FORWARDER_RESPONSE,
                             .query_port = 65535,
                             .response_port = 65535,
                             .query_ns = INT64_MAX,
                             .response_ns = INT64_MAX,
                             .query_msg = { bytes, sizeof bytes },
                             .response_msg = { bytes, sizeof bytes },
                             .identity = { bytes, 300 },
                             .version = { bytes, 300 },
                             .extra = { bytes, 4096 } };
    (void)state;
    assert_int_equal(ip_parse("2001:db8::1", &m.query), 0);
    assert_int_equal(ip_parse("2001:db8::2", &m.response), 0);
    size_t room = tap_message_room(&m);
    uint8_t *out = xmalloc(room);
    size_t len = tap_message_write(&m, out);
    assert_true(len > 2 * sizeof bytes && len < room); /* at the room's end nothing would be left */
    assert_int_equal(out[len - 2], 0x78);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_order_and_limits), cmocka_unit_test(test_ring_around_the_end),
        cmocka_unit_test(test_ring_between_threads),  cmocka_unit_test(test_message),
        cmocka_unit_test(test_message_of_full_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
