#include "endpoints/reconcile.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "endpoints/controller.h"

#include <string.h>

#define SECOND_NS      1000000000LL
#define BACK_OFF_STEPS 10 /* 1 s, doubled so often; then PAUSE_MAX_NS */
#define PAUSE_MAX_NS   (1000 * SECOND_NS)
#define HOLD_MAX_NS    (8 * SECOND_NS)
#define AWAY_STEPS     5 /* up to 32 s */

static const struct controller_type *const types[CONTROLLERS] = {
    [CONTROLLER_SLICES] = &control_slices,
    [CONTROLLER_ENDPOINTS] = &control_endpoints,
    [CONTROLLER_MIRROR] = &control_mirror,
};

#define each_controller(c, r)                                                                      \
    for (struct controller *c = (r)->controllers; c < (r)->controllers + CONTROLLERS; c++)         \
        if (c->type)

static int64_t now_of(const struct reconcile *r)
{
    return r->o.writer.now ? r->o.writer.now(r->o.writer.ctx) : clock_ns();
}

static void poke(const struct reconcile *r)
{
    r->o.writer.poke(r->o.writer.ctx);
}

/* ---- the queue ---- */

int64_t controller_now(const struct controller *c)
{
    return now_of(c->r);
}

static void schedule_at(struct work *w, int64_t at_ns)
{
    struct controller *c = w->controller;
    if (!c->r->active)
        return;
    if (w->busy) {
        w->again = true;
        return;
    }
    at_ns = MAX(at_ns, w->held_until_ns);
    if (w->due.place && w->due.at_ns <= at_ns)
        return;
    if (!w->due.place) {
        metric_add(c->metrics.adds, 1);
        w->queued_ns = at_ns;
    }
    due_set(&c->queue, &w->due, at_ns);
    poke(c->r);
}

void work_schedule(struct work *w, int64_t pause_ns)
{
    schedule_at(w, controller_now(w->controller) + pause_ns);
}

void work_hurry(struct work *w, int64_t pause_ns)
{
    w->held_until_ns = 0;
    work_schedule(w, pause_ns);
}

struct work *controller_find(const struct controller *c, const char *ns, const char *name)
{
    return index_find(&c->works, ns, name);
}

struct work *controller_work(struct controller *c, const char *ns, const char *name)
{
    struct work *w = controller_find(c, ns, name);
    if (w)
        return w;
    w = xcalloc(1, sizeof *w);
    w->controller = c;
    w->namespace = xstrdup(ns);
    w->name = xstrdup(name);
    index_put(&c->works, w);
    return w;
}

void work_settle(struct work *w)
{
    struct controller *c = w->controller;
    if (w->busy || w->due.place || w->expected.n || c->type->wanted(w))
        return;
    index_remove(&c->works, w->namespace, w->name);
    controller_uncount(w);
    work_free(w);
}

void controller_settle(struct controller *c, const struct meta *m)
{
    struct work *w = controller_find(c, m->namespace, m->name);
    if (w)
        work_settle(w);
}

void controller_service_dirty(struct controller *c, struct member_set *set)
{
    const struct service *s = set->service;
    const struct meta *m = &s->object.meta;
    struct work *w = controller_find(c, m->namespace, m->name);
    if (!w) {
        w = controller_work(c, m->namespace, m->name);
        w->trigger_ns = s->created_ns;
    }
    w->trigger_ns = earliest(w->trigger_ns, c->r->tracker.trigger_ns);
    work_schedule(w, c->r->pods_changed ? c->batch_ns : 0);
}

void controller_untracked(struct controller *c, const struct meta *service)
{
    struct work *w = controller_find(c, service->namespace, service->name);
    if (w)
        due_remove(&c->queue, &w->due);
}

static struct index_key key_of(const void *item)
{
    const struct work *w = item;
    return (struct index_key){ w->namespace, w->name };
}

/* ---- what the store tells ---- */

