/* What is due when: a queue of entries by time, each at most once (a binary heap; entries know
 * their place in it, so that they can be moved and taken out). Entries belong to the caller. */
#pragma once

#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct due {
    int64_t at_ns;
    size_t place; /* 1-based; 0: not queued */
};

struct due_queue {
    VEC(struct due *) heap;
};

void due_queue_done(struct due_queue *q);
/* Queues the entry, or moves it when it is queued already. */
void due_set(struct due_queue *q, struct due *d, int64_t at_ns);
void due_remove(struct due_queue *q, struct due *d); /* fine when it is not queued */
struct due *due_first(const struct due_queue *q);    /* NULL: empty */
