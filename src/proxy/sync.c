#include "proxy/sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "proxy/select.h"

#define NAMED_MAX 8 /* Services named in one line about a refusal */

/* One sync under way. */
struct job {
    struct vip_change *changes;
    size_t n;
    bool probe;
    struct model_stats before; /* of the model before it was refreshed */
    int64_t started, took[FAMILIES];
    struct applied applied[FAMILIES];
};

struct sync {
    uv_loop_t *loop;
    struct model *model;
    struct sync_options options;
    struct applier applier[FAMILIES];
    uv_timer_t due, retry, period;
    uv_work_t work;
    struct job job;
    VEC(struct vip_key) refused;
    unsigned retry_ms;
    int64_t last_start;
    uint64_t services_told, endpoints_told;
    unsigned open_timers;
    bool started, busy, again, retry_now;
};

/* ---- one sync: collect, work, settle */

static int compare_changes(const void *a, const void *b)
{
    const struct vip_change *x = a, *y = b;
    return vip_key_compare(&x->key, &y->key);
}

/* The model's changes and, when their time has come, those that were refused before. */
static void collect(struct sync *s)
{
    struct job *j = &s->job;
    *j = (struct job){ .started = clock_ns(), .before = model_stats(s->model) };
    s->last_start = j->started;
    model_refresh(s->model);
    j->n = model_take_changes(s->model, &j->changes);
    size_t n_new = j->n;
    if (!s->retry_now || s->refused.n == 0)
        return;
    j->changes = xrealloc(j->changes, (j->n + s->refused.n) * sizeof *j->changes);
    vec_each (k, &s->refused) {
        struct vip_change c = { *k, model_find(s->model, k) };
        if (!bsearch(&c, j->changes, n_new, sizeof c, compare_changes))
            j->changes[j->n++] = c;
    }
    qsort(j->changes, j->n, sizeof *j->changes, compare_changes);
    s->retry_now = false;
}

static void work(struct sync *s)
{
    struct job *j = &s->job;
    for (unsigned f = 0; f < FAMILIES; f++) {
        int64_t start = clock_ns();
        if (j->probe)
            applier_probe(&s->applier[f]);
        applier_run(&s->applier[f], j->changes, j->n, &j->applied[f]);
        j->took[f] = clock_ns() - start;
    }
}

static void name_refused(struct sync *s, const struct applied *a, struct strbuf *out)
{
    size_t named = 0;
    for (size_t i = 0; i < a->n_failed && named < NAMED_MAX; i++) {
        const struct vip *v = model_find(s->model, &a->failed[i]);
        if (v)
            strbuf_printf(out, "%s%s", named++ ? ", " : "", v->owner);
    }
    if (a->n_failed > named)
        strbuf_printf(out, "%s%zu more", named ? " and " : "", a->n_failed - named);
}

static void report_refusal(struct sync *s, unsigned f, const struct applied *a)
{
    struct strbuf names = { 0 };
    name_refused(s, a, &names);
    if (a->code != 0)
        log_error("%s rules were not written: %s", family_names[f], a->err.text);
    else
        log_error("%s rules of Service %s were refused, all others are written: %s",
                  family_names[f], names.p, a->err.text);
    strbuf_done(&names);
}

static bool is_in(const struct vip_change *list, size_t n, const struct vip_key *k)
{
    struct vip_change c = { .key = *k };
    return n && bsearch(&c, list, n, sizeof c, compare_changes);
}

/* Keeps of the refused ones those that this job did not touch, then adds its own. */
static void update_refused(struct sync *s)
{
    const struct job *j = &s->job;
    bool full[FAMILIES];
    for (unsigned f = 0; f < FAMILIES; f++)
        full[f] = j->applied[f].full;
    size_t w = 0;
    for (size_t i = 0; i < s->refused.n; i++) {
        struct vip_key *k = &s->refused.items[i];
        if (!full[family_index(k->family)] && !is_in(j->changes, j->n, k))
            s->refused.items[w++] = *k;
    }
    s->refused.n = w;
    for (unsigned f = 0; f < FAMILIES; f++)
        for (size_t i = 0; i < j->applied[f].n_failed; i++)
            vec_push(&s->refused, j->applied[f].failed[i]);
}

