#include "proxy/sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/vec.h"
#include "kernel/nft_watch.h"
#include "proxy/stale.h"

#define NAMED_MAX 8 /* Services named in one line about a refusal */

/* One sync under way. */
struct job {
    struct portal_change *changes;
    size_t n;
    bool probe, closely, full;
    struct model_stats before; /* of the model before it was refreshed */
    int64_t started, took[FAMILIES];
    struct applied applied[FAMILIES];
    struct stale_result stale;
    int64_t stale_took;
    uint32_t generation; /* of nftables, before */
    bool lost[FAMILIES]; /* somebody deleted from the table */
};

struct sync {
    uv_loop_t *loop;
    struct model *model;
    struct sync_options options;
    struct writer *writers[FAMILIES];
    uv_timer_t due, retry, period, full_period;
    uv_work_t work;
    struct nft_watch watch;
    uv_poll_t poll;
    uint32_t generation; /* of nftables, behind our last transaction */
    bool watching, watch_tried, lost[FAMILIES], probe_now, closely_now, full_now, stale_told;
    struct job job;
    VEC(char *) refused;     /* ids */
    VEC(char *) old_refused; /* to be freed with the job, whose changes may still name them */
    struct surroundings around, next_around; /* owned; the job reads the first */
    bool new_around;
    unsigned retry_ms;
    int64_t last_start;
    uint64_t services_told, endpoints_told;
    unsigned open_timers;
    bool started, busy, again, retry_now;
};

/* ---- what is around the Services */

static void free_around(struct surroundings *a)
{
    free((void *)a->node_ips);
    free((void *)a->ranges);
    *a = (struct surroundings){ 0 };
}

static void *copy(const void *from, size_t size)
{
    void *p = xmalloc(size + 1);
    return size > 0 ? memcpy(p, from, size) : p;
}

void sync_set_around(struct sync *s, const struct surroundings *a)
{
    free_around(&s->next_around);
    s->next_around = (struct surroundings){
        .node_ips = copy(a->node_ips, a->n_node_ips * sizeof *a->node_ips),
        .n_node_ips = a->n_node_ips,
        .ranges = copy(a->ranges, a->n_ranges * sizeof *a->ranges),
        .n_ranges = a->n_ranges,
    };
    s->new_around = true;
    sync_poke(s);
}

static void take_around(struct sync *s)
{
    if (!s->new_around)
        return;
    free_around(&s->around);
    s->around = s->next_around;
    s->next_around = (struct surroundings){ 0 };
    s->new_around = false;
}

/* ---- one sync: collect, work, settle */

static bool is_in(const struct portal_change *list, size_t n, const char *id)
{
    struct portal_change c = { .id = id };
    return n && bsearch(&c, list, n, sizeof c, portal_change_compare);
}

static void look_around(struct sync *s);

/* The model's changes and, when their time has come, those that were refused before. */
static void collect(struct sync *s)
{
    struct job *j = &s->job;
    *j = (struct job){ .started = clock_ns(), .before = model_stats(s->model) };
    s->last_start = j->started;
    if (s->watching) {
        j->generation = nft_generation();
        /* Behind this job it would pass for ours; the first makes everything anew anyway. */
        if (s->generation)
            look_around(s);
    }
    memcpy(j->lost, s->lost, sizeof j->lost);
    memset(s->lost, 0, sizeof s->lost);
    j->probe = s->probe_now;
    j->closely = s->closely_now;
    j->full = s->full_now;
    s->probe_now = s->closely_now = s->full_now = false;
    take_around(s);
    model_refresh(s->model);
    j->n = model_take_changes(s->model, &j->changes);
    size_t n_new = j->n;
    if (!s->retry_now || s->refused.n == 0)
        return;
    j->changes = xrealloc(j->changes, (j->n + s->refused.n) * sizeof *j->changes);
    vec_each (id, &s->refused) {
        struct portal_change c = { .id = *id };
        c.new = model_find(s->model, *id);
        if (!is_in(j->changes, n_new, *id))
            j->changes[j->n++] = c;
    }
    qsort(j->changes, j->n, sizeof *j->changes, portal_change_compare);
    s->retry_now = false;
}

static void work(struct sync *s)
{
    struct job *j = &s->job;
    for (unsigned f = 0; f < FAMILIES; f++) {
        int64_t start = clock_ns();
        struct writer *w = s->writers[f];
        if (!w)
            continue;
        if (j->lost[f] || j->full)
            w->kind->distrust(w);
        if (j->probe)
            w->kind->probe(w, j->closely);
        w->kind->run(w, j->changes, j->n, &j->applied[f]);
        j->took[f] = clock_ns() - start;
    }
    if (!s->options.live)
        return;
    int64_t start = clock_ns();
    j->stale = stale_clean(j->changes, j->n, &s->around);
    j->stale_took = clock_ns() - start;
}

