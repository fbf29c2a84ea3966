/* `forward FROM TO...`: asks other servers. Options: forward_setup.c. */
#include "dns/plugins/forward.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* A query on its way to upstreams; in the query's arena. */
struct attempt {
    struct query *q;
    struct forward *f;
    struct upstream_worker *uw;
    struct upstream *order[FORWARD_TO_MAX], *current;
    uint8_t n, i;    /* upstreams; the next in order */
    uint8_t down;    /* passed over in this round because they are */
    uint8_t retries; /* of connections that had been closed while idle */
    uint8_t failovers;
    unsigned tries;
    bool tcp;
    int64_t start_ns; /* of the question under way */
    int64_t limit_ns;
    const uint8_t *msg;
    size_t len;
    const char *error;
    struct msg *kept; /* a reply that failover did not want, should nothing better come */
};

static metric m_rejects, m_broken;

void forward_metrics_init(void)
{
    if (m_rejects)
        return; /* workers read them while another configuration begins */
    m_rejects = metric_counter("coredns_forward_max_concurrent_rejects_total",
                               "Queries refused because max_concurrent were under way.", "");
    m_broken = metric_counter("coredns_forward_healthcheck_broken_total",
                              "Times that all upstreams were down.", "");
}

static enum step forward_from(struct query *q, struct forward_block *b, unsigned i);
static enum step try_next(struct attempt *t);

/* ---- what is sent ---- */

/* The options behind the OPT, which is the last record. */
static void add_options(struct attempt *t, uint8_t *out)
{
    const struct edns *edns = &t->q->msg.edns;
    put_u16(out + t->len - 2, edns->options_len);
    memcpy(out + t->len, edns->options, edns->options_len);
    t->len += edns->options_len;
}

/* A look-up of the server's own, or a query that a plugin has changed: in the manner of the
 * client's. */
static void build_message(struct attempt *t)
{
    struct query *q = t->q;
    const struct edns *edns = &q->msg.edns;
    uint8_t *out = arena_alloc(&q->arena, NAME_MAX_WIRE + 32u + edns->options_len);
    uint16_t size = edns->present ? MAX(edns->udp_size, MSG_UDP_MIN) : 0;
    t->len = msg_encode_query(out, 0, q->msg.q.name.wire, q->msg.q.type, size);
    put_u16(out + 2, q->msg.flags & (FLAG_RD | FLAG_CD | FLAG_AD));
    put_u16(out + MSG_HEADER + q->msg.q.name.len + 2, q->msg.q.class);
    if (size && edns->do_bit)
        out[t->len - 4] |=
            0x80; /* the OPT is the last record: size, rcode, version, flags, length */
    if (size && edns->options_len)
        add_options(t, out);
    t->msg = out;
}

static void put_order(struct attempt *t, const struct forward_list *l)
{
    struct rand *rand = &t->q->worker->rand;
    unsigned first = 0;
    if (t->f->policy == POLICY_ROUND_ROBIN)
        first = atomic_fetch_add_explicit(&t->f->turn, 1, memory_order_relaxed) % l->n;
    t->n = (uint8_t)l->n;
    for (unsigned i = 0; i < l->n; i++)
        t->order[i] = l->items[(first + i) % l->n];
    for (unsigned i = l->n; t->f->policy == POLICY_RANDOM && i > 1; i--) {
        unsigned k = rand_below(rand, i);
        struct upstream *u = t->order[k];
        t->order[k] = t->order[i - 1];
        t->order[i - 1] = u;
    }
}

/* ---- the end ---- */

static void attempt_end(struct attempt *t)
{
    if (t->f->max_concurrent)
        atomic_fetch_sub_explicit(&t->f->concurrent, 1, memory_order_relaxed);
}

/* Owners that are spelled as the question need no look-up when the reply is written. */
static void share_owners(struct query *q, struct rrset_list *l)
{
    const struct name *name = &q->msg.q.name;
    for (uint16_t i = 0; i < l->n; i++)
        if (name_wire_len(l->items[i].owner) == name->len &&
            memcmp(l->items[i].owner, name->wire, name->len) == 0)
            l->items[i].owner = NULL;
}

static enum step relay(struct attempt *t, const struct msg *m)
{
    struct query *q = t->q;
    q->reply.flags |= m->flags & (FLAG_AA | FLAG_RA | FLAG_AD);
    q->reply.rcode = m->rcode;
    q->reply.tc = m->flags & FLAG_TC;
    for (int s = 0; s < SECTION_COUNT; s++) {
        q->reply.section[s] = m->section[s];
        share_owners(q, &q->reply.section[s]);
    }
    if (q->reply.edns.present && m->edns.present) {
        q->reply.edns.options = m->edns.options;
        q->reply.edns.options_len = m->edns.options_len;
    }
    attempt_end(t);
    return STEP_DONE;
}

