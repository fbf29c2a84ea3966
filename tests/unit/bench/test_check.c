#include "load_check.h"

#include "base/cursor.h"
#include "names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OLD  "\x0a\x00\x00\x01"
#define NEW  "\x0a\x00\x00\x02"
#define REST "\x0a\x00\x00\x09"

static const struct query *query_of(const char *line, struct queries *all)
{
    assert_int_equal(queries_of(line, all), 0);
    return &all->list.items[0];
}

/* The answer to a query with these address records, one after the other, and this rcode. */
static size_t answer_of(const struct queries *all, const char *const *addresses, unsigned n,
                        uint8_t rcode, uint8_t *ret)
{
    const struct query *q = &all->list.items[0];
    struct wbuf w = wbuf_of(ret, 512);
    wbuf_u16(&w, 7);
    wbuf_u16(&w, (uint16_t)(0x8580 | rcode));
    wbuf_u16(&w, 1);
    wbuf_u16(&w, (uint16_t)n);
    wbuf_u32(&w, 0);
    wbuf_put(&w, query_packet(all, q) + QUERY_HEADER_LEN, q->question_len);
    for (unsigned i = 0; i < n; i++) {
        wbuf_put(&w, "\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4", 12);
        wbuf_put(&w, addresses[i], 4);
    }
    assert_false(w.bad);
    return w.pos;
}

/* NULL when right. */
static const char *verdict(const char *line, const char *const *addresses, unsigned n,
                           uint8_t rcode)
{
    struct queries all = { 0 };
    uint8_t packet[512];
    const struct query *q = query_of(line, &all);
    size_t len = answer_of(&all, addresses, n, rcode, packet);
    const char *wrong = check_answer(&all, q, packet, len);
    queries_done(&all);
    return wrong;
}

static void simple_expectations(void **state)
{
    (void)state;
    const char *one[] = { OLD };
    assert_null(verdict("a.b A", one, 1, 2));
    assert_null(verdict("a.b A 10.0.0.1", one, 1, 0));
    assert_non_null(verdict("a.b A 10.0.0.2", one, 1, 0));
    assert_null(verdict("a.b A NOERROR", one, 1, 0));
    assert_non_null(verdict("a.b A NODATA", one, 1, 0));
    assert_null(verdict("a.b A NODATA", one, 0, 0));
    assert_null(verdict("a.b A NXDOMAIN", one, 0, 3));
    assert_non_null(verdict("a.b A NXDOMAIN", one, 0, 0));
    assert_non_null(verdict("a.b A 10.0.0.1", one, 1, 2));
}

/* Of a name that changes: the old state or the new one, whole. */
static void either_state_but_no_mixture(void **state)
{
    (void)state;
    const char *line = "a.b A 10.0.0.1|10.0.0.2/2";
    assert_null(verdict(line, (const char *[]){ OLD, REST }, 2, 0));
    assert_null(verdict(line, (const char *[]){ REST, NEW }, 2, 0));
    assert_string_equal(verdict(line, (const char *[]){ OLD, NEW }, 2, 0),
                        "both the old address and the new one");
    assert_string_equal(verdict(line, (const char *[]){ REST, REST }, 2, 0),
                        "neither the old address nor the new one");
    assert_string_equal(verdict(line, (const char *[]){ OLD }, 1, 0),
                        "not as many addresses as expected");
    assert_non_null(verdict(line, (const char *[]){ OLD, NEW, REST }, 3, 0));
    assert_non_null(verdict(line, NULL, 0, 0));
    assert_non_null(verdict(line, NULL, 0, 3));
}

static void foreign_and_short_answers(void **state)
{
    (void)state;
    struct queries all = { 0 };
    uint8_t packet[512];
    const struct query *q = query_of("a.b A 10.0.0.1|10.0.0.2/1", &all);
    size_t len = answer_of(&all, (const char *[]){ OLD }, 1, 0, packet);
    for (size_t n = 0; n < len; n++)
        assert_non_null(check_answer(&all, q, packet, n));
    assert_null(check_answer(&all, q, packet, len));
    packet[13] ^= 1;
    assert_string_equal(check_answer(&all, q, packet, len), "another question");
    packet[13] ^= 1;
    packet[2] = 0;
    assert_string_equal(check_answer(&all, q, packet, len), "not a response");
    queries_done(&all);
}

static void bad_lines_are_refused(void **state)
{
    (void)state;
    const char *const bad[] = { "a A 10.0.0.1|10.0.0.2",       "a A 10.0.0.1|/1",
                                "a A 10.0.0.1|10.0.0.2/0",     "a A 10.0.0.1|10.0.0.2/1x",
                                "a A 10.0.0.1|10.0.0.2/70000", "a A |10.0.0.2/1",
                                "a A 10.0.0.1|10.0.0/1",       "a A 10.0.0.1/1" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct queries all = { 0 };
        assert_int_equal(queries_of(bad[i], &all), ERR_PARSE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_expectations),
        cmocka_unit_test(either_state_but_no_mixture),
        cmocka_unit_test(foreign_and_short_answers),
        cmocka_unit_test(bad_lines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
