/* Questions of `cache` that are under way, and who waits for them.
 *
 * A query that finds nothing passes on and fetches the answer; others with the same question, on
 * any worker, wait for it instead of asking too. Look-ups of the server's own never wait for
 * another's fetch: two names that lead to each other would wait for each other. Fetches stand in
 * the shard of their key and are changed under its lock; a waiting query is resumed on its own
 * worker, with a copy of the reply. */
#include "base/clock.h"
#include "dns/plugins/cache.h"

#include <stdlib.h>
#include <string.h>

#define ERROR_TEXT 256

/* What those who wait are told; shared by them. */
struct cache_result {
    _Atomic unsigned refs;
    bool failed, dropped; /* no reply of a plugin's: rcode and error only */
    bool tc;
    uint16_t rcode;
    uint32_t udp_size;         /* of the query that fetched it: a larger one may fare better */
    struct cache_entry *entry; /* NULL when failed */
    char error[ERROR_TEXT];
};

struct wait_timer {
    uv_timer_t timer;
    struct cache_waiter *w; /* NULL: it is too late */
};

/* In the waiting query's arena. */
struct cache_waiter {
    struct cache_waiter *next;
    struct cache_plugin *p;
    struct query *q;
    struct cache_fetch *fetch; /* while it is in that list */
    struct cache_result *result;
    struct wait_timer *timer;
    struct cache_key key;
    bool stale;   /* the reply holds a stale answer to fall back on */
    uint8_t kind; /* of that */
};

struct cache_fetch {
    struct cache_fetch *next;
    struct cache_plugin *p;
    struct cache_waiter *waiters;
    struct cache_key key;
    enum transport transport;
    uint32_t udp_size;
    bool registered, client_ad;
    /* Of fetches in the background, which are on the heap. */
    bool background, held;
    struct cache_result *result; /* when it ended while `held` */
    bool ended;
    struct question question;
};

static void lock(struct cache_plugin *p, uint64_t hash)
{
    pthread_mutex_lock(&cache_shard_of(p->cache, hash)->lock);
}

static void unlock(struct cache_plugin *p, uint64_t hash)
{
    pthread_mutex_unlock(&cache_shard_of(p->cache, hash)->lock);
}

static uint32_t udp_size_of(const struct query *q)
{
    return q->msg.edns.present ? MAX(q->msg.edns.udp_size, MSG_UDP_MIN) : MSG_UDP_MIN;
}

/* ---- the list of a shard, locked ---- */

static bool is_same_question(const struct cache_key *a, const struct cache_key *b)
{
    return a->hash == b->hash && a->do_bit == b->do_bit && a->cd == b->cd &&
           a->q->type == b->q->type && a->q->class == b->q->class &&
           a->q->name.len == b->q->name.len &&
           memcmp(a->q->lower, b->q->lower, a->q->name.len) == 0;
}

static struct cache_fetch *find_fetch(struct cache_plugin *p, const struct cache_key *k)
{
    struct cache_fetch *f = cache_shard_of(p->cache, k->hash)->fetches;
    while (f && !is_same_question(&f->key, k))
        f = f->next;
    return f;
}

static void register_fetch(struct cache_plugin *p, struct cache_fetch *f)
{
    struct cache_shard *s = cache_shard_of(p->cache, f->key.hash);
    f->registered = true;
    f->next = s->fetches;
    s->fetches = f;
}

static void unregister_fetch(struct cache_plugin *p, struct cache_fetch *f)
{
    struct cache_fetch **at = &cache_shard_of(p->cache, f->key.hash)->fetches;
    if (!f->registered)
        return;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    f->registered = false;
}

static void add_waiter(struct cache_fetch *f, struct cache_waiter *w)
{
    w->fetch = f;
    w->next = f->waiters;
    f->waiters = w;
}

static void remove_waiter(struct cache_waiter *w)
{
    struct cache_waiter **at = &w->fetch->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->fetch = NULL;
}

/* ---- results ---- */

