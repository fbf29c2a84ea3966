#include "endpoints/due_queue.h"

void due_queue_done(struct due_queue *q)
{
    vec_done(&q->heap);
}

static void put(struct due_queue *q, size_t i, struct due *d)
{
    q->heap.items[i] = d;
    d->place = i + 1;
}

static void sift_up(struct due_queue *q, size_t i)
{
    struct due *d = q->heap.items[i];
    for (; i && q->heap.items[(i - 1) / 2]->at_ns > d->at_ns; i = (i - 1) / 2)
        put(q, i, q->heap.items[(i - 1) / 2]);
    put(q, i, d);
}

static void sift_down(struct due_queue *q, size_t i)
{
    struct due *d = q->heap.items[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < q->heap.n && q->heap.items[child + 1]->at_ns < q->heap.items[child]->at_ns)
            child++;
        if (child >= q->heap.n || q->heap.items[child]->at_ns >= d->at_ns)
            break;
        put(q, i, q->heap.items[child]);
        i = child;
    }
    put(q, i, d);
}

void due_set(struct due_queue *q, struct due *d, int64_t at_ns)
{
    d->at_ns = at_ns;
    if (!d->place) {
        vec_push(&q->heap, d);
        d->place = q->heap.n;
    }
    sift_up(q, d->place - 1);
    sift_down(q, d->place - 1);
}

void due_remove(struct due_queue *q, struct due *d)
{
    if (!d->place)
        return;
    size_t i = d->place - 1;
    struct due *last = q->heap.items[--q->heap.n];
    d->place = 0;
    if (last == d)
        return;
    put(q, i, last);
    sift_up(q, i);
    sift_down(q, last->place - 1);
}

struct due *due_first(const struct due_queue *q)
{
    return q->heap.n ? q->heap.items[0] : NULL;
}
