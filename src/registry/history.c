#include "registry/history.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256

void history_init(struct history *h, int64_t revision)
{
    *h = (struct history){ .gone = revision, .told = revision, .events_max = HISTORY_EVENTS_MAX };
}

static size_t weight(const struct history_event *e)
{
    return (e->now ? e->now->len : 0) + (e->last ? e->last->len : 0);
}

static void drop_first(struct history *h)
{
    struct history_event *e = &h->ring[h->first];
    h->gone = e->revision;
    h->bytes -= weight(e);
    item_unref(e->now);
    item_unref(e->before);
    item_unref(e->last);
    h->first = (h->first + 1) % h->capacity;
    h->n--;
}

void history_done(struct history *h)
{
    while (h->n)
        drop_first(h);
    free(h->ring);
    h->ring = NULL;
}

static void grow(struct history *h)
{
    size_t capacity = MAX(h->capacity * 2, (size_t)CAPACITY_MIN);
    struct history_event *ring = xcalloc(capacity, sizeof *ring);
    for (size_t i = 0; i < h->n; i++)
        ring[i] = h->ring[(h->first + i) % h->capacity];
    free(h->ring);
    h->ring = ring;
    h->capacity = capacity;
    h->first = 0;
}

static bool was_told(const struct history *h)
{
    return h->n && h->ring[h->first].revision <= h->told;
}

void history_add(struct history *h, const struct history_event *e)
{
    while (was_told(h) && (h->n >= h->events_max || h->bytes > HISTORY_BYTES_MAX))
        drop_first(h);
    if (h->n == h->capacity)
        grow(h);
    h->ring[(h->first + h->n++) % h->capacity] = *e;
    h->bytes += weight(e);
}

void history_trim(struct history *h, int64_t now)
{
    while (was_told(h) && now - h->ring[h->first].at > HISTORY_SECONDS * 1000000000LL)
        drop_first(h);
}

void history_forget(struct history *h, int64_t revision)
{
    while (was_told(h) && h->ring[h->first].revision <= revision)
        drop_first(h);
    h->gone = MAX(h->gone, revision);
}

const struct history_event *history_at(const struct history *h, size_t index)
{
    return &h->ring[(h->first + index) % h->capacity];
}

size_t history_after(const struct history *h, int64_t revision)
{
    size_t low = 0, high = h->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (history_at(h, middle)->revision > revision)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