static struct cache_result *result_new(struct query *q, const struct cache_key *k, uint32_t ttl)
{
    struct cache_result *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    struct cache_verdict as_it_is = { .ttl = ttl };
    r->failed = q->bare || q->dropped;
    r->dropped = q->dropped;
    r->tc = q->reply.tc;
    r->rcode = q->reply.rcode;
    r->udp_size = udp_size_of(q);
    if (!r->failed)
        r->entry = cache_entry_new(k, &q->reply, &as_it_is, 0);
    if (!r->failed && !r->entry) {
        r->failed = true;
        r->rcode = RCODE_SERVFAIL;
    }
    if (q->error)
        (void)snprintf(r->error, sizeof r->error, "%s", q->error);
    return r;
}

static void result_put(struct cache_result *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    free(r->entry);
    free(r);
}

/* ---- those who wait ---- */

static bool is_good(const struct cache_result *r)
{
    return r && !r->failed && (r->rcode == RCODE_NOERROR || r->rcode == RCODE_NXDOMAIN);
}

static void begin_pass(struct query *q, struct cache_fetch *f)
{
    q->fetch = f;
    f->client_ad = q->msg.flags & FLAG_AD;
    q->msg.flags |= FLAG_AD;
    if (q->msg.raw == q->packet) /* that is what goes upstream */
        q->packet[3] |= FLAG_AD;
}

static void end_pass(struct query *q)
{
    if (!q->fetch->client_ad) {
        q->msg.flags &= (uint16_t)~FLAG_AD;
        if (q->msg.raw == q->packet)
            q->packet[3] &= (uint8_t)~FLAG_AD;
    }
    q->fetch = NULL;
}

static void fetch_init(struct cache_fetch *f, struct cache_plugin *p, const struct query *q,
                       const struct cache_key *k)
{
    f->p = p;
    f->key = *k;
    f->transport = q->transport;
    f->udp_size = udp_size_of(q);
}

static void forget_stale(struct query *q)
{
    q->reply.rcode = RCODE_NOERROR;
    q->reply.flags &= (uint16_t) ~(FLAG_AA | FLAG_RA | FLAG_AD);
    for (int s = 0; s < SECTION_COUNT; s++)
        q->reply.section[s].n = 0;
}

/* The reply was cut for a client that takes less: asks with the client's own message, waiting for
 * nobody. */
static enum step pass_alone(struct cache_waiter *w)
{
    struct cache_fetch *f = arena_zalloc(&w->q->arena, sizeof *f);
    fetch_init(f, w->p, w->q, &w->key);
    begin_pass(w->q, f);
    return STEP_NEXT;
}

static enum step tell(struct cache_waiter *w, const struct cache_result *r)
{
    struct query *q = w->q;
    if (w->stale && !is_good(r)) {
        metric_add(cache_metrics_of(w->p, q)->hits[w->kind], 1);
        metric_add(cache_metrics_of(w->p, q)->served_stale, 1);
        return STEP_DONE;
    }
    metric_add(cache_metrics_of(w->p, q)->misses, 1);
    if (w->stale)
        forget_stale(q);
    if (!r)
        return query_fail(q, RCODE_SERVFAIL,
                          "plugin/cache: the query that was waited for has given up");
    if (r->dropped)
        return STEP_DROP;
    if (r->failed)
        return query_fail(q, r->rcode, r->error[0] ? "%s" : NULL, r->error);
    if (r->tc && q->transport == TRANSPORT_UDP && udp_size_of(q) > r->udp_size)
        return pass_alone(w);
    q->reply.flags |= r->entry->flags & (FLAG_AA | FLAG_RA | (cache_wants_ad(q) ? FLAG_AD : 0));
    q->reply.tc = r->tc;
    /* The bytes are copied: the result goes when the last one has been told. */
    cache_entry_fill(r->entry, r->entry->ttl, &q->arena, &q->reply);
    for (int s = 0; s < SECTION_COUNT; s++)
        for (uint16_t i = 0; i < q->reply.section[s].n; i++)
            q->reply.section[s].items[i] = rrset_dup(&q->arena, &q->reply.section[s].items[i]);
    return STEP_DONE;
}

