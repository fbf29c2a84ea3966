#include "dns/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned limit, distance;
    } cases[] = {
        { "", "", 3, 0 },
        { "web", "web", 3, 0 },
        { "web", "wbe", 3, 1 },
        { "web", "we", 3, 1 },
        { "web", "webs", 3, 1 },
        { "web", "wab", 3, 1 },
        { "", "abc", 3, 3 },
        { "abc", "", 2, 3 },
        { "kitten", "sitting", 5, 3 },
        { "ab", "ba", 0, 1 },
        { "defautl", "default", 1, 1 },
        { "abcd", "badc", 3, 2 },
        { "a", "z", 0, 1 },
        { "kitten", "sitting", 2, 3 },
        { "frontend", "backend", 9, 5 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(edit_distance(cases[i].a, cases[i].b, cases[i].limit), cases[i].distance);
        assert_int_equal(edit_distance(cases[i].b, cases[i].a, cases[i].limit), cases[i].distance);
    }
}

/* The same as by the whole table without short cuts. */
static unsigned plain_distance(const char *a, const char *b)
{
    unsigned d[16][16];
    size_t n = strlen(a), m = strlen(b);
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            unsigned best = i == 0 ? (unsigned)j : j == 0 ? (unsigned)i : UINT32_MAX;
            if (i && j && d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (i && j && d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i && j && d[i - 1][j - 1] + (a[i - 1] != b[j - 1]) < best)
                best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

static void test_distance_random(void **state)
{
    uint32_t seed = 12345;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char word[2][12];
        for (int w = 0; w < 2; w++) {
            seed = seed * 1664525 + 1013904223;
            size_t n = seed >> 28;
            n = n < 11 ? n : 11;
            for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525 + 1013904223;
                word[w][i] = (char)('a' + (seed >> 30));
            }
            word[w][n] = '\0';
        }
        unsigned limit = seed >> 8 & 7, is = plain_distance(word[0], word[1]);
        assert_int_equal(edit_distance(word[0], word[1], limit), is > limit ? limit + 1 : is);
    }
}

static void test_order(void **state)
{
    struct nearest n;
    (void)state;
    nearest_init(&n, "web", false);
    static const char *const names[] = { "db", "webs", "wab", "web1", "web1", "zzz", "we", "wb" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        nearest_offer(&n, names[i], names[i]);
    assert_int_equal(n.n, NEAREST_MAX);
    assert_string_equal(n.items[0].text, "wab");
    assert_string_equal(n.items[1].text, "wb");
    assert_string_equal(n.items[2].text, "we");
    assert_string_equal(n.items[3].text, "web1");
    nearest_init(&n, "production", false);
    nearest_offer(&n, "prodcution", "x");
    nearest_offer(&n, "staging", "y");
    assert_int_equal(n.n, 1);
    assert_int_equal(n.items[0].distance, 1);
    nearest_init(&n, "production", true);
    nearest_offer(&n, "staging", "y");
    assert_int_equal(n.n, 1);
}

static void test_bounds(void **state)
{
    struct nearest n;
    char long_word[200];
    (void)state;
    memset(long_word, 'a', sizeof long_word - 1);
    long_word[sizeof long_word - 1] = '\0';
    assert_int_equal(edit_distance(long_word, "a", 5), 6);
    nearest_init(&n, long_word, true);
    nearest_offer(&n, long_word, long_word);
    assert_int_equal(n.n, 0);
    nearest_init(&n, "x", true);
    for (unsigned i = 0; i <= NEAREST_LOOKED_MAX; i++) {
        assert_false(n.cut);
        nearest_offer(&n, "y", "y");
    }
    assert_true(n.cut);
    assert_int_equal(n.looked, NEAREST_LOOKED_MAX);
    assert_int_equal(n.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_distance_random),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