static void on_dirty(void *ctx, struct member_set *set)
{
    struct reconcile *r = ctx;
    each_controller(c, r) if (c->type->dirty) c->type->dirty(c, set);
}

static void on_untracked(void *ctx, struct member_set *set)
{
    struct reconcile *r = ctx;
    each_controller(c, r) if (c->type->untracked) c->type->untracked(c, &set->service->object.meta);
}

static void on_unwanted(void *ctx, const struct meta *service)
{
    (void)ctx;
    (void)service;
}

static bool is_wanted(void *ctx, const struct service *s)
{
    (void)ctx;
    (void)s;
    return true;
}

static void on_change(void *ctx, const struct change *change)
{
    struct reconcile *r = ctx;
    if (!r->active)
        return;
    r->pods_changed = change->kind == KIND_POD;
    tracker_change(&r->tracker, change);
    each_controller(c, r) c->type->changed(c, change);
}

bool work_echo(struct work *w, const struct meta *what, const struct object *now)
{
    bool echo = work_confirm(w, what, now);
    if (w->stale && !w->expected.n && !w->busy) {
        w->stale = false;
        due_set(&w->controller->queue, &w->due, controller_now(w->controller));
        poke(w->controller->r);
    }
    return echo;
}

/* ---- one sync ---- */

/* Tries again after a pause. What was refused is held for a part of it whatever happens, so that
 * the server is not asked the same again and again; what only lacked a Node is not. */
static void back_off(struct work *w, bool refused)
{
    int64_t pause = MIN(SECOND_NS << MIN(w->failures, BACK_OFF_STEPS), PAUSE_MAX_NS);
    int64_t now = controller_now(w->controller);
    w->failures++;
    w->held_until_ns = refused ? now + MIN(pause, HOLD_MAX_NS) : 0;
    metric_add(w->controller->metrics.retries, 1);
    schedule_at(w, now + pause);
}

static void observe_work(struct controller *c, uint64_t took_ns)
{
    histogram_observe(&c->metrics.worked, took_ns);
    if (c->type == &control_mirror)
        histogram_observe(&c->metrics.took, took_ns);
}

/* A sync has ended. */
static void finish(struct work *w, enum sync_result result)
{
    struct controller *c = w->controller;
    int64_t now = controller_now(c);
    bool again = w->again;
    if (w->busy)
        observe_work(c, (uint64_t)MAX(now - w->begun_ns, 0));
    c->n_busy -= w->busy;
    w->busy = w->again = false;
    work_drop_ops(w);
    metric_add(c->metrics.syncs[result], 1);
    if (result == SYNC_ERROR)
        w->trigger_ns = earliest(w->trigger_ns, w->used_trigger_ns);
    if (c->type->wanted(w) && (result == SYNC_ERROR || w->incomplete))
        back_off(w, result == SYNC_ERROR);
    else if (result == SYNC_SUCCESS)
        w->failures = 0;
    if (again)
        schedule_at(w, now);
    work_settle(w);
    poke(c->r);
}

static void begin(struct work *w)
{
    struct controller *c = w->controller;
    int64_t now = controller_now(c);
    int64_t until = work_stale_until(w, c->r->store, c->type->kind, now);
    if (until) {
        metric_add(c->metrics.syncs[SYNC_STALE], 1);
        due_set(&c->queue, &w->due, until);
        w->stale = true;
        return;
    }
    w->stale = false;
    histogram_observe(&c->metrics.waited, (uint64_t)MAX(now - w->queued_ns, 0));
    w->held_until_ns = 0;
    w->begun_ns = now;
    w->used_trigger_ns = w->trigger_ns;
    w->trigger_ns = 0;
    w->incomplete = false;
    w->at = 0;
    work_forget_lost(w);
    c->type->plan(w);
    w->busy = true;
    c->n_busy++;
    if (w->ops.n)
        vec_push(&c->r->pending, w);
    else
        finish(w, SYNC_SUCCESS);
}