static void free_timer(uv_handle_t *h)
{
    free(h->data);
}

static enum step on_told(struct query *q, void *conf, void *data)
{
    struct cache_waiter *w = conf;
    (void)q;
    if (w->timer) {
        w->timer->w = NULL;
        uv_close((uv_handle_t *)&w->timer->timer, free_timer);
    }
    enum step step = tell(w, data);
    result_put(data);
    return step;
}

/* Out of patience: the stale answer has to do. */
static void on_time(uv_timer_t *t)
{
    struct wait_timer *timer = t->data;
    struct cache_waiter *w = timer->w;
    if (!w)
        return;
    lock(w->p, w->key.hash);
    bool waits = w->fetch != NULL;
    if (waits)
        remove_waiter(w);
    unlock(w->p, w->key.hash);
    if (!waits)
        return; /* the result is on its way to this worker */
    struct worker *worker = w->q->worker;
    worker_enter(worker);
    query_resume(w->q, NULL);
    worker_leave(worker);
}

static void start_timer(struct cache_waiter *w)
{
    struct wait_timer *t = calloc(1, sizeof *t);
    if (!t)
        return; /* then it is as long as it takes */
    uv_timer_init(&w->q->worker->loop, &t->timer);
    t->timer.data = t;
    t->w = w;
    w->timer = t;
    uv_timer_start(&t->timer, on_time, (uint64_t)(w->p->verify_ns / 1000000), 0);
}

static struct cache_waiter *waiter_new(struct cache_plugin *p, struct query *q,
                                       const struct cache_key *k, bool stale)
{
    struct cache_waiter *w = arena_zalloc(&q->arena, sizeof *w);
    *w = (struct cache_waiter){ .p = p, .q = q, .key = *k, .stale = stale };
    w->kind = q->reply.rcode == RCODE_NXDOMAIN || !q->reply.section[SECTION_ANSWER].n
                  ? CACHE_DENIAL
                  : CACHE_SUCCESS;
    return w;
}

/* Shard locked. */
static enum step wait_for(struct cache_fetch *f, struct cache_waiter *w)
{
    enum step step = query_wait(w->q, on_told, w);
    if (step != STEP_WAIT)
        return step;
    add_waiter(f, w);
    if (w->stale && w->p->verify_ns)
        start_timer(w);
    return step;
}

/* A cut reply is no use over TCP, and a look-up of the server's own must not wait for others. */
static bool may_join(const struct cache_plugin *p, const struct query *q,
                     const struct cache_fetch *f)
{
    return f && q->depth == 0 && f->transport == q->transport && !p->ended[q->worker->index];
}

/* ---- the end of a fetch ---- */

static void told_elsewhere(struct worker *worker, void *arg)
{
    struct cache_waiter *w = arg;
    (void)worker;
    query_resume(w->q, w->result);
}

/* Shard locked: results for other workers are posted before their stop can look for those who wait.
 * Returns the ones of this worker. */
static struct cache_waiter *hand_out(struct cache_waiter *list, struct cache_result *r,
                                     const struct worker *here)
{
    struct cache_waiter *mine = NULL;
    for (struct cache_waiter *w = list, *next; w; w = next) {
        next = w->next;
        w->fetch = NULL;
        w->result = r;
        if (r)
            atomic_fetch_add(&r->refs, 1);
        if (w->q->worker != here) {
            worker_post(w->q->worker, told_elsewhere, w);
            continue;
        }
        w->next = mine;
        mine = w;
    }
    return mine;
}

/* Lets the next use try again, after a while if this one failed. Shard locked. */
static void end_refresh(struct cache_plugin *p, const struct cache_key *k, bool good, int64_t now)
{
    struct cache_entry *e = cache_find(p->cache, k, now);
    if (!e)
        return;
    if (!good)
        atomic_store_explicit(&e->recheck_ns, now + p->recheck_ns, memory_order_relaxed);
    atomic_store_explicit(&e->refreshing, false, memory_order_relaxed);
}

