/* Packing of subsets, each against a table of which address is ready for which port that is made
 * in the dullest way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "endpoints/ports.h"
#include "endpoints/subsets.h"

#define ADDRESSES 6
#define PORTS     5
#define SUBSETS   4

enum { ABSENT, READY, UNREADY };

static struct endpoints_address address(unsigned n)
{
    static const char *const uids[] = { "", "u1", "u2" };
    return (struct endpoints_address){
        .ip = { .family = 4, .bytes = { 10, 0, 0, (uint8_t)(n / 3 * 90 + 1) } },
        .hostname = "",
        .node = "",
        .target = { "", "", "", uids[n % 3], "", "", "" },
    };
}

static struct slice_port port(unsigned n)
{
    return (struct slice_port){ .name = n < 2   ? ""
                                        : n < 4 ? "a"
                                                : "b",
                                .app_protocol = n == 3 ? "x" : NULL,
                                .port = (int32_t)(80 + n % 2),
                                .protocol = PROTO_TCP };
}

struct input {
    struct endpoints_subset subsets[SUBSETS];
    struct endpoints_address ready[SUBSETS][ADDRESSES], other[SUBSETS][ADDRESSES];
    struct slice_port ports[SUBSETS][PORTS];
    uint32_t n;
};

static void make_input(struct input *in, struct rand *r)
{
    memset(in, 0, sizeof *in);
    in->n = rand_below(r, SUBSETS + 1);
    for (uint32_t i = 0; i < in->n; i++) {
        struct endpoints_subset *s = &in->subsets[i];
        *s = (struct endpoints_subset){ .addresses = in->ready[i],
                                        .not_ready = in->other[i],
                                        .ports = in->ports[i] };
        for (unsigned k = 0; k < ADDRESSES; k++) {
            if (rand_below(r, 2))
                in->ready[i][s->n_addresses++] = address(rand_below(r, ADDRESSES));
            if (rand_below(r, 4) == 0)
                in->other[i][s->n_not_ready++] = address(rand_below(r, ADDRESSES));
        }
        for (unsigned k = 0; k < PORTS; k++)
            if (rand_below(r, 3) == 0)
                in->ports[i][s->n_ports++] = port(k);
    }
}

/* Row PORTS is that of subsets without ports. */
struct matrix {
    int cells[PORTS + 1][ADDRESSES];
};

static unsigned which_address(const struct endpoints_address *a)
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct endpoints_address b = address(i);
        if (ip_equal(&a->ip, &b.ip) && strcmp(a->target.uid, b.target.uid) == 0)
            return i;
    }
    fail_msg("an address from nowhere");
    return 0;
}

static unsigned which_port(const struct slice_port *p)
{
    for (unsigned i = 0; i < PORTS; i++) {
        struct slice_port q = port(i);
        if (ports_equal(p, &q, 1))
            return i;
    }
    fail_msg("a port from nowhere");
    return 0;
}

static void mark(struct matrix *m, unsigned row, const struct endpoints_address *a, uint32_t n,
                 int state)
{
    for (uint32_t i = 0; i < n; i++) {
        int *cell = &m->cells[row][which_address(&a[i])];
        *cell = *cell > state ? *cell : state;
    }
}

static struct matrix matrix_of(const struct endpoints_subset *subsets, uint32_t n)
{
    struct matrix m = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        const struct endpoints_subset *s = &subsets[i];
        for (unsigned k = 0; k < s->n_ports + (s->n_ports ? 0u : 1u); k++) {
            unsigned row = s->n_ports ? which_port(&s->ports[k]) : PORTS;
            mark(&m, row, s->addresses, s->n_addresses, READY);
            mark(&m, row, s->not_ready, s->n_not_ready, UNREADY);
        }
    }
    return m;
}

static void assert_sorted(const struct endpoints_address *a, uint32_t n)
{
    char x[IP_TEXT_MAX], y[IP_TEXT_MAX];
    for (uint32_t i = 1; i < n; i++) {
        int r = strcmp(ip_text(&a[i - 1].ip, x), ip_text(&a[i].ip, y));
        assert_true(r < 0 || (r == 0 && strcmp(a[i - 1].target.uid, a[i].target.uid) < 0));
    }
}

static bool same_row(const struct matrix *m, unsigned a, unsigned b)
{
    return memcmp(m->cells[a], m->cells[b], sizeof m->cells[a]) == 0;
}

