/* What has happened lately, for watches that go on where they were and for lists that are read in
 * pieces: a ring of events, oldest first, bounded in number and bytes. */
#pragma once

#include "registry/item.h"

#include <stdbool.h>
#include <stddef.h>

#define HISTORY_EVENTS_MAX 100000
#define HISTORY_BYTES_MAX  ((size_t)128 << 20) /* of the texts of all events */
#define HISTORY_SECONDS    300                 /* older events go, as the original has it */

struct history_event {
    int64_t revision;
    int64_t at;                /* monotonic ns */
    struct item *now, *before; /* now NULL: deleted; before NULL: created. Owned */
    struct item *last;         /* deleted: the last state with the deletion's revision */
};

struct history {
    struct history_event *ring; /* HISTORY_EVENTS_MAX, grown as needed */
    size_t first, n, capacity, bytes;
    int64_t gone; /* events up to this revision are forgotten */
    size_t events_max;
    int64_t told; /* events behind it stay, however many: listeners have yet to hear of them */
};

void history_init(struct history *h, int64_t revision);
void history_done(struct history *h);
/* Takes over the references. */
void history_add(struct history *h, const struct history_event *e);
/* Forgets what is too old at this time (monotonic ns). */
void history_trim(struct history *h, int64_t now);
/* Everything up to the revision. */
void history_forget(struct history *h, int64_t revision);
/* Index of the first event after the revision; n when there is none. */
size_t history_after(const struct history *h, int64_t revision);
const struct history_event *history_at(const struct history *h, size_t index);