/* Rewrites the reply's TTLs; returns what is to be kept, or NULL. */
static struct cache_entry *judge(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                                 int64_t now, uint32_t *ret_ttl)
{
    struct cache_verdict v;
    if (q->bare || q->dropped)
        return NULL;
    cache_judge(&p->limits, &q->reply, k->do_bit, clock_unix(), &v);
    cache_set_ttl(&q->reply, v.ttl);
    *ret_ttl = v.ttl;
    if (!v.store || zone_set_covers(p->disabled[v.kind], &q->msg.q))
        return NULL;
    return cache_entry_new(k, &q->reply, &v, now);
}

static void count_evictions(const struct cache_metrics *m, const uint32_t evicted[CACHE_KINDS])
{
    for (int kind = 0; kind < CACHE_KINDS; kind++)
        if (evicted[kind])
            metric_add(m->evictions[kind], evicted[kind]);
}

static void finish(struct cache_plugin *p, struct cache_fetch *f, struct query *q)
{
    struct cache_key k = f->key;
    uint32_t evicted[CACHE_KINDS] = { 0 }, ttl = 0;
    int64_t now = clock_ns();
    k.q = &q->msg.q;
    struct cache_entry *e = judge(p, q, &k, now, &ttl);
    bool good = !q->bare && !q->dropped && q->reply.rcode != RCODE_SERVFAIL && e;
    lock(p, k.hash);
    if (e)
        cache_put(p->cache, e, now, evicted);
    unregister_fetch(p, f);
    if (f->background)
        end_refresh(p, &k, good, now);
    struct cache_waiter *mine = f->waiters;
    f->waiters = NULL;
    struct cache_result *r = mine || f->held ? result_new(q, &k, ttl) : NULL;
    if (r)
        atomic_store(&r->refs, 1);
    mine = hand_out(mine, r, q->worker);
    unlock(p, k.hash);
    count_evictions(cache_metrics_of(p, q), evicted);
    for (struct cache_waiter *w = mine, *next; w; w = next) {
        next = w->next;
        query_resume(w->q, r);
    }
    if (f->held)
        f->result = r;
    else
        result_put(r);
    f->ended = true;
}

void cache_fetch_end(struct cache_plugin *p, struct query *q)
{
    struct cache_fetch *f = q->fetch;
    end_pass(q);
    finish(p, f, q);
    if (!cache_wants_ad(q))
        q->reply.flags &= (uint16_t)~FLAG_AD;
}

/* ---- a miss ---- */

enum step cache_fetch_miss(struct cache_plugin *p, struct query *q, const struct cache_key *k)
{
    struct cache_fetch *f = arena_zalloc(&q->arena, sizeof *f);
    fetch_init(f, p, q, k);
    lock(p, k->hash);
    struct cache_entry *e = cache_find(p->cache, k, clock_ns());
    struct cache_fetch *other = e ? NULL : find_fetch(p, k);
    if (may_join(p, q, other)) {
        enum step step = wait_for(other, waiter_new(p, q, k, false));
        unlock(p, k->hash);
        metric_add(cache_metrics_of(p, q)->coalesced, 1);
        return step;
    }
    if (!e && !other)
        register_fetch(p, f);
    unlock(p, k->hash);
    if (e) /* it has just come */
        return cache_hit(p, q, k, e);
    metric_add(cache_metrics_of(p, q)->misses, 1);
    begin_pass(q, f);
    return STEP_NEXT;
}

/* ---- in the background ---- */

static void background_done(struct query *q, void *conf)
{
    struct cache_fetch *f = conf;
    finish(f->p, f, q);
    if (!f->held)
        free(f);
}

static struct cache_fetch *background_new(struct cache_plugin *p, const struct query *q,
                                          const struct cache_key *k)
{
    struct cache_fetch *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    fetch_init(f, p, q, k);
    f->question = *k->q;
    f->key.q = &f->question;
    f->background = true;
    return f;
}

