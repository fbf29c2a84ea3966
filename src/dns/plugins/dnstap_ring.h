/* Messages from one worker to the sender: a ring of bytes with one writer and one reader and no
 * locks. What does not fit is the writer's to count. Messages lie in one piece each. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tap_ring {
    size_t size; /* a power of two */
    uint8_t *bytes;
    size_t reserved; /* the writer's: where the message that is being written lies */
    _Alignas(64) _Atomic size_t tail; /* written so far; the writer moves it */
    _Alignas(64) _Atomic size_t head; /* read so far; the reader moves it */
};

/* size is rounded up to a power of two. */
void tap_ring_init(struct tap_ring *r, size_t size);
void tap_ring_done(struct tap_ring *r);

/* Writer: room for n bytes in one piece, or NULL. Nothing is seen of it before tap_ring_commit(),
 * which may be for fewer bytes. */
uint8_t *tap_ring_reserve(struct tap_ring *r, size_t n);
void tap_ring_commit(struct tap_ring *r, size_t n);

/* Reader: the oldest message, or NULL; it stays until tap_ring_drop(). */
const uint8_t *tap_ring_peek(struct tap_ring *r, size_t *ret_len);
void tap_ring_drop(struct tap_ring *r, size_t len);
bool tap_ring_is_empty(struct tap_ring *r);
