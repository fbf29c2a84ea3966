#include "dns/wheel.h"

#include "base/cleanup.h"
#include "base/clock.h"

void wheel_init(struct wheel *w, struct worker *worker)
{
    *w = (struct wheel){ .worker = worker };
    uv_timer_init(&worker->loop, &w->timer);
    w->timer.data = w;
}

void wheel_close(struct wheel *w)
{
    uv_close((uv_handle_t *)&w->timer, NULL);
}

void wheel_clear(struct deadline *d)
{
    if (!d->pprev)
        return;
    *d->pprev = d->next;
    if (d->next)
        d->next->pprev = d->pprev;
    d->pprev = NULL;
}

static void link_into(struct deadline **list, struct deadline *d)
{
    d->next = *list;
    d->pprev = list;
    if (d->next)
        d->next->pprev = &d->next;
    *list = d;
}

static void wheel_fire(uv_timer_t *timer);

static void arm(struct wheel *w, int64_t tick)
{
    int64_t left = tick * WHEEL_TICK_NS - clock_ns();
    w->armed = tick;
    uv_timer_start(&w->timer, wheel_fire, left > 0 ? (uint64_t)left / 1000000 + 1 : 0, 0);
}

void wheel_set(struct wheel *w, struct deadline *d, int64_t at_ns)
{
    wheel_clear(d);
    if (uv_is_closing((uv_handle_t *)&w->timer))
        return;
    if (!w->armed)
        w->tick = clock_ns() / WHEEL_TICK_NS;
    int64_t tick = MAX(at_ns / WHEEL_TICK_NS + 1, w->tick + 1);
    unsigned slot = (unsigned)(tick % WHEEL_SLOTS);
    d->at_ns = at_ns;
    link_into(&w->slots[slot], d);
    w->used[slot / 64] |= 1ULL << slot % 64;
    if (!w->armed || tick < w->armed)
        arm(w, tick);
}

/* Moves what is due from a slot to w->due: a deadline that is set meanwhile lands elsewhere. */
static void collect(struct wheel *w, unsigned slot, int64_t now)
{
    for (struct deadline *d = w->slots[slot], *next; d; d = next) {
        next = d->next;
        if (d->at_ns > now)
            continue;
        wheel_clear(d);
        link_into(&w->due, d);
    }
    if (!w->slots[slot])
        w->used[slot / 64] &= ~(1ULL << slot % 64);
}

/* The tick of the next slot that is not empty; 0 when all are. */
static int64_t next_used(struct wheel *w)
{
    for (int64_t i = 1; i <= WHEEL_SLOTS; i++) {
        unsigned slot = (unsigned)((w->tick + i) % WHEEL_SLOTS);
        if (slot % 64 == 0 && !w->used[slot / 64])
            i += 63;
        else if (w->used[slot / 64] >> slot % 64 & 1 && w->slots[slot])
            return w->tick + i;
    }
    return 0;
}

static void wheel_fire(uv_timer_t *timer)
{
    struct wheel *w = timer->data;
    int64_t now = clock_ns(), tick = now / WHEEL_TICK_NS;
    worker_enter(w->worker);
    for (int64_t t = MAX(w->tick + 1, tick - WHEEL_SLOTS + 1); t <= tick; t++)
        collect(w, (unsigned)(t % WHEEL_SLOTS), now);
    w->tick = MAX(w->tick, tick);
    while (w->due) {
        struct deadline *d = w->due;
        wheel_clear(d);
        d->fn(d);
    }
    int64_t next = next_used(w);
    w->armed = 0;
    if (next && !uv_is_closing((uv_handle_t *)timer))
        arm(w, next);
    worker_leave(w->worker);
}