static enum step give_up(struct attempt *t)
{
    if (t->kept)
        return relay(t, t->kept);
    attempt_end(t);
    return query_fail(t->q, RCODE_SERVFAIL, "%s", t->error ? t->error : "no healthy proxies");
}

/* ---- asking ---- */

static enum step on_reply(struct query *q, void *conf, void *data);

static void on_done(void *ctx, const struct upstream_reply *reply)
{
    struct attempt *t = ctx;
    query_resume(t->q, (void *)(uintptr_t)reply);
}

/* The question to t->current has ended; it goes out with the client's id. */
static void tell(struct attempt *t, const struct upstream_reply *reply)
{
    struct query *q = t->q;
    if (!t->f->block->taps)
        return;
    uint8_t *msg = arena_memdup(&q->arena, t->msg, t->len);
    put_u16(msg, q->msg.id);
    struct tap_exchange x = { .local = reply->local,
                              .upstream = (const struct sockaddr *)&t->current->addr,
                              .tcp = t->tcp,
                              .start_ns = t->start_ns,
                              .end_ns = clock_ns(),
                              .query = msg,
                              .query_len = t->len };
    if (!reply->error) {
        uint8_t *copy = arena_memdup(&q->arena, reply->msg, reply->len);
        put_u16(copy, q->msg.id);
        x.reply = copy;
        x.reply_len = reply->len;
    }
    taps_tell(t->f->block->taps, q, &x);
}

/* Asks t->current. False: at once it failed, and t->error says why. */
static bool ask(struct attempt *t, enum step *ret_step)
{
    struct upstream_reply error;
    struct upstream_request r = { .msg = t->msg,
                                  .len = t->len,
                                  .q = &t->q->msg.q,
                                  .tcp = t->tcp,
                                  .read_ns = t->f->read_ns,
                                  .limit_ns = t->limit_ns };
    t->start_ns = clock_ns();
    struct exchange *x = upstream_ask(t->uw, t->current, &r, on_done, t, &error);
    if (!x) {
        bool ours = error.error == -ENOBUFS || error.error == -EMFILE || error.error == -ENOMEM;
        if (!ours && error.error != -ECANCELED)
            upstream_check(t->uw, t->current);
        tell(t, &error);
        t->error = arena_strdup(&t->q->arena, error.text);
        return false;
    }
    *ret_step = query_wait(t->q, on_reply, t);
    if (*ret_step != STEP_WAIT) { /* too many wait */
        upstream_cancel(x);
        attempt_end(t);
    }
    return true;
}

static unsigned tries_max(const struct attempt *t)
{
    long max = t->f->max_attempts;
    return max < 0 ? 2u * t->n : max == 0 ? FORWARD_TRIES_MAX : (unsigned)max;
}

/* The next that is up. When all are down health checks may be what is broken: one by lot is tried.
 */
static struct upstream *next_upstream(struct attempt *t)
{
    if (t->tries++ >= tries_max(t) || clock_ns() >= t->limit_ns)
        return NULL;
    for (;;) {
        if (t->i >= t->n)
            t->i = t->down = 0;
        struct upstream *u = t->order[t->i++];
        if (!upstream_down(u))
            return u;
        if (++t->down < t->n)
            continue;
        metric_add(m_broken, 1);
        return t->f->failfast ? NULL : t->order[rand_below(&t->q->worker->rand, t->n)];
    }
}

static enum step try_next(struct attempt *t)
{
    enum step step;
    while (t->down < t->n && (t->current = next_upstream(t))) {
        t->tcp = t->f->force_tcp || (t->q->transport == TRANSPORT_TCP && !t->f->prefer_udp);
        if (ask(t, &step))
            return step;
    }
    return give_up(t);
}

/* The same upstream again. */
static enum step try_again(struct attempt *t)
{
    enum step step;
    return ask(t, &step) ? step : try_next(t);
}

/* ---- replies ---- */

static enum step failed(struct attempt *t, const struct upstream_reply *reply)
{
    t->error = arena_strdup(&t->q->arena, reply->text);
    if (reply->error == -ECANCELED)
        return give_up(t);
    if (reply->stale && t->retries++ < UPSTREAM_CHANNELS)
        return try_again(t);
    upstream_check(t->uw, t->current);
    return try_next(t);
}

static bool is_listed(uint32_t rcodes, const struct msg *m)
{
    return m->rcode < 32 && rcodes >> m->rcode & 1;
}

