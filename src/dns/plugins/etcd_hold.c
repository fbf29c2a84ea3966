/* Queries that come while the very first list is still being read: they are held back for it, so
 * that starting, or reading a Corefile with other zones, costs nobody an answer. */
#include "base/clock.h"
#include "dns/plugins/etcd.h"

#define LOOK_MS 5 /* how often it is looked whether the list is there */

/* The queries of one worker and block, the latest first. */
struct etcd_held {
    uv_timer_t timer;
    struct query *first;
    struct etcd *x;
    bool closed;
};

/* In q->scratch while a query is held. */
struct held {
    struct query *next;
};
_Static_assert(sizeof(struct held) <= QUERY_SCRATCH, "a waiting query has that much room");

/* What a worker that has stopped has instead of one. */
static struct etcd_held ended = { .closed = true };

static void release(struct etcd_held *h)
{
    struct query *q = h->first;
    h->first = NULL;
    while (q) {
        struct query *next = ((struct held *)q->scratch)->next;
        query_resume(q, h);
        q = next;
    }
}

static void on_look(uv_timer_t *timer)
{
    struct etcd_held *h = timer->data;
    struct worker *w = timer->loop->data;
    if (etcd_data_may_wait(h->x->data, clock_ns()))
        return;
    uv_timer_stop(timer);
    worker_enter(w);
    release(h);
    worker_leave(w);
}

static enum step released(struct query *q, void *conf, void *data)
{
    const struct etcd_held *h = data;
    return h->closed ? STEP_DROP : etcd_answer(q, conf);
}

static struct etcd_held *held_of(struct etcd *x, struct worker *w)
{
    struct etcd_held **h = &x->held[w->index];
    if (!*h) {
        *h = xcalloc(1, sizeof **h);
        (*h)->x = x;
        uv_timer_init(&w->loop, &(*h)->timer);
        (*h)->timer.data = *h;
    }
    return *h;
}

enum step etcd_hold(struct query *q, struct etcd *x)
{
    struct etcd_held *h = held_of(x, q->worker);
    if (h->closed)
        return STEP_DROP;
    enum step step = query_wait(q, released, x);
    if (step != STEP_WAIT)
        return step;
    if (!h->first)
        uv_timer_start(&h->timer, on_look, LOOK_MS, LOOK_MS);
    ((struct held *)q->scratch)->next = h->first;
    h->first = q;
    return STEP_WAIT;
}

static void held_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void etcd_hold_stop(struct worker *w, void *conf)
{
    struct etcd *x = conf;
    struct etcd_held *h = x->held[w->index];
    x->held[w->index] = &ended;
    if (!h || h == &ended)
        return;
    h->closed = true;
    release(h);
    uv_close((uv_handle_t *)&h->timer, held_closed);
}