/* ---- writes ---- */

static void refill(struct reconcile *r, int64_t now)
{
    double gained = (double)(now - r->refilled_ns) / SECOND_NS * r->o.qps;
    r->tokens = MIN(r->tokens + gained, (double)r->o.burst);
    r->refilled_ns = now;
}

static struct work *next_pending(struct reconcile *r)
{
    struct work *w = r->pending.items[0];
    memmove(r->pending.items, r->pending.items + 1, --r->pending.n * sizeof *r->pending.items);
    return w;
}

static void write_op(struct work *w)
{
    struct controller *c = w->controller;
    const struct object_writer *to = &c->r->o.writer;
    const struct op *op = &w->ops.items[w->at];
    if (op->op == WRITE_CREATE)
        to->create(to->ctx, op->object, w);
    else if (op->op == WRITE_UPDATE)
        to->update(to->ctx, op->object, w);
    else
        to->remove(to->ctx, c->type->kind, w->namespace, op->name, w);
}

static void write_pending(struct reconcile *r)
{
    while (r->active && r->pending.n && r->tokens >= 1 && now_of(r) >= r->blocked_until_ns) {
        struct work *w = next_pending(r);
        if (w->ops.items[w->at].op != WRITE_DELETE && !w->controller->type->wanted(w)) {
            finish(w, SYNC_SUCCESS);
            continue;
        }
        r->tokens -= 1;
        write_op(w);
    }
}

/* Nobody writes for a while. Those that were on their way count once. */
static void pause_all(struct reconcile *r, const struct write_result *result)
{
    int64_t now = now_of(r), pause = SECOND_NS << MIN(r->away, AWAY_STEPS);
    if (now < r->blocked_until_ns)
        return;
    pause = pause / 2 + (int64_t)rand_below(&r->rand, (uint32_t)(pause / 1000000)) * 1000000;
    r->blocked_until_ns = now + MAX(pause, result->wait_s * SECOND_NS);
    if (!r->away++)
        log_warning("controller: nothing can be written: %s; trying again", result->text);
}

/* The first of several failures is told. */
static void refused(struct work *w, const struct write_result *result)
{
    const struct controller_type *type = w->controller->type;
    log_line(w->failures ? LOG_DEBUG : LOG_INFO,
             "controller: %s %s/%s: %s cannot be written: %s; trying again", type->about,
             w->namespace, w->name, type->writes, result->text);
    type->refused(w, &w->ops.items[w->at], result->text);
    finish(w, SYNC_ERROR);
}

static void written_well(struct work *w, const struct write_result *result)
{
    struct controller *c = w->controller;
    const struct op *op = &w->ops.items[w->at];
    if (c->r->away)
        log_info("controller: writing goes on");
    c->r->away = 0;
    metric_add(c->metrics.changes[op->op], 1);
    work_expect(w, op, result, c->r->store, c->type->kind, controller_now(c));
    if (++w->at < w->ops.n) {
        vec_push(&c->r->pending, w);
        poke(c->r);
    } else {
        finish(w, SYNC_SUCCESS);
    }
}

void reconcile_written(void *token, const struct write_result *result)
{
    struct work *w = token;
    switch (result->outcome) {
    case WRITE_OK:
        written_well(w, result);
        break;
    case WRITE_ENDING:
        finish(w, SYNC_SUCCESS);
        break;
    case WRITE_REFUSED:
        refused(w, result);
        break;
    case WRITE_AWAY:
        pause_all(w->controller->r, result);
        w->again = true;
        finish(w, SYNC_AWAY);
        break;
    }
}

/* ---- life ---- */

static void begin_due(struct controller *c)
{
    const struct due *d;
    while (c->n_busy < c->busy_max && (d = due_first(&c->queue)) && d->at_ns <= controller_now(c)) {
        struct work *w = container_of(d, struct work, due);
        due_remove(&c->queue, &w->due);
        begin(w);
    }
}