/* False: it could not begin, and f is gone. */
static bool background_start(struct cache_plugin *p, struct query *q, struct cache_fetch *f)
{
    uint16_t flags = q->msg.flags;
    uint64_t hash = f->key.hash;
    q->msg.flags |= FLAG_AD;
    bool begun = query_detached(q, background_done, f);
    q->msg.flags = flags;
    if (begun)
        return true;
    lock(p, hash);
    unregister_fetch(p, f);
    struct cache_waiter *mine = hand_out(f->waiters, NULL, q->worker);
    unlock(p, hash);
    for (struct cache_waiter *w = mine, *next; w; w = next) {
        next = w->next;
        query_resume(w->q, NULL);
    }
    free(f);
    return false;
}

/* Registered unless the question is under way: then NULL. */
static struct cache_fetch *background_begin(struct cache_plugin *p, struct query *q,
                                            const struct cache_key *k)
{
    struct cache_fetch *f = background_new(p, q, k);
    if (!f)
        return NULL;
    lock(p, k->hash);
    bool busy = find_fetch(p, k);
    if (!busy)
        register_fetch(p, f);
    unlock(p, k->hash);
    if (!busy)
        return f;
    free(f);
    return NULL;
}

void cache_fetch_refresh(struct cache_plugin *p, struct query *q, const struct cache_key *k,
                         struct cache_entry *e)
{
    if (atomic_exchange_explicit(&e->refreshing, true, memory_order_relaxed))
        return;
    struct cache_fetch *f = background_begin(p, q, k);
    if (f)
        metric_add(cache_metrics_of(p, q)->prefetches, 1);
    if (!f || !background_start(p, q, f))
        atomic_store_explicit(&e->refreshing, false, memory_order_relaxed);
}

/* ---- asking before a stale answer is given ---- */

/* It is this query's own fetch: nobody else ends it. */
static enum step start_and_wait(struct cache_plugin *p, struct cache_fetch *f,
                                struct cache_waiter *w)
{
    f->held = true;
    if (!background_start(p, w->q, f))
        return tell(w, NULL);
    f->held = false;
    if (!f->ended) {
        lock(p, w->key.hash);
        enum step step = wait_for(f, w);
        unlock(p, w->key.hash);
        return step;
    }
    enum step step = tell(w, f->result);
    result_put(f->result);
    free(f);
    return step;
}

enum step cache_fetch_verify(struct cache_plugin *p, struct query *q, const struct cache_key *k)
{
    struct cache_waiter *w = waiter_new(p, q, k, true);
    lock(p, k->hash);
    struct cache_fetch *other = find_fetch(p, k);
    bool joins = may_join(p, q, other);
    enum step step = joins ? wait_for(other, w) : STEP_NEXT;
    unlock(p, k->hash);
    if (joins)
        return step;
    struct cache_fetch *f = other ? background_new(p, q, k) : background_begin(p, q, k);
    return f ? start_and_wait(p, f, w) : tell(w, NULL);
}

/* ---- the end of a worker ---- */

/* Those who wait here for a fetch of another worker would not be told any more. */
void cache_fetch_worker_stop(struct worker *worker, void *conf)
{
    struct cache_plugin *p = conf;
    struct cache_waiter *mine = NULL;
    if (!p->cache)
        return; /* the start failed before it was made */
    p->ended[worker->index] = true;
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct cache_shard *s = &p->cache->shards[i];
        pthread_mutex_lock(&s->lock);
        for (struct cache_fetch *f = s->fetches; f; f = f->next) {
            for (struct cache_waiter *w = f->waiters, *next; w; w = next) {
                next = w->next;
                if (w->q->worker != worker || w->p != p)
                    continue;
                remove_waiter(w);
                w->next = mine;
                mine = w;
            }
        }
        pthread_mutex_unlock(&s->lock);
    }
    for (struct cache_waiter *next; mine; mine = next) {
        next = mine->next;
        query_resume(mine->q, NULL);
    }
}
