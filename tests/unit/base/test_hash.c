#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void equal_bytes_hash_equal(void **state)
{
    (void)state;
    /* At every alignment and length: the words are read unaligned. */
    uint8_t a[64], b[64];
    for (size_t len = 0; len < 40; len++)
        for (size_t at = 0; at < 8; at++) {
            memset(a, 0xee, sizeof a);
            memset(b, 0x11, sizeof b);
            for (size_t i = 0; i < len; i++)
                a[i] = b[at + i] = (uint8_t)(i * 7 + len);
            assert_true(hash_bytes(a, len) == hash_bytes(b + at, len));
        }
    assert_true(hash_str("bar.shop") == hash_bytes("bar.shop", 8));
}

static void every_bit_counts(void **state)
{
    (void)state;
    uint8_t in[24] = { 0 };
    uint64_t zero = hash_bytes(in, sizeof in);
    unsigned flipped = 0;
    for (size_t bit = 0; bit < 8 * sizeof in; bit++) {
        in[bit / 8] ^= (uint8_t)(1 << bit % 8);
        flipped += (unsigned)__builtin_popcountll(zero ^ hash_bytes(in, sizeof in));
        in[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* 192 trials of 64 bits, half of which change: 6144 expected, 55 the standard deviation. */
    assert_in_range(flipped, 6144 - 550, 6144 + 550);
    assert_true(hash_bytes(in, 23) != zero);
}

static void low_bits_spread_like_names(void **state)
{
    (void)state;
    enum { PLACES = 256, KEYS = 256 * 64 };
    static unsigned count[PLACES];
    memset(count, 0, sizeof count);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        int n = snprintf(key, sizeof key, "svc-%05d.ns-%d", i, i % 10);
        count[hash_bytes(key, (size_t)n) % PLACES]++;
    }
    for (int i = 0; i < PLACES; i++)
        assert_in_range(count[i], 64 / 4, 64 * 2);
}

static void the_stable_hash_is_fnv_1a(void **state)
{
    (void)state;
    /* Published values of FNV-1a, 64 bits. */
    assert_true(hash_stable("", 0) == 0xcbf29ce484222325ULL);
    assert_true(hash_stable("a", 1) == 0xaf63dc4c8601ec8cULL);
    assert_true(hash_stable("foobar", 6) == 0x85944171f73967e8ULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bytes_hash_equal),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(low_bits_spread_like_names),
        cmocka_unit_test(the_stable_hash_is_fnv_1a),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