static void name_refused(const struct applied *a, struct strbuf *out)
{
    size_t named = 0;
    for (size_t i = 0; i < a->n_failed && named < NAMED_MAX; i++)
        strbuf_printf(out, "%s%s", named++ ? ", " : "", a->failed[i] + 2); /* behind the family */
    if (a->n_failed > named)
        strbuf_printf(out, "%s%zu more", named ? " and " : "", a->n_failed - named);
}

static void report_refusal(unsigned f, const struct applied *a)
{
    struct strbuf names = { 0 };
    name_refused(a, &names);
    if (a->code != 0)
        log_error("%s rules were not written: %s", family_names[f], a->err.text);
    else
        log_error("%s rules of Service %s were refused, all others are written: %s",
                  family_names[f], names.p, a->err.text);
    strbuf_done(&names);
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
        char *id = s->refused.items[i];
        if (!full[id[0] == '6'] && !is_in(j->changes, j->n, id))
            s->refused.items[w++] = id;
        else
            vec_push(&s->old_refused, id);
    }
    s->refused.n = w;
    for (unsigned f = 0; f < FAMILIES; f++)
        for (size_t i = 0; i < j->applied[f].n_failed; i++)
            vec_push(&s->refused, xstrdup(j->applied[f].failed[i]));
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
    m->last_sync_ms[f] = (uint64_t)clock_unix_ns() / 1000000;
}

