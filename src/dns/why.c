/* The control thread's part: where a traced query begins, and the rows that it becomes. */
#include "dns/why.h"

#include "base/clock.h"
#include "base/log.h"
#include "dns/chain.h"

#include <stdarg.h>
#include <string.h>

#define WHY_ROWS_MAX (WHY_STEPS_MAX * (WHY_WORDS_MAX + 1) + 256)
#define WHY_UDP_SIZE 1232 /* advertised */
#define WHY_AT_ONCE  8    /* traced queries under way */

/* ---- the query, on a worker ---- */

static void end(struct why *y)
{
    atomic_store(&y->over, true);
    uv_async_send(&y->ended);
}

static void keep_reply(struct why *y, struct query *q)
{
    uint8_t *out = xmalloc(MSG_MAX);
    y->dropped = q->dropped;
    y->error = q->error ? arena_strdup(&y->arena, q->error) : NULL;
    y->end_ns = clock_ns();
    y->reply_len = q->dropped ? 0 : msg_encode(&q->reply, out, MSG_MAX);
    y->reply = arena_memdup(&y->arena, out, y->reply_len);
    free(out);
    end(y);
}

static void on_query_end(struct query *q, void *conf)
{
    keep_reply(conf, q);
}

static void run_on_worker(struct worker *worker, void *arg)
{
    struct why *y = arg;
    struct dns_worker *w = container_of(worker, struct dns_worker, worker);
    struct query *q = query_get(&w->pool);
    if (!q) {
        y->dropped = true;
        y->error = "out of memory";
        end(y);
        return;
    }
    q->worker = worker;
    q->socket = serve_socket(w, y->listener);
    q->conn = NULL;
    q->parent = NULL;
    q->depth = 0;
    q->transport = TRANSPORT_UDP;
    q->peer = y->peer;
    q->local.len = 0;
    size_t len = msg_encode_query(q->packet, (uint16_t)rand_below(&worker->rand, 65536),
                                  y->request.name.wire, y->request.type, WHY_UDP_SIZE);
    q->start_ns = y->start_ns = clock_ns();
    q->why = y;
    q->done = on_query_end;
    q->done_conf = y;
    enum step step = STEP_DROP;
    if (msg_parse_query(q->packet, len, &q->msg) == QUERY_OK)
        step = serve_dispatch(q);
    if (step == STEP_WAIT)
        return;
    q->dropped = step == STEP_DROP;
    keep_reply(y, q);
    query_put(&w->pool, q);
}

/* ---- rows ---- */

struct rows {
    struct why *y;
    struct why_row *items;
    size_t n;
};

