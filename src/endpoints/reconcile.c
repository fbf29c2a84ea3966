#include "endpoints/reconcile.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "endpoints/plan.h"
#include "endpoints/reconcile_impl.h"

#include <string.h>

#define SECOND_NS      1000000000LL
#define BACK_OFF_STEPS 10 /* 1 s, doubled so often; then PAUSE_MAX_NS */
#define PAUSE_MAX_NS   (1000 * SECOND_NS)
#define AWAY_STEPS     5 /* up to 32 s */

static int64_t now_of(const struct reconcile *r)
{
    return r->o.now ? r->o.now(r->o.ctx) : clock_ns();
}

/* ---- the queue ---- */

/* Work that failed is held until its pause is over. */
static void schedule(struct work *w, int64_t at_ns)
{
    struct reconcile *r = w->r;
    if (!r->active)
        return;
    if (w->busy) {
        w->again = true;
        return;
    }
    at_ns = MAX(at_ns, w->held_until_ns);
    if (w->due.place && w->due.at_ns <= at_ns)
        return;
    due_set(&r->queue, &w->due, at_ns);
    r->o.poke(r->o.ctx);
}

static void work_free(struct work *w)
{
    work_drop_ops(w);
    work_drop_expected(w);
    free(w->namespace);
    free(w->name);
    free(w);
}

static struct work *work_find(struct reconcile *r, const char *ns, const char *service)
{
    return index_find(&r->works, ns, service);
}

static void work_remove(struct work *w)
{
    struct reconcile *r = w->r;
    due_remove(&r->queue, &w->due);
    index_remove(&r->works, w->namespace, w->name);
    work_free(w);
}

static struct index_key key_of(const void *item)
{
    const struct work *w = item;
    return (struct index_key){ w->namespace, w->name };
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a && b ? MIN(a, b) : a ? a : b;
}

static struct work *work_new(struct reconcile *r, const struct service *s)
{
    struct work *w = xcalloc(1, sizeof *w);
    w->r = r;
    w->namespace = xstrdup(s->object.meta.namespace);
    w->name = xstrdup(s->object.meta.name);
    w->trigger_ns = s->created_ns;
    index_put(&r->works, w);
    return w;
}

static void on_dirty(void *ctx, struct member_set *set)
{
    struct reconcile *r = ctx;
    const struct meta *m = &set->service->object.meta;
    struct work *w = work_find(r, m->namespace, m->name);
    if (!w)
        w = work_new(r, set->service);
    w->set = set;
    w->trigger_ns = earliest(w->trigger_ns, r->tracker.trigger_ns);
    schedule(w, now_of(r) + (r->pods_changed ? r->o.batch_ns : 0));
}