static void count_family(struct sync *s, unsigned f)
{
    struct proxy_metrics *m = s->options.metrics;
    const struct job *j = &s->job;
    const struct applied *a = &j->applied[f];
    if (a->transactions) {
        histogram_observe(&m->sync[f], (uint64_t)j->took[f]);
        histogram_observe(a->full ? &m->full_sync[f] : &m->partial_sync[f], (uint64_t)j->took[f]);
        histogram_observe(&m->transaction[f], a->elements);
    }
    if (s->applier[f].rules) {
        struct ruleset_counts c = ruleset_counts(s->applier[f].rules);
        m->elements[f] = c.elements;
        m->rules[f] = c.rules;
        m->chains[f] = c.chains;
    }
    m->last_sync_ms[f] = (uint64_t)clock_unix() * 1000;
}

static void settle_family(struct sync *s, unsigned f)
{
    const struct job *j = &s->job;
    const struct applied *a = &j->applied[f];
    if (a->n_failed > 0 || a->code != 0) {
        metric_add(s->options.metrics->failures[f], 1);
        report_refusal(s, f, a);
    }
    if (a->code == 0) {
        health_updated(s->options.health, f);
        count_family(s, f);
    }
    if (a->transactions)
        log_debug("%s: %s sync, %zu elements, %zu bytes, %lld us", family_names[f],
                  a->full ? "full" : "partial", a->elements, a->bytes,
                  (long long)(j->took[f] / 1000));
}

static void count_changes(struct sync *s)
{
    struct proxy_metrics *m = s->options.metrics;
    const struct job *j = &s->job;
    struct model_stats now = model_stats(s->model);
    metric_add(m->services_total, j->before.service_changes - s->services_told);
    metric_add(m->endpoints_total, j->before.endpoint_changes - s->endpoints_told);
    s->services_told = j->before.service_changes;
    s->endpoints_told = j->before.endpoint_changes;
    m->services_pending = now.service_changes - s->services_told;
    m->endpoints_pending = now.endpoint_changes - s->endpoints_told;
    m->services = now.services;
    m->vips = now.vips;
    m->backends = now.backends;
    m->refused = s->refused.n;
}

static void count_latency(struct sync *s)
{
    struct proxy_metrics *m = s->options.metrics;
    const struct job *j = &s->job;
    if (!j->applied[0].transactions && !j->applied[1].transactions)
        return;
    if (j->before.dirty_since)
        histogram_observe(&m->latency, (uint64_t)(clock_ns() - j->before.dirty_since));
    if (!j->before.trigger_ns)
        return;
    int64_t since = clock_unix_ns() - j->before.trigger_ns;
    for (unsigned f = 0; f < FAMILIES; f++)
        if (j->applied[f].transactions)
            histogram_observe(&m->programming[f], since > 0 ? (uint64_t)since : 0);
}

static bool has_failed(const struct sync *s)
{
    return s->refused.n > 0 || s->job.applied[0].code != 0 || s->job.applied[1].code != 0;
}

static void settle(struct sync *s)
{
    update_refused(s);
    for (unsigned f = 0; f < FAMILIES; f++)
        settle_family(s, f);
    count_changes(s);
    count_latency(s);
    if (s->options.synced && s->job.n > 0)
        s->options.synced(s->options.ctx, s->job.changes, s->job.n);
}

static void drop_job(struct sync *s)
{
    for (unsigned f = 0; f < FAMILIES; f++)
        applied_done(&s->job.applied[f]);
    free(s->job.changes);
    s->job = (struct job){ 0 };
}

/* ---- when */

static void on_due(uv_timer_t *t);
static void start_job(struct sync *s, bool probe);

