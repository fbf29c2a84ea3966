/* A growing array of one type:  VEC(struct port) ports;  vec_push(&ports, p);
 * Owner frees with vec_done(). Elements move when it grows. */
#pragma once

#include "base/mem.h"

#include <stdlib.h>

#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t n, capacity;                                                                        \
    }

#define vec_reserve(v, want)                                                                       \
    do {                                                                                           \
        if ((want) > (v)->capacity) {                                                              \
            (v)->capacity = (want) > 2 * (v)->capacity ? (want) : 2 * (v)->capacity;               \
            (v)->items = xrealloc((v)->items, (v)->capacity * sizeof *(v)->items);                 \
        }                                                                                          \
    } while (0)

#define vec_push(v, ...)                                                                           \
    do {                                                                                           \
        vec_reserve(v, (v)->n + 1);                                                                \
        (v)->items[(v)->n++] = (__VA_ARGS__);                                                      \
    } while (0)

/* Removes element i, putting the last one in its place. */
#define vec_swap_remove(v, i) ((v)->items[i] = (v)->items[--(v)->n])

#define vec_clear(v) ((v)->n = 0)

#define vec_done(v)                                                                                \
    do {                                                                                           \
        free((v)->items);                                                                          \
        (v)->items = NULL;                                                                         \
        (v)->n = 0;                                                                                \
        (v)->capacity = 0;                                                                         \
    } while (0)

#define vec_each(it, v)                                                                            \
    for (__typeof__(*(v)->items) *it = (v)->items; it && it < (v)->items + (v)->n; it++)
