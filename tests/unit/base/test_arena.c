#include "base/arena.h"
#include "base/rand.h"
#include "base/vec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

struct piece {
    uint8_t *p;
    size_t size;
    uint8_t fill;
};

static void pieces_stay_apart(void **state)
{
    (void)state;
    struct arena a;
    struct rand r;
    VEC(struct piece) pieces = { 0 };
    rand_init(&r);
    arena_init(&a, 512);
    for (int i = 0; i < 2000; i++) {
        size_t size = rand_below(&r, i % 50 ? 100 : 2000);
        struct piece piece = { arena_alloc(&a, size), size, (uint8_t)i };
        assert_int_equal((uintptr_t)piece.p % 16, 0);
        memset(piece.p, piece.fill, size);
        vec_push(&pieces, piece);
    }
    vec_each (piece, &pieces) {
        for (size_t i = 0; i < piece->size; i++)
            assert_int_equal(piece->p[i], piece->fill);
    }
    vec_done(&pieces);
    arena_done(&a);
}

static void nothing_is_still_a_pointer(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    void *first = arena_alloc(&a, 0), *second = arena_zalloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_non_null(arena_memdup(&a, NULL, 0));
    arena_done(&a);
}

static void reset_uses_the_first_chunk_again(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    arena_reset(&a);
    void *first = arena_alloc(&a, 100);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            arena_alloc(&a, 100);
        arena_reset(&a);
        assert_ptr_equal(arena_alloc(&a, 100), first);
    }
    arena_done(&a);
    arena_done(&a);
}

static void copies_of_text_and_bytes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    assert_string_equal(arena_strdup(&a, ""), "");
    assert_string_equal(arena_strndup(&a, "cluster.local", 7), "cluster");
    assert_string_equal(arena_printf(&a, "%s:%d", "10.96.0.10", 53), "10.96.0.10:53");
    assert_memory_equal(arena_memdup(&a, "a\0b", 3), "a\0b", 3);
    static const uint8_t zeros[300];
    assert_memory_equal(arena_zalloc(&a, sizeof zeros), zeros, sizeof zeros);
    arena_done(&a);
}

static void arrays_grow(void **state)
{
    (void)state;
    struct arena a;
    size_t capacity = 0, n = 0;
    unsigned *items = NULL;
    arena_init(&a, 64);
    for (unsigned i = 0; i < 100; i++) {
        if (n == capacity)
            items = arena_grow(&a, items, &capacity, 3, sizeof *items);
        items[n++] = i;
    }
    assert_int_equal(capacity, 192);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(items[i], i);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_stay_apart),
        cmocka_unit_test(nothing_is_still_a_pointer),
        cmocka_unit_test(reset_uses_the_first_chunk_again),
        cmocka_unit_test(copies_of_text_and_bytes),
        cmocka_unit_test(arrays_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
