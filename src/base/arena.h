/* A bump allocator: many small pieces, freed together.
 *
 * Owner: whoever called arena_init(). Memory is 16-byte aligned and not zeroed (arena_zalloc() is).
 * arena_reset() keeps the first chunk, so an arena that is reset per query or per batch settles at
 * no allocation at all. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *first; /* kept by arena_reset() */
    struct arena_chunk *chunk; /* the one being filled */
    uint8_t *next, *end;
    size_t chunk_size;
};

/* chunk_size: bytes of a chunk; nothing is allocated before the first use. */
void arena_init(struct arena *a, size_t chunk_size);
void arena_done(struct arena *a);
void arena_reset(struct arena *a);

void *arena_alloc_slow(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* For what must begin at more than the 16 bytes of all others; align: a power of two. */
void *arena_zalloc_aligned(struct arena *a, size_t size, size_t align);
void *arena_memdup(struct arena *a, const void *p, size_t size);
/* A full array of *capacity items of `size` bytes made larger: a copy with twice the room, or with
 * room for `first` where there was none. The old one stays until the arena goes. */
void *arena_grow(struct arena *a, const void *items, size_t *capacity, size_t first, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + !size + 15) & ~(size_t)15; /* even nothing gets an address of its own */
    if (size > (size_t)(a->end - a->next))
        return arena_alloc_slow(a, size);
    void *p = a->next;
    a->next += size;
    return p;
}