static void row(struct rows *r, uint8_t depth, const char *step, const char *what, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

static void row(struct rows *r, uint8_t depth, const char *step, const char *what, const char *fmt,
                ...)
{
    char text[1024];
    va_list ap;
    if (r->n == WHY_ROWS_MAX)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->items[r->n++] = (struct why_row){ depth, step, what, arena_strdup(&r->y->arena, text) };
}

static void words(struct rows *r, uint8_t depth, const struct why_words *w)
{
    for (unsigned i = 0; i < w->n && r->n < WHY_ROWS_MAX; i++) {
        r->items[r->n] = w->rows[i];
        r->items[r->n++].depth = depth;
    }
}

static bool covers(const struct route *route, const struct name *name, const uint8_t *lower)
{
    return name_lies_in(name, lower, route->zone_wire, route->zone_labels, route->zone_len);
}

static void listener_rows(struct rows *r)
{
    const struct why *y = r->y;
    size_t n = y->config->listeners.n;
    row(r, 0, "listener", "chosen", "%s%s",
        y->listener->n_routes ? y->listener->routes[0].server : "",
        n == 1            ? ", the only one"
        : y->request.port ? ", as asked for"
                          : ", where the name's zone is longest");
}

/* The zones of the listener that cover the name, the longest first. */
static const char *covering(struct why *y, unsigned *ret_n)
{
    cleanup(strbuf_done) struct strbuf text = { 0 };
    uint8_t lower[NAME_MAX_WIRE];
    const char *last = NULL;
    *ret_n = 0;
    name_lower(lower, y->request.name.wire, y->request.name.len);
    for (unsigned i = 0; i < y->listener->n_routes; i++) {
        const struct route *route = &y->listener->routes[i];
        if (!covers(route, &y->request.name, lower) || (last && strcmp(last, route->zone) == 0))
            continue;
        strbuf_printf(&text, "%s%s", *ret_n ? ", " : "", route->zone);
        last = route->zone;
        (*ret_n)++;
    }
    return arena_strdup(&y->arena, text.p ? text.p : "");
}

static void zone_rows(struct rows *r)
{
    struct why *y = r->y;
    const struct route *route = y->route;
    unsigned n;
    const char *zones = covering(y, &n);
    if (!route) {
        row(r, 0, "zone", "none",
            n ? "%s: every block of these zones has a view that does not let the query pass"
              : "no server block here covers the name%s",
            zones);
        return;
    }
    row(r, 0, "zone", "chosen", "%s (%s:%d), %s%s", route->zone, route->chain_block->file,
        route->chain_block->line,
        n == 1 ? "the only one that covers the name" : "the longest of those that cover the name: ",
        n == 1 ? "" : zones);
    for (const struct route *i = y->listener->routes; i < route; i++)
        if (i->filter && name_equal(i->zone_wire, route->zone_wire))
            row(r, 0, "view", "passed over", "%s: an expression is false", i->view);
    if (route->filter)
        row(r, 0, "view", "chosen", "%s: its expressions are true", route->view);
}

/* A query for plugins to look at: the question, the client and the route. */
static struct query *stand_in(const struct why *y, const struct question *asked)
{
    struct query *q = xcalloc(1, sizeof *q);
    arena_init(&q->arena, 4096);
    q->packet = q->inline_packet;
    q->worker = y->worker;
    q->route = y->route;
    q->peer = y->peer;
    q->msg.q = *asked;
    return q;
}

static void stand_in_free(struct query *q)
{
    arena_done(&q->arena);
    free(q);
}

typedef void tell_fn(struct query *q, const void *conf, struct why_words *w);

/* name: a row of its own goes before what is told; NULL: none. */
static void tell(struct rows *r, uint8_t depth, const struct question *asked, tell_fn *fn,
                 const void *conf, const char *name)
{
    struct why_words w = { .arena = &r->y->arena };
    struct query *q = stand_in(r->y, asked);
    fn(q, conf, &w);
    stand_in_free(q);
    if (w.n && name)
        row(r, depth, name, "not asked", "it is not in the chain of that zone");
    words(r, depth, &w);
}

static void step_rows(struct rows *r)
{
    for (unsigned i = 0; i < r->y->n_steps; i++) {
        const struct why_step *s = &r->y->steps[i];
        const struct plugin_why *why = s->plugin ? s->plugin->why : NULL;
        if (s->back && !s->words.n)
            continue; /* it had nothing to change */
        row(r, s->depth, s->name, s->what, "%s", s->detail);
        words(r, s->depth, &s->words);
        if (!s->back && why && why->explain)
            tell(r, s->depth, s->asked, why->explain, s->conf, NULL);
    }
    if (r->y->cut)
        row(r, 0, "", "cut", "more than %d steps", WHY_STEPS_MAX);
}

static bool was_asked(const struct why *y, const struct chain_step *c)
{
    for (unsigned i = 0; i < y->n_steps; i++)
        if (y->steps[i].depth == 0 && y->steps[i].plugin == c->plugin)
            return true;
    return false;
}

/* The step that ended the chain, or the last before it ran out; NULL: none. */
static const struct why_step *last_step(const struct why *y)
{
    const struct why_step *last = NULL;
    for (unsigned i = 0; i < y->n_steps; i++)
        if (y->steps[i].depth == 0 && y->steps[i].plugin && !y->steps[i].back)
            last = &y->steps[i];
    return last;
}

/* What a cache answers came from further in: there the reasons are. */
static void behind_cache(struct rows *r, const struct chain_step *c)
{
    const struct why_step *last = last_step(r->y);
    if (!last || strcmp(last->plugin->name, "cache") != 0 || !c->plugin->why ||
        !c->plugin->why->explain)
        return;
    row(r, 0, c->plugin->name, "not reached", "because of the cache; by itself it would say:");
    tell(r, 0, last->asked, c->plugin->why->explain, c->conf, NULL);
}

static void other_rows(struct rows *r)
{
    const struct chain *c = r->y->route ? r->y->route->chain : NULL;
    cleanup(strbuf_done) struct strbuf left = { 0 }, after = { 0 };
    for (uint16_t i = 0; c && i < c->n_in; i++)
        if (!was_asked(r->y, &c->in[i]))
            strbuf_printf(&left, "%s%s", left.len ? ", " : "", c->in[i].plugin->name);
    for (uint16_t i = 0; c && i < c->n_after; i++)
        strbuf_printf(&after, "%s%s", after.len ? ", " : "", c->after[i].plugin->name);
    if (left.len)
        row(r, 0, "", "not reached", "%s", left.p);
    for (uint16_t i = 0; c && i < c->n_in; i++)
        if (!was_asked(r->y, &c->in[i]))
            behind_cache(r, &c->in[i]);
    if (after.len)
        row(r, 0, "", "not told", "%s (a traced query is neither logged nor counted)", after.p);
}

static bool conf_was_asked(const struct why *y, const struct chain_step *s)
{
    for (unsigned i = 0; i < y->n_steps; i++)
        if (y->steps[i].conf == s->conf)
            return true;
    return false;
}

static bool is_miss(const struct msg *m)
{
    return m->rcode != RCODE_NOERROR || m->section[SECTION_ANSWER].n == 0;
}

static void elsewhere_rows(struct rows *r)
{
    struct question asked = { .name = r->y->request.name, .type = r->y->request.type };
    asked.class = CLASS_IN;
    name_lower(asked.lower, asked.name.wire, asked.name.len);
    const struct dns_config *config = r->y->config;
    for (size_t b = 0; b < config->corefile->n_blocks; b++) {
        const struct chain *c = config->blocks[b].chain;
        for (uint16_t i = 0; i < c->n_in; i++) {
            const struct plugin_why *why = c->in[i].plugin->why;
            if (why && why->elsewhere && !conf_was_asked(r->y, &c->in[i]))
                tell(r, 0, &asked, why->elsewhere, c->in[i].conf, c->in[i].plugin->name);
        }
    }
}

static void section_rows(struct rows *r, const struct msg *m)
{
    static const char *const names[] = { "answer", "authority", "additional" };
    for (int s = 0; s < SECTION_COUNT; s++) {
        for (uint16_t i = 0; i < m->section[s].n; i++) {
            const struct rrset *rr = &m->section[s].items[i];
            const uint8_t *at = rr->rdata;
            for (uint16_t k = 0; k < rr->count; k++) {
                cleanup(strbuf_done) struct strbuf text = { 0 };
                size_t len;
                const uint8_t *rdata = rrset_next(rr, &at, &len);
                rr_to_text(rr->owner, rr->ttl, rr->class, rr->type, rdata, len, &text);
                row(r, 0, "", names[s], "%s", text.p);
            }
        }
    }
}

static void reply_rows(struct rows *r)
{
    const struct why *y = r->y;
    char rcode[16];
    double ms = (double)(y->end_ns - y->start_ns) / 1e6;
    struct msg m;
    if (y->dropped || msg_parse(y->reply, y->reply_len, &r->y->arena, &m) < 0) {
        row(r, 0, "reply", "none", "%s", y->error ? y->error : "the query was dropped");
        return;
    }
    if (is_miss(&m))
        elsewhere_rows(r);
    row(r, 0, "reply", arena_strdup(&r->y->arena, rcode_text(m.rcode, rcode)),
        "%s%.3f ms, %zu bytes", m.flags & FLAG_AA ? "authoritative, " : "", ms, y->reply_len);
    section_rows(r, &m);
}

/* ---- the end ---- */

static void why_free(uv_handle_t *h)
{
    struct why *y = h->data;
    arena_done(&y->arena);
    free(y);
}

/* It is not under way any more. */
static void forget(struct why *y)
{
    struct why **at = &y->server->traces;
    while (*at != y)
        at = &(*at)->next;
    *at = y->next;
    y->fn = NULL;
    y->server->traced--;
    uv_close((uv_handle_t *)&y->ended, why_free);
}

static void on_ended(uv_async_t *a)
{
    struct why *y = a->data;
    struct rows r = { .y = y };
    if (!atomic_load(&y->over) || !y->fn)
        return;
    r.items = xcalloc(WHY_ROWS_MAX, sizeof *r.items);
    listener_rows(&r);
    zone_rows(&r);
    step_rows(&r);
    other_rows(&r);
    reply_rows(&r);
    y->fn(y->ctx, r.items, r.n);
    free(r.items);
    atomic_fetch_sub(&y->config->waiting, 1);
    forget(y);
}

void why_stop(struct dns_server *s)
{
    while (s->traces) {
        struct why *y = s->traces;
        y->fn(y->ctx, NULL, 0);
        forget(y);
    }
}

/* ---- the beginning ---- */

static const struct dns_listener *find_listener(const struct dns_config *c,
                                                const struct why_request *r)
{
    uint8_t lower[NAME_MAX_WIRE];
    const struct dns_listener *best = NULL;
    int labels = -1;
    name_lower(lower, r->name.wire, r->name.len);
    vec_each (l, &c->listeners) {
        if (r->port && (r->port != l->port || !ip_equal(&r->at, &l->ip)))
            continue;
        for (unsigned i = 0; i < l->n_routes; i++) {
            const struct route *route = &l->routes[i];
            if (!covers(route, &r->name, lower) || (int)route->zone_labels <= labels)
                continue;
            labels = route->zone_labels;
            best = l;
        }
        if (!best)
            best = l;
    }
    return best;
}

int dns_server_why(struct dns_server *s, const struct why_request *r, why_fn *fn, void *ctx,
                   struct err *e)
{
    static const struct ip loopback = { .family = 4, .bytes = { 127, 0, 0, 1 } };
    const struct dns_listener *l = find_listener(s->config, r);
    if (!l)
        return err_set(e, ERR_NOT_FOUND, "%s",
                       r->port ? "no server block listens there" : "there is no listener");
    if (s->traced >= WHY_AT_ONCE)
        return err_set(e, ERR_LIMIT, "%d queries are traced at this moment; try again",
                       WHY_AT_ONCE);
    struct why *y = xcalloc(1, sizeof *y);
    arena_init(&y->arena, 16384);
    y->server = s;
    y->request = *r;
    y->listener = l;
    y->config = s->config;
    y->worker = &s->workers[0].worker;
    y->steps = arena_zalloc(&y->arena, WHY_STEPS_MAX * sizeof *y->steps);
    (void)ip_to_sockaddr(r->client.family ? &r->client : &loopback, 0, &y->peer);
    y->fn = fn;
    y->ctx = ctx;
    y->ended.data = y;
    uv_async_init(s->options.loop, &y->ended, on_ended);
    atomic_fetch_add(&y->config->waiting, 1);
    s->traced++;
    y->next = s->traces;
    s->traces = y;
    worker_post(y->worker, run_on_worker, y);
    return 0;
}

/* ---- for `log` ---- */

bool query_answered_by(const struct query *q, const char *plugin)
{
    return q->answerer && strcmp(plugins[q->answerer - 1]->name, plugin) == 0;
}

bool query_passed(const struct query *q, const char *plugin)
{
    for (uint8_t i = 0; q->answerer && i < q->answerer; i++)
        if (strcmp(plugins[i]->name, plugin) == 0)
            return i + 1 < q->answerer;
    return !q->answerer;
}

/* What `cache` answers was somebody's further in. */
void query_reason(struct query *q, struct strbuf *out)
{
    const struct chain *c = q->route ? q->route->chain : NULL;
    bool said = false, cached = query_answered_by(q, "cache");
    for (uint16_t i = 0; c && i < c->n_in; i++) {
        const struct plugin_why *why = c->in[i].plugin->why;
        if (q->answerer && c->in[i].id > q->answerer && !cached)
            break;
        if (!why || !why->reason)
            continue;
        size_t before = out->len;
        if (said)
            strbuf_puts(out, "; ");
        size_t at = out->len;
        if (why->reason(q, c->in[i].conf, out) && out->len > at) {
            said = true;
        } else {
            out->len = before;
            if (out->p)
                out->p[before] = '\0';
        }
    }
    if (said && cached)
        strbuf_puts(out, ", cached");
    if (!said)
        strbuf_printf(out, "%s: %s", q->route ? q->route->zone : "-",
                      !q->route     ? "no server block covers the name"
                      : q->answerer ? plugins[q->answerer - 1]->name
                                    : "no plugin answered");
}
