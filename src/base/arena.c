#include "base/arena.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdarg.h>
#include <string.h>

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of data[] */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t chunk_size)
{
    *a = (struct arena){ .chunk_size = chunk_size };
}

static void arena_enter(struct arena *a, struct arena_chunk *c)
{
    a->chunk = c;
    a->next = c->data;
    a->end = c->data + c->size;
}

void *arena_alloc_slow(struct arena *a, size_t size)
{
    size_t want = MAX(size, a->chunk_size);
    struct arena_chunk *c = xmalloc(sizeof *c + want);
    c->size = want;
    c->next = NULL;
    if (a->chunk)
        a->chunk->next = c;
    else
        a->first = c;
    arena_enter(a, c);
    a->next += size;
    return c->data;
}

static void free_chunks(struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void arena_reset(struct arena *a)
{
    if (!a->first)
        return;
    free_chunks(a->first->next);
    a->first->next = NULL;
    arena_enter(a, a->first);
}

void arena_done(struct arena *a)
{
    free_chunks(a->first);
    arena_init(a, a->chunk_size);
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

void *arena_zalloc_aligned(struct arena *a, size_t size, size_t align)
{
    uintptr_t p = (uintptr_t)arena_zalloc(a, size + align - 1);
    return (void *)((p + align - 1) & ~(uintptr_t)(align - 1));
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
    void *q = arena_alloc(a, size);
    return size ? memcpy(q, p, size) : q;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

void *arena_grow(struct arena *a, const void *items, size_t *capacity, size_t first, size_t size)
{
    size_t n = *capacity;
    *capacity = n ? 2 * n : first;
    void *larger = arena_alloc(a, *capacity * size);
    if (n)
        memcpy(larger, items, n * size);
    return larger;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}