static int64_t next_run(struct reconcile *r, int64_t now)
{
    int64_t next = INT64_MAX;
    each_controller(c, r)
    {
        const struct due *d = due_first(&c->queue);
        if (d && c->n_busy < c->busy_max)
            next = MIN(next, d->at_ns);
    }
    if (r->pending.n)
        next = MIN(next, now + (int64_t)((1 - r->tokens) * SECOND_NS / r->o.qps) + 1);
    return next == INT64_MAX ? next : MAX(next, r->blocked_until_ns);
}

int64_t reconcile_run(struct reconcile *r)
{
    int64_t now = now_of(r);
    if (!r->active)
        return INT64_MAX;
    refill(r, now);
    if (now >= r->blocked_until_ns) {
        each_controller(c, r) begin_due(c);
        write_pending(r);
        each_controller(c, r) begin_due(c);
    }
    each_controller(c, r)
        atomic_store_explicit(&c->metrics.depth, c->queue.heap.n, memory_order_relaxed);
    return next_run(r, now);
}

bool reconcile_is_idle(const struct reconcile *r)
{
    for (unsigned i = 0; i < CONTROLLERS; i++)
        if (r->controllers[i].queue.heap.n || r->controllers[i].n_busy)
            return false;
    return true;
}

static void new_tracker(struct reconcile *r)
{
    r->tracker = (struct tracker){ .store = r->store,
                                   .nodes_required = true,
                                   .wanted = is_wanted,
                                   .dirty = on_dirty,
                                   .untracked = on_untracked,
                                   .unwanted = on_unwanted,
                                   .ctx = r };
}

static void new_controller(struct reconcile *r, unsigned id)
{
    struct controller *c = &r->controllers[id];
    if (!r->o.busy_max[id])
        return;
    *c = (struct controller){ .type = types[id],
                              .r = r,
                              .works = { .key = key_of },
                              .busy_max = r->o.busy_max[id],
                              .batch_ns = r->o.batch_ns[id] };
    controller_metrics_init(c);
}

struct reconcile *reconcile_new(struct store *store, const struct reconcile_options *o)
{
    struct reconcile *r = xcalloc(1, sizeof *r);
    r->store = store;
    r->o = *o;
    r->listener = (struct listener){ .changed = on_change, .ctx = r };
    rand_init(&r->rand);
    new_tracker(r);
    for (unsigned i = 0; i < CONTROLLERS; i++)
        new_controller(r, i);
    store_listen(store, &r->listener);
    return r;
}

void reconcile_start(struct reconcile *r)
{
    if (r->active)
        return;
    r->active = true;
    r->tokens = r->o.burst;
    r->refilled_ns = now_of(r);
    r->blocked_until_ns = 0;
    r->away = 0;
    r->pods_changed = false;
    zones_read(r->store, &r->zones);
    tracker_start(&r->tracker);
    each_controller(c, r) c->type->start(c);
    poke(r);
}

static void stop_controller(struct controller *c)
{
    c->n_busy = 0;
    index_each(e, &c->works)
    {
        controller_uncount(e->item);
        work_free(e->item);
    }
    index_done(&c->works);
    c->works = (struct index){ .key = key_of };
    due_queue_done(&c->queue);
}

void reconcile_stop(struct reconcile *r)
{
    r->active = false;
    vec_clear(&r->pending);
    each_controller(c, r) stop_controller(c);
    tracker_done(&r->tracker);
    zones_done(&r->zones);
    r->zones = (struct zones){ 0 };
    new_tracker(r);
}

void reconcile_free(struct reconcile *r)
{
    if (!r)
        return;
    store_unlisten(r->store, &r->listener);
    reconcile_stop(r);
    each_controller(c, r) controller_metrics_done(c);
    vec_done(&r->pending);
    free(r);
}