/* A port is in one subset, and ports with the same addresses are in the same. */
static void assert_canonical(const struct subsets *s, const struct matrix *m)
{
    int subset_of[PORTS];
    memset(subset_of, -1, sizeof subset_of);
    for (uint32_t i = 0; i < s->n; i++) {
        assert_sorted(s->items[i].addresses, s->items[i].n_addresses);
        assert_sorted(s->items[i].not_ready, s->items[i].n_not_ready);
        for (unsigned k = 0; k < s->items[i].n_ports; k++) {
            unsigned p = which_port(&s->items[i].ports[k]);
            assert_int_equal(subset_of[p], -1);
            subset_of[p] = (int)i;
            assert_true(k == 0 ||
                        port_compare(&s->items[i].ports[k - 1], &s->items[i].ports[k]) <= 0);
        }
    }
    for (unsigned i = 0; i < PORTS; i++)
        for (unsigned k = 0; k < PORTS; k++)
            if (subset_of[i] >= 0 && subset_of[k] >= 0)
                assert_int_equal(subset_of[i] == subset_of[k], same_row(m, i, k));
}

/* Addresses that offer a port as well are not told a second time as ones without ports. */
static void forget_portless(const struct matrix *want, struct matrix *have)
{
    for (unsigned i = 0; i < PORTS; i++)
        if (same_row(want, i, PORTS))
            memcpy(have->cells[PORTS], want->cells[PORTS], sizeof have->cells[PORTS]);
}

static void shuffle(struct input *in, struct rand *r)
{
    for (uint32_t i = 1; i < in->n; i++) {
        uint32_t k = rand_below(r, i + 1);
        struct endpoints_subset t = in->subsets[i];
        in->subsets[i] = in->subsets[k];
        in->subsets[k] = t;
    }
}

static void test_random(void **state)
{
    (void)state;
    struct rand r = { { 5, 6, 7, 8 } };
    struct arena a;
    arena_init(&a, 65536);
    for (unsigned round = 0; round < 3000; round++) {
        struct input in;
        struct subsets s, again;
        arena_reset(&a);
        make_input(&in, &r);
        assert_true(subsets_pack(in.subsets, in.n, &a, &s));
        struct matrix want = matrix_of(in.subsets, in.n), have = matrix_of(s.items, s.n);
        forget_portless(&want, &have);
        assert_memory_equal(&want, &have, sizeof want);
        assert_canonical(&s, &want);
        shuffle(&in, &r);
        assert_true(subsets_pack(in.subsets, in.n, &a, &again));
        assert_true(subsets_equal(s.items, s.n, again.items, again.n, &a));
    }
    arena_done(&a);
}

/* What is told of an address that comes twice is what came first. */
static void test_first_counts(void **state)
{
    (void)state;
    struct endpoints_address with = address(0), without = address(0);
    with.node = "n1";
    struct slice_port p = port(0), q = port(1);
    const struct endpoints_subset in[] = {
        { .addresses = &with, .n_addresses = 1, .ports = &p, .n_ports = 1 },
        { .not_ready = &without, .n_not_ready = 1, .ports = &q, .n_ports = 1 },
    };
    struct arena a;
    struct subsets s;
    arena_init(&a, 4096);
    assert_true(subsets_pack(in, 2, &a, &s));
    assert_int_equal(s.n, 2);
    assert_string_equal(s.items[0].addresses[0].node, "n1");
    assert_string_equal(s.items[1].not_ready[0].node, "n1");
    assert_false(subsets_equal(s.items, 2, in, 2, &a));
    assert_false(subsets_equal(s.items, 1, in, 2, &a));
    arena_done(&a);
}

static void test_limit(void **state)
{
    (void)state;
    struct slice_port *many = calloc(SUBSETS_PORTS_MAX, sizeof *many);
    for (unsigned i = 0; i < SUBSETS_PORTS_MAX; i++)
        many[i] = (struct slice_port){ .name = "", .port = (int32_t)i + 1 };
    struct endpoints_address one = address(0);
    struct endpoints_subset s = {
        .addresses = &one, .n_addresses = 1, .ports = many, .n_ports = SUBSETS_PORTS_MAX - 1
    };
    struct arena a;
    struct subsets out;
    arena_init(&a, 65536);
    assert_true(subsets_pack(&s, 1, &a, &out));
    assert_int_equal(out.items[0].n_ports, SUBSETS_PORTS_MAX - 1);
    s.n_ports++;
    assert_false(subsets_pack(&s, 1, &a, &out));
    assert_int_equal(out.n, 0);
    arena_done(&a);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random),
                                        cmocka_unit_test(test_first_counts),
                                        cmocka_unit_test(test_limit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
