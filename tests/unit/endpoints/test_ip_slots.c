#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/rand.h"
#include "endpoints/ip_slots.h"

#define CLAIMS 40

static struct ip_slots make(const char *range)
{
    struct ip_prefix p;
    struct ip_slots s;
    assert_int_equal(ip_prefix_parse(range, &p), 0);
    ip_slots_init(&s, &p);
    return s;
}

static void bounds(const char *range, uint64_t first, uint64_t last, const char *last_ip)
{
    struct ip_slots s = make(range);
    char text[IP_TEXT_MAX];
    assert_int_equal(s.first, first);
    assert_int_equal(s.last, last);
    struct ip ip = ip_slots_ip(&s, s.last);
    assert_string_equal(ip_text(&ip, text), last_ip);
    ip_slots_done(&s);
}

static void test_bounds(void **state)
{
    (void)state;
    bounds("10.96.0.0/16", 257, 65534, "10.96.255.254");
    bounds("10.96.4.0/24", 17, 254, "10.96.4.254");
    bounds("10.96.4.16/28", 1, 14, "10.96.4.30");
    bounds("10.96.4.16/30", 1, 2, "10.96.4.18");
    bounds("10.96.4.16/32", 1, 0, "10.96.4.16");
    bounds("fd00::/112", 257, 65535, "fd00::ffff");
    bounds("fd00::/64", 257, 0xffffffff, "fd00::ffff:ffff");
    bounds("fd00::10/127", 1, 1, "fd00::11");
}

struct model {
    bool claimed[CLAIMS];
    unsigned reserved[32];
};

static const char *name_of(unsigned i)
{
    static char name[CLAIMS][8];
    (void)snprintf(name[i], sizeof name[i], "s%02u", i);
    return name[i];
}

static struct ip reserved_ip(unsigned i)
{
    return (struct ip){ .family = 4, .bytes = { 10, 0, 0, (uint8_t)i } };
}

/* What a fresh table says, claims made in the given order. */
static void expect_fresh(struct slot_claim *claims, const struct model *m)
{
    struct slot_claim fresh[CLAIMS];
    struct ip_slots s = make("10.0.0.0/27");
    for (unsigned i = CLAIMS; i-- > 0;)
        if (m->claimed[i])
            ip_slots_claim(&s, &fresh[i], "ns", name_of(i));
    for (unsigned i = 0; i < 32; i++)
        for (unsigned k = 0; k < m->reserved[i]; k++) {
            struct ip ip = reserved_ip(i);
            (void)ip_slots_reserve(&s, &ip);
        }
    ip_slots_settle(&s);
    for (unsigned i = 0; i < CLAIMS; i++)
        if (m->claimed[i])
            assert_int_equal(claims[i].slot, fresh[i].slot);
    ip_slots_done(&s);
}

static void expect_sane(const struct slot_claim *claims, const struct model *m)
{
    bool used[32] = { false };
    unsigned claimed = 0, placed = 0, room = 0;
    for (unsigned i = 1; i <= 30; i++)
        room += !m->reserved[i];
    for (unsigned i = 0; i < CLAIMS; i++) {
        claimed += m->claimed[i];
        if (!m->claimed[i] || !claims[i].slot)
            continue;
        assert_true(claims[i].slot <= 30);
        assert_false(used[claims[i].slot]);
        assert_int_equal(m->reserved[claims[i].slot], 0);
        used[claims[i].slot] = true;
        placed++;
    }
    assert_int_equal(placed, MIN(claimed, room));
}

static void random_step(struct ip_slots *s, struct slot_claim *claims, struct model *m,
                        struct rand *r)
{
    unsigned i = rand_below(r, CLAIMS);
    struct ip ip = reserved_ip(i % 32);
    switch (rand_below(r, 6)) {
    case 0:
        (void)ip_slots_reserve(s, &ip);
        m->reserved[i % 32] += i % 32 >= 1 && i % 32 <= 30;
        return;
    case 1:
    case 2:
        if (!m->reserved[i % 32])
            return;
        ip_slots_release(s, &ip);
        m->reserved[i % 32]--;
        return;
    default:
        if (m->claimed[i])
            ip_slots_drop(s, &claims[i]);
        else
            ip_slots_claim(s, &claims[i], "ns", name_of(i));
        m->claimed[i] = !m->claimed[i];
    }
}

/* Every claim whose slot differs from what it was is in `moved`. */
static void expect_moved_told(struct ip_slots *s, struct slot_claim *claims, const struct model *m)
{
    for (size_t i = 0; i < s->moved.n; i++)
        s->moved.items[i]->passed = s->moved.items[i]->slot;
    vec_clear(&s->moved);
    for (unsigned i = 0; i < CLAIMS; i++)
        if (m->claimed[i])
            assert_int_equal(claims[i].passed, claims[i].slot);
}

static void test_random(void **state)
{
    (void)state;
    struct slot_claim claims[CLAIMS];
    struct model m = { 0 };
    struct rand r = { { 1, 2, 3, 4 } };
    struct ip_slots s = make("10.0.0.0/27");
    for (unsigned round = 0; round < 2000; round++) {
        random_step(&s, claims, &m, &r);
        ip_slots_settle(&s);
        expect_moved_told(&s, claims, &m);
        expect_sane(claims, &m);
        expect_fresh(claims, &m);
    }
    for (unsigned i = 0; i < CLAIMS; i++)
        if (m.claimed[i])
            ip_slots_drop(&s, &claims[i]);
    for (unsigned i = 0; i < 32; i++)
        for (struct ip ip = reserved_ip(i); m.reserved[i]; m.reserved[i]--)
            ip_slots_release(&s, &ip);
    assert_int_equal(s.slots.n, 0);
    ip_slots_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
