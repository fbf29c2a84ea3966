#include "dns/plugins/dnstap_ring.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 8 /* bytes in front of each message: its length; all is aligned to them */
#define SKIP   ((uint64_t)-1) /* in place of a length: what follows is at the ring's start */

static size_t aligned(size_t n)
{
    return (n + HEADER - 1) & ~(size_t)(HEADER - 1);
}

void tap_ring_init(struct tap_ring *r, size_t size)
{
    r->size = 4096;
    while (r->size < size)
        r->size *= 2;
    r->bytes = xcalloc(1, r->size); /* pages that nothing is written to cost nothing */
    r->reserved = 0;
    atomic_init(&r->tail, 0);
    atomic_init(&r->head, 0);
}

void tap_ring_done(struct tap_ring *r)
{
    free(r->bytes);
}

static void put_length(struct tap_ring *r, size_t at, uint64_t len)
{
    memcpy(r->bytes + (at & (r->size - 1)), &len, sizeof len);
}

uint8_t *tap_ring_reserve(struct tap_ring *r, size_t n)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    size_t need = HEADER + aligned(n), to_end = r->size - (tail & (r->size - 1));
    size_t skipped = need > to_end ? to_end : 0;
    if (need > r->size || r->size - (tail - head) < need + skipped)
        return NULL;
    if (skipped)
        put_length(r, tail, SKIP);
    r->reserved = tail + skipped;
    return r->bytes + (r->reserved & (r->size - 1)) + HEADER;
}

void tap_ring_commit(struct tap_ring *r, size_t n)
{
    put_length(r, r->reserved, n);
    atomic_store(&r->tail, r->reserved + HEADER + aligned(n));
}

const uint8_t *tap_ring_peek(struct tap_ring *r, size_t *ret_len)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    uint64_t len;
    if (head == atomic_load(&r->tail))
        return NULL;
    size_t at = head & (r->size - 1);
    memcpy(&len, r->bytes + at, sizeof len);
    if (len == SKIP) { /* published together with the message that follows */
        atomic_store_explicit(&r->head, head + r->size - at, memory_order_release);
        at = 0;
        memcpy(&len, r->bytes, sizeof len);
    }
    *ret_len = (size_t)len;
    return r->bytes + at + HEADER;
}

void tap_ring_drop(struct tap_ring *r, size_t len)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    atomic_store_explicit(&r->head, head + HEADER + aligned(len), memory_order_release);
}

bool tap_ring_is_empty(struct tap_ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_relaxed) == atomic_load(&r->tail);
}