static void schedule(struct sync *s)
{
    if (uv_is_active((uv_handle_t *)&s->due))
        return;
    int64_t wait = s->last_start ? s->last_start + s->options.min_period_ns - clock_ns() : 0;
    uv_timer_start(&s->due, on_due, wait > 0 ? (uint64_t)(wait + 999999) / 1000000 : 0, 0);
}

static void on_due(uv_timer_t *t)
{
    start_job(t->data, false);
}

static void on_retry(uv_timer_t *t)
{
    struct sync *s = t->data;
    s->retry_now = true;
    start_job(s, false);
}

static void on_period(uv_timer_t *t)
{
    start_job(t->data, true);
}

static void plan_retry(struct sync *s)
{
    if (!has_failed(s)) {
        s->retry_ms = 0;
        uv_timer_stop(&s->retry);
    } else if (!uv_is_active((uv_handle_t *)&s->retry)) {
        s->retry_ms = s->retry_ms ? MIN(2 * s->retry_ms, SYNC_RETRY_MAX_MS) : SYNC_RETRY_FIRST_MS;
        uv_timer_start(&s->retry, on_retry, s->retry_ms, 0);
    }
}

static void on_work(uv_work_t *w)
{
    work(w->data);
}

static void on_done(uv_work_t *w, int status)
{
    struct sync *s = w->data;
    (void)status;
    settle(s);
    plan_retry(s);
    drop_job(s);
    s->busy = false;
    if (s->again || model_is_dirty(s->model))
        schedule(s);
    s->again = false;
}

static void start_job(struct sync *s, bool probe)
{
    if (s->busy) {
        s->again = true;
        return;
    }
    collect(s);
    s->job.probe = probe;
    s->busy = true;
    s->work.data = s;
    uv_queue_work(s->loop, &s->work, on_work, on_done);
}

struct sync *sync_new(uv_loop_t *loop, struct model *m, const struct sync_options *o)
{
    struct sync *s = xcalloc(1, sizeof *s);
    s->loop = loop;
    s->model = m;
    s->options = *o;
    for (unsigned f = 0; f < FAMILIES; f++)
        applier_init(&s->applier[f], o->backend, m, &o->ruleset[f]);
    uv_timer_t *timers[] = { &s->due, &s->retry, &s->period };
    for (size_t i = 0; loop && i < ARRAY_SIZE(timers); i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = s;
    }
    return s;
}

static void free_now(struct sync *s)
{
    for (unsigned f = 0; f < FAMILIES; f++)
        applier_done(&s->applier[f]);
    vec_done(&s->refused);
    free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct sync *s = h->data;
    if (--s->open_timers == 0)
        free_now(s);
}

void sync_free(struct sync *s)
{
    if (!s)
        return;
    if (!s->loop) {
        free_now(s);
        return;
    }
    while (s->busy)
        uv_run(s->loop, UV_RUN_ONCE);
    uv_timer_t *timers[] = { &s->due, &s->retry, &s->period };
    s->open_timers = ARRAY_SIZE(timers);
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        uv_close((uv_handle_t *)timers[i], on_closed);
}

void sync_start(struct sync *s)
{
    uint64_t period = (uint64_t)(s->options.period_ns / 1000000);
    s->started = true;
    if (period > 0)
        uv_timer_start(&s->period, on_period, period, period);
    health_queued(s->options.health);
    schedule(s);
}

void sync_poke(struct sync *s)
{
    if (!s->started)
        return;
    health_queued(s->options.health);
    if (s->busy)
        s->again = true;
    else
        schedule(s);
}

int sync_now(struct sync *s, struct err *e)
{
    collect(s);
    work(s);
    int code = 0;
    for (unsigned f = 0; f < FAMILIES && code == 0; f++) {
        const struct applied *a = &s->job.applied[f];
        code = a->code != 0 ? a->code : a->n_failed > 0 ? ERR_REFUSED : 0;
        if (code != 0)
            err_set(e, code, "%s rules: %s", family_names[f], a->err.text);
    }
    settle(s);
    drop_job(s);
    return code;
}