static void settle_family(struct sync *s, unsigned f)
{
    const struct job *j = &s->job;
    const struct applied *a = &j->applied[f];
    s->writers[f]->kind->count(s->writers[f], a, s->options.metrics);
    if (a->n_failed > 0 || a->code != 0)
        report_refusal(f, a);
    if (a->code == 0) {
        health_updated(s->options.health, f);
        count_family(s, f);
    }
    if (a->transactions || a->found)
        log_debug("%s: %s sync, %zu %s, %zu bytes, %lld us; %zu were there", family_names[f],
                  a->full ? "full" : "partial", a->elements,
                  s->options.iptables ? "rules" : "elements", a->bytes,
                  (long long)(j->took[f] / 1000), a->found);
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
    m->vips = now.portals;
    m->backends = now.backends;
    m->refused = s->refused.n;
    for (unsigned f = 0; f < FAMILIES; f++)
        for (unsigned i = 0; i < 2; i++)
            m->no_local[f][i] = now.no_local[f][i];
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

static void count_stale(struct sync *s)
{
    const struct stale_result *r = &s->job.stale;
    if (!r->looked)
        return;
    for (unsigned f = 0; f < FAMILIES; f++) {
        metric_add(s->options.metrics->stale_deleted[f], r->deleted[f]);
        histogram_observe(&s->options.metrics->stale_sync[f], (uint64_t)s->job.stale_took);
    }
    if (r->code != 0 && !s->stale_told)
        log_warning("stale UDP flows are not removed, connection tracking cannot be read: %s",
                    err_str(r->code));
    s->stale_told = r->code != 0;
}

static unsigned generations_of(const struct job *j)
{
    return j->applied[0].generations + j->applied[1].generations;
}

/* When there were more transactions than ours, somebody may have been at our tables meanwhile. */
static void note_generation(struct sync *s)
{
    const struct job *j = &s->job;
    if (!s->watching)
        return;
    bool first = s->generation == 0;
    s->generation = nft_generation();
    if (!first && s->generation - j->generation > generations_of(j) && !j->applied[0].forgotten &&
        !j->applied[1].forgotten)
        s->probe_now = s->closely_now = true;
}

static bool has_failed(const struct sync *s)
{
    return s->refused.n > 0 || s->job.applied[0].code != 0 || s->job.applied[1].code != 0;
}

static void settle(struct sync *s)
{
    update_refused(s);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (s->writers[f])
            settle_family(s, f);
    count_changes(s);
    count_latency(s);
    count_stale(s);
    note_generation(s);
    if (s->options.synced)
        s->options.synced(s->options.ctx);
}

static void drop_job(struct sync *s)
{
    for (unsigned f = 0; f < FAMILIES; f++)
        applied_done(&s->job.applied[f]);
    free(s->job.changes);
    s->job = (struct job){ 0 };
    vec_each (id, &s->old_refused)
        free(*id);
    vec_clear(&s->old_refused);
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

/* Mends what nobody told of: as the original does it every hour. */
static void on_full_period(uv_timer_t *t)
{
    struct sync *s = t->data;
    s->full_now = true;
    start_job(s, false);
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

/* ---- who else is at our tables */

static bool is_lost(const struct sync *s)
{
    return s->lost[0] || s->lost[1];
}

static void tell_loss(const struct sync *s, unsigned f)
{
    if (s->options.iptables)
        log_warning(RESTORER_LOSS, family_names[f]);
    else
        log_warning("somebody else has deleted from nftables' table %s " RULESET_TABLE
                    "; it is repaired",
                    f == 0 ? "ip" : "ip6");
}

static void look_around(struct sync *s)
{
    enum nft_harm harm[FAMILIES] = { NFT_UNHARMED, NFT_UNHARMED };
    const struct writer *any = s->writers[0] ? s->writers[0] : s->writers[1];
    if (nft_watch_read(&s->watch, any->kind->judge, s->generation, harm) < 0)
        s->probe_now = s->closely_now = true; /* some events are missing */
    for (unsigned f = 0; f < FAMILIES; f++) {
        if (!s->writers[f])
            continue;
        if (harm[f] == NFT_LOST && !s->lost[f])
            tell_loss(s, f);
        s->lost[f] |= harm[f] == NFT_LOST;
        s->probe_now |= harm[f] == NFT_DOUBTFUL;
    }
}

static void on_nft_event(uv_poll_t *p, int status, int events)
{
    struct sync *s = p->data;
    (void)status;
    (void)events;
    look_around(s);
    if (is_lost(s) || s->probe_now)
        schedule(s);
}

static void watch(struct sync *s)
{
    s->watch_tried = true;
    int ret = nft_watch_open(&s->watch);
    if (ret < 0) {
        log_warning("changes that others make to our tables are noticed late: %s", err_str(ret));
        return;
    }
    uv_poll_init(s->loop, &s->poll, nft_watch_fd(&s->watch));
    s->poll.data = s;
    s->watching = true;
}

/* Nftables mode: while all of the tables are written nobody listens, and so not before the first
 * time either. Whether somebody else wrote meanwhile is told by the generation. */
static bool is_paused(const struct sync *s)
{
    return !s->options.iptables && (s->job.full || s->job.lost[0] || s->job.lost[1]);
}

static void listen_again(struct sync *s)
{
    if (!s->options.live || s->options.iptables || !s->started)
        return;
    if (!s->watching && !s->watch_tried)
        watch(s);
    else if (s->watching && is_paused(s) && nft_watch_resume(&s->watch) < 0)
        s->probe_now = true;
}

static void on_work(uv_work_t *w)
{
    work(w->data);
}

static void on_done(uv_work_t *w, int status)
{
    struct sync *s = w->data;
    (void)status;
    listen_again(s);
    settle(s);
    plan_retry(s);
    drop_job(s);
    s->busy = false;
    if (s->watching)
        uv_poll_start(&s->poll, UV_READABLE, on_nft_event);
    if (s->watching)
        look_around(s);
    if (s->again || s->probe_now || is_lost(s) || model_is_dirty(s->model))
        schedule(s);
    s->again = false;
}

static void start_job(struct sync *s, bool probe)
{
    if (s->busy) {
        s->again = true;
        return;
    }
    s->probe_now |= probe;
    collect(s);
    s->busy = true;
    if (s->watching)
        uv_poll_stop(&s->poll);
    if (s->watching && is_paused(s))
        nft_watch_pause(&s->watch);
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
        s->writers[f] = o->without[f] ? NULL
                        : o->iptables ? writer_iptables(o->iptables, m, &s->around, &o->chains[f])
                                      : writer_nftables(o->backend, m, &s->around, &o->ruleset[f]);
    uv_timer_t *timers[] = { &s->due, &s->retry, &s->period, &s->full_period };
    for (size_t i = 0; loop && i < ARRAY_SIZE(timers); i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = s;
    }
    return s;
}

static void free_now(struct sync *s)
{
    if (s->watching)
        nft_watch_done(&s->watch);
    for (unsigned f = 0; f < FAMILIES; f++)
        if (s->writers[f])
            s->writers[f]->kind->free(s->writers[f]);
    vec_each (id, &s->refused)
        free(*id);
    vec_done(&s->refused);
    vec_done(&s->old_refused);
    free_around(&s->around);
    free_around(&s->next_around);
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
    uv_timer_t *timers[] = { &s->due, &s->retry, &s->period, &s->full_period };
    s->open_timers = ARRAY_SIZE(timers);
    if (s->watching) {
        s->open_timers++;
        uv_close((uv_handle_t *)&s->poll, on_closed);
    }
    for (size_t i = 0; i < ARRAY_SIZE(timers); i++)
        uv_close((uv_handle_t *)timers[i], on_closed);
}

void sync_start(struct sync *s)
{
    uint64_t period = (uint64_t)(s->options.period_ns / 1000000);
    uint64_t full_period = (uint64_t)(s->options.full_period_ns / 1000000);
    bool told = s->options.iptables && s->options.iptables->is_told;
    if (s->options.live && told && !s->watching)
        watch(s);
    s->started = true;
    if (period > 0)
        uv_timer_start(&s->period, on_period, period, period);
    if (full_period > 0)
        uv_timer_start(&s->full_period, on_full_period, full_period, full_period);
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
