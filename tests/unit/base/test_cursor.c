#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint8_t bytes[] = { 0x01, 0x02, 0x03, 0xff, 0xfe, 0xfd, 0xfc, 0x80 };

static void reads_network_order(void **state)
{
    (void)state;
    struct cursor c = cursor_of(bytes, sizeof bytes);
    assert_int_equal(cursor_u8(&c), 0x01);
    assert_int_equal(cursor_u16(&c), 0x0203);
    assert_int_equal(cursor_u32(&c), 0xfffefdfc);
    assert_int_equal(cursor_left(&c), 1);
    assert_int_equal(cursor_u8(&c), 0x80);
    assert_false(c.bad);
}

static void too_short_stays_bad(void **state)
{
    (void)state;
    struct cursor c = cursor_of(bytes, 3);
    assert_int_equal(cursor_u16(&c), 0x0102);
    assert_int_equal(cursor_u16(&c), 0);
    assert_true(c.bad);
    assert_int_equal(cursor_u8(&c), 0);
    assert_null(cursor_take(&c, 0));
    assert_int_equal(c.pos, 2);
}

static void a_huge_length_does_not_wrap(void **state)
{
    (void)state;
    struct cursor c = cursor_of(bytes, sizeof bytes);
    cursor_u32(&c);
    assert_null(cursor_take(&c, SIZE_MAX));
    assert_null(cursor_take(&c, SIZE_MAX - 2));
    assert_true(c.bad);
}

static void sub_keeps_base_and_bounds(void **state)
{
    (void)state;
    struct cursor c = cursor_of(bytes, sizeof bytes);
    cursor_u8(&c);
    struct cursor sub = cursor_sub(&c, 2);
    assert_ptr_equal(sub.base, bytes);
    assert_int_equal(sub.pos, 1);
    assert_int_equal(cursor_u16(&sub), 0x0203);
    assert_int_equal(cursor_u8(&sub), 0);
    assert_true(sub.bad);
    assert_int_equal(c.pos, 3);
    assert_false(c.bad);
}

static void sub_beyond_the_end_is_bad(void **state)
{
    (void)state;
    struct cursor c = cursor_of(bytes, sizeof bytes);
    struct cursor sub = cursor_sub(&c, sizeof bytes + 1);
    assert_true(sub.bad);
    assert_true(c.bad);
    assert_int_equal(cursor_left(&sub), 0);
}

static void writes_what_reads_read(void **state)
{
    (void)state;
    uint8_t out[sizeof bytes];
    struct wbuf w = wbuf_of(out, sizeof out);
    wbuf_u8(&w, 0x01);
    wbuf_u16(&w, 0x0203);
    wbuf_u32(&w, 0xfffefdfc);
    wbuf_put(&w, "\x80", 1);
    assert_false(w.bad);
    assert_memory_equal(out, bytes, sizeof bytes);
    assert_int_equal(get_u16(out + 1), 0x0203);
    assert_int_equal(get_u32(out + 3), 0xfffefdfc);
}

static void a_full_buffer_takes_nothing_more(void **state)
{
    (void)state;
    uint8_t out[5] = { 0, 0, 0, 0, 0xaa };
    struct wbuf w = wbuf_of(out, 4);
    wbuf_u16(&w, 0x1111);
    wbuf_u32(&w, 0x22222222);
    assert_true(w.bad);
    wbuf_u8(&w, 0x33);
    assert_int_equal(w.pos, 2);
    assert_memory_equal(out, "\x11\x11\0\0\xaa", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_network_order),
        cmocka_unit_test(too_short_stays_bad),
        cmocka_unit_test(a_huge_length_does_not_wrap),
        cmocka_unit_test(sub_keeps_base_and_bounds),
        cmocka_unit_test(sub_beyond_the_end_is_bad),
        cmocka_unit_test(writes_what_reads_read),
        cmocka_unit_test(a_full_buffer_takes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