static bool goes_on(const struct attempt *t, const struct msg *m)
{
    const struct forward_block *b = t->f->block;
    bool nodata = m->rcode == RCODE_NOERROR && m->section[SECTION_ANSWER].n == 0;
    return t->f + 1 < b->items + b->n &&
           (is_listed(t->f->next, m) || (nodata && t->f->next_on_nodata));
}

static enum step judge(struct attempt *t, struct msg *m)
{
    if (m->flags & FLAG_TC && t->f->prefer_udp && !t->tcp && !t->current->tls_name) {
        t->tcp = true;
        return try_again(t);
    }
    if (is_listed(t->f->failover, m) && ++t->failovers < t->n) {
        t->kept = m;
        return try_next(t);
    }
    if (goes_on(t, m)) {
        struct forward_block *b = t->f->block;
        attempt_end(t);
        return forward_from(t->q, b, (unsigned)(t->f - b->items) + 1);
    }
    return relay(t, m);
}

static enum step on_reply(struct query *q, void *conf, void *data)
{
    struct attempt *t = conf;
    const struct upstream_reply *reply = data;
    tell(t, reply);
    if (reply->error)
        return failed(t, reply);
    struct msg *m = arena_zalloc(&q->arena, sizeof *m);
    if (msg_parse(reply->msg, reply->len, &q->arena, m) < 0) {
        uint16_t flags = get_u16(reply->msg + 2);
        if (!(flags & FLAG_TC)) {
            t->error = arena_printf(&q->arena, "malformed reply from %s", t->current->name);
            upstream_check(t->uw, t->current);
            return try_next(t);
        }
        *m =
            (struct msg){ .flags = flags, .rcode = flags & 15 }; /* cut in the middle of a record */
    }
    upstream_observe(t->uw, t->current, m->rcode, reply->elapsed_ns);
    return judge(t, m);
}

/* ---- the step ---- */

static struct upstream_worker *worker_state(struct forward_block *b, struct worker *w)
{
    struct upstream_worker **uw = &b->workers[w->index];
    if (!*uw)
        *uw = upstream_worker_new(w);
    return *uw;
}

static bool may_begin(struct forward *f)
{
    if (!f->max_concurrent)
        return true;
    if (atomic_fetch_add_explicit(&f->concurrent, 1, memory_order_relaxed) < f->max_concurrent)
        return true;
    atomic_fetch_sub_explicit(&f->concurrent, 1, memory_order_relaxed);
    metric_add(m_rejects, 1);
    return false;
}

static enum step forward_begin(struct query *q, struct forward *f)
{
    struct upstream_worker *uw = worker_state(f->block, q->worker);
    if (!uw)
        return query_fail(q, RCODE_SERVFAIL, "out of memory");
    if (!may_begin(f))
        return query_fail(q, RCODE_REFUSED, "%s", f->error_concurrent);
    struct attempt *t = arena_zalloc(&q->arena, sizeof *t);
    t->q = q;
    t->f = f;
    t->uw = uw;
    t->msg = q->msg.raw;
    t->len = q->msg.raw_len;
    t->limit_ns = clock_ns() + FORWARD_TIME_NS;
    if (q->deadline_ns)
        t->limit_ns = MIN(t->limit_ns, q->deadline_ns);
    if (!t->msg)
        build_message(t);
    put_order(t, rcu_load(&f->list));
    return try_next(t);
}

static bool covers(const struct forward *f, const struct question *q)
{
    if (zone_set_find(f->from, q) < 0)
        return false;
    return q->name.n_labels == zone_set_labels(f->from, 0) || !zone_set_covers(f->except, q);
}

static enum step forward_from(struct query *q, struct forward_block *b, unsigned i)
{
    for (; i < b->n; i++)
        if (covers(&b->items[i], &q->msg.q))
            return forward_begin(q, &b->items[i]);
    return STEP_NEXT;
}

enum step forward_in(struct query *q, void *conf)
{
    return forward_from(q, conf, 0);
}

/* ---- why ---- */

static void forward_why_after(struct query *q, void *conf, enum step step, struct why_words *w)
{
    (void)conf;
    if (step == STEP_NEXT)
        why_say(w, "scope", "no line here is for the name");
    const struct attempt *t = q->resume == on_reply ? q->resume_conf : NULL;
    if (step != STEP_DONE || !t || t->q != q || !t->current)
        return;
    why_say(w, "upstream", "%s over %s, %u %s%s", t->current->name, t->tcp ? "tcp" : "udp",
            t->tries, t->tries == 1 ? "try" : "tries",
            upstream_down(t->current) ? "; it counts as down" : "");
}

const struct plugin_why forward_why = { .after = forward_why_after };