/* What is written just now is not interrupted; nothing follows it. */
static void on_untracked(void *ctx, struct member_set *set)
{
    struct reconcile *r = ctx;
    const struct meta *m = &set->service->object.meta;
    struct work *w = work_find(r, m->namespace, m->name);
    if (!w)
        return;
    w->set = NULL;
    if (!w->busy)
        work_remove(w);
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

/* ---- what the store tells ---- */

static bool is_ours(const struct slice *s)
{
    return s && str_eq(meta_label(&s->object.meta, LABEL_MANAGED_BY), SLICE_CONTROLLER);
}

/* Our own writes come back as changes; all others are looked at. */
static void slice_changed(struct reconcile *r, const struct slice *slice, const struct slice *now)
{
    struct work *w =
        is_ours(slice) ? work_find(r, slice->object.meta.namespace, slice->service) : NULL;
    if (!w)
        return;
    bool echo = work_confirm(w, slice, now);
    if (echo && !w->due.place)
        return;
    w->held_until_ns = 0;
    schedule(w, now_of(r));
}

static void on_change(void *ctx, const struct change *c)
{
    struct reconcile *r = ctx;
    if (!r->active)
        return;
    r->pods_changed = c->kind == KIND_POD;
    if (c->kind != KIND_SLICE) {
        tracker_change(&r->tracker, c);
        return;
    }
    const struct slice *old = c->old ? slice_of(c->old) : NULL;
    const struct slice *new = c->new ? slice_of(c->new) : NULL;
    if (old)
        slice_changed(r, old, new);
    if (new && (!old || !is_ours(old) || strcmp(old->service, new->service) != 0))
        slice_changed(r, new, new);
}

/* ---- one sync ---- */

static void collect(void *ctx, const struct object *o)
{
    struct slice_list *l = ctx;
    if (is_ours(slice_of(o)) && !o->meta.deleting)
        vec_push(l, slice_of(o));
}

static const struct node *find_node(void *ctx, const char *name)
{
    const struct reconcile *r = ctx;
    const struct object *o = store_get(r->store, KIND_NODE, "", name);
    return o ? node_of(o) : NULL;
}

static bool make_plan(struct work *w)
{
    struct reconcile *r = w->r;
    struct slice_list ours = { 0 };
    struct plan plan;
    store_each_slice_of(r->store, w->namespace, w->name, collect, &ours);
    w->used_trigger_ns = w->trigger_ns;
    w->trigger_ns = 0;
    plan_build(&(struct plan_input){ .service = w->set->service,
                                     .pods = w->set->pods.items,
                                     .n_pods = w->set->pods.n,
                                     .node = find_node,
                                     .ctx = r,
                                     .existing = ours.items,
                                     .n_existing = ours.n,
                                     .nodes_required = true,
                                     .placeholder = true,
                                     .api = true,
                                     .max_endpoints = r->o.max_endpoints,
                                     .trigger_time_ns = w->used_trigger_ns },
               &plan);
    work_take_ops(w, &plan, &ours);
    bool incomplete = plan.incomplete;
    plan_done(&plan);
    vec_done(&ours);
    return incomplete;
}

static void back_off(struct work *w)
{
    int64_t pause = MIN(SECOND_NS << MIN(w->failures, BACK_OFF_STEPS), PAUSE_MAX_NS);
    w->failures++;
    w->held_until_ns = now_of(w->r) + pause;
    schedule(w, w->held_until_ns);
}

/* A sync has ended. */
static void finish(struct work *w, enum sync_result result)
{
    struct reconcile *r = w->r;
    bool again = w->again;
    r->n_busy -= w->busy;
    w->busy = w->again = false;
    work_drop_ops(w);
    metric_add(r->metrics.syncs[result], 1);
    if (!w->set) {
        work_remove(w);
        return;
    }
    if (result == SYNC_ERROR)
        w->trigger_ns = earliest(w->trigger_ns, w->used_trigger_ns);
    if (result == SYNC_ERROR || w->incomplete)
        back_off(w);
    else if (result == SYNC_SUCCESS)
        w->failures = 0;
    if (again)
        schedule(w, now_of(r));
    r->o.poke(r->o.ctx);
}

static void begin(struct work *w)
{
    struct reconcile *r = w->r;
    int64_t until = work_stale_until(w, now_of(r));
    if (until) {
        metric_add(r->metrics.syncs[SYNC_STALE], 1);
        due_set(&r->queue, &w->due, until);
        return;
    }
    w->held_until_ns = 0;
    w->incomplete = make_plan(w);
    w->busy = true;
    r->n_busy++;
    if (w->ops.n)
        vec_push(&r->pending, w);
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

static void write_pending(struct reconcile *r)
{
    while (r->active && r->pending.n && r->tokens >= 1 && now_of(r) >= r->blocked_until_ns) {
        struct work *w = next_pending(r);
        const struct op *op = &w->ops.items[w->at];
        if (!w->set) {
            finish(w, SYNC_ERROR);
            continue;
        }
        r->tokens -= 1;
        r->o.write(r->o.ctx, &(struct slice_write){ .op = op->op,
                                                    .namespace = w->namespace,
                                                    .name = op->name,
                                                    .slice = op->slice ? slice_of(op->slice) : NULL,
                                                    .token = w });
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
        log_warning("controller: slices cannot be written: %s; trying again", result->text);
}

/* The first of several failures is told. */
static void refused(struct work *w, const struct write_result *result)
{
    log_line(w->failures ? LOG_DEBUG : LOG_INFO,
             "controller: Service %s/%s: its slices cannot be written: %s; trying again",
             w->namespace, w->name, result->text);
    finish(w, SYNC_ERROR);
}

static void written_well(struct work *w, const struct write_result *result)
{
    struct reconcile *r = w->r;
    const struct op *op = &w->ops.items[w->at];
    if (r->away)
        log_info("controller: slices are written again");
    r->away = 0;
    metric_add(r->metrics.changes[op->op], 1);
    work_expect(w, op, result, now_of(r));
    if (++w->at < w->ops.n && w->set) {
        vec_push(&r->pending, w);
        r->o.poke(r->o.ctx);
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
        pause_all(w->r, result);
        w->again = true;
        finish(w, SYNC_AWAY);
        break;
    }
}

/* ---- life ---- */

static void begin_due(struct reconcile *r)
{
    const struct due *d;
    while (r->n_busy < r->o.busy_max && (d = due_first(&r->queue)) && d->at_ns <= now_of(r)) {
        struct work *w = container_of(d, struct work, due);
        due_remove(&r->queue, &w->due);
        begin(w);
    }
}

static int64_t next_run(const struct reconcile *r, int64_t now)
{
    int64_t next = INT64_MAX;
    const struct due *d = due_first(&r->queue);
    if (d && r->n_busy < r->o.busy_max)
        next = d->at_ns;
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
        begin_due(r);
        write_pending(r);
        begin_due(r);
    }
    atomic_store_explicit(&r->metrics.depth, r->queue.heap.n, memory_order_relaxed);
    return next_run(r, now);
}

bool reconcile_is_idle(const struct reconcile *r)
{
    return !r->queue.heap.n && !r->n_busy;
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

struct reconcile *reconcile_new(struct store *store, const struct reconcile_options *o)
{
    struct reconcile *r = xcalloc(1, sizeof *r);
    r->store = store;
    r->o = *o;
    r->works.key = key_of;
    r->listener = (struct listener){ .changed = on_change, .ctx = r };
    rand_init(&r->rand);
    new_tracker(r);
    reconcile_metrics(r);
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
    tracker_start(&r->tracker);
    r->o.poke(r->o.ctx);
}

void reconcile_stop(struct reconcile *r)
{
    r->active = false;
    r->n_busy = 0;
    vec_clear(&r->pending);
    index_each(e, &r->works) work_free(e->item);
    index_done(&r->works);
    r->works = (struct index){ .key = key_of };
    due_queue_done(&r->queue);
    tracker_done(&r->tracker);
    new_tracker(r);
}

void reconcile_free(struct reconcile *r)
{
    if (!r)
        return;
    store_unlisten(r->store, &r->listener);
    reconcile_stop(r);
    metric_gauge_drop(r);
    vec_done(&r->pending);
    free(r);
}
