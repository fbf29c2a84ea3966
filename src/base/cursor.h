/* Bytes in and bytes out, with the bounds checked in one place.
 *
 * All parsing of outside bytes goes through `struct cursor`, all wire output through `struct wbuf`;
 * no parser holds a raw pointer that it advances itself. Both fail softly: after the first read or
 * write that does not fit, `bad` stays set, reads give zero and writes do nothing, so a parser may
 * check once at the end of a group of fields. Integers are in network order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *base; /* start of the whole message, for offsets */
    size_t pos, len;
    bool bad;
};

static inline struct cursor cursor_of(const void *p, size_t len)
{
    return (struct cursor){ .base = p, .len = len };
}

static inline size_t cursor_left(const struct cursor *c)
{
    return c->len - c->pos;
}

/* n bytes as a pointer into the message, or NULL (and bad) when fewer are left. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
    if (c->bad || n > c->len - c->pos) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->base + c->pos;
    c->pos += n;
    return p;
}

static inline uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 1);
    return p ? p[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t cursor_u32(struct cursor *c)
{
    const uint8_t *p = cursor_take(c, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* A cursor over the next n bytes that keeps the base of the message (so that compression pointers
 * inside still resolve); this one moves past them. */
static inline struct cursor cursor_sub(struct cursor *c, size_t n)
{
    struct cursor sub = { .base = c->base, .pos = c->pos, .len = c->pos + n, .bad = c->bad };
    if (!cursor_take(c, n))
        sub = (struct cursor){ .base = c->base, .bad = true };
    return sub;
}

struct wbuf {
    uint8_t *base;
    size_t pos, cap;
    bool bad;
};

static inline struct wbuf wbuf_of(void *p, size_t cap)
{
    return (struct wbuf){ .base = p, .cap = cap };
}

static inline uint8_t *wbuf_take(struct wbuf *w, size_t n)
{
    if (w->bad || n > w->cap - w->pos) {
        w->bad = true;
        return NULL;
    }
    uint8_t *p = w->base + w->pos;
    w->pos += n;
    return p;
}

static inline void wbuf_put(struct wbuf *w, const void *p, size_t n)
{
    uint8_t *q = wbuf_take(w, n);
    if (q && n)
        memcpy(q, p, n);
}

static inline void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
    put_u16(p, (uint16_t)(v >> 16));
    put_u16(p + 2, (uint16_t)v);
}

static inline uint16_t get_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

static inline void wbuf_u8(struct wbuf *w, uint8_t v)
{
    wbuf_put(w, &v, 1);
}

static inline void wbuf_u16(struct wbuf *w, uint16_t v)
{
    uint8_t *p = wbuf_take(w, 2);
    if (p)
        put_u16(p, v);
}

static inline void wbuf_u32(struct wbuf *w, uint32_t v)
{
    uint8_t *p = wbuf_take(w, 4);
    if (p)
        put_u32(p, v);
}
