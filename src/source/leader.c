#include "source/leader.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "config/tree.h"
#include "kube/lease.h"

#include <string.h>
#include <time.h>

#define SECOND_NS      1000000000LL
#define LEASE_BODY_MAX 65536
#define JITTER_PERCENT 120 /* of the retry period, at most, on top of it */

struct leader {
    struct api_client *client;
    struct leader_options o;
    struct arena arena;
    uv_timer_t *retry, *deadline; /* on the heap: they outlive us until the loop has closed them */
    struct http_call *call;
    struct rand rand;
    struct strbuf url, body;
    char *told; /* the last failure or holder that was logged */

    /* The Lease as it was last seen. */
    char *version, *holder;
    int64_t observed_ns; /* when it was seen to have changed */
    int64_t acquired_us;
    int32_t seconds, transitions;

    bool leading;
    int64_t asked_ns, renewed_ns; /* when the request was begun: this one, the last good one */
    void (*released)(void *ctx);  /* not NULL: we are going */
    void *released_ctx;
    bool giving_back; /* the Lease is being written without a holder */
};

static void try(struct leader *l);
static void write_lease(struct leader *l, bool create);

/* ---- words ---- */

static void tell(struct leader *l, const char *text)
{
    if (l->told && strcmp(l->told, text) == 0)
        return;
    log_info("leader election: Lease %s/%s: %s", l->o.namespace, l->o.name, text);
    free(l->told);
    l->told = xstrdup(text);
}

static void tell_failure(struct leader *l, const struct http_result *h)
{
    char text[API_STATUS_TEXT];
    tell(l, api_status_text(h, h->body, h->len, text));
}

/* ---- leading or not ---- */

static void on_retry(uv_timer_t *t)
{
    try(t->data);
}

/* Candidates spread out, so that they do not all ask at once. */
static void wait(struct leader *l)
{
    int64_t pause = l->o.retry_ns;
    if (!l->leading)
        pause += (int64_t)((double)pause * rand_below(&l->rand, JITTER_PERCENT) / 100);
    uv_timer_start(l->retry, on_retry, (uint64_t)(pause / 1000000), 0);
}

static void lose(struct leader *l, const char *why)
{
    http_call_cancel(l->call);
    l->call = NULL;
    uv_timer_stop(l->deadline);
    l->leading = false;
    tell(l, why);
    l->o.stopped(l->o.ctx);
    wait(l);
}

static void on_deadline(uv_timer_t *t)
{
    lose(t->data, "could not be renewed in time; no longer leading");
}

static void gain(struct leader *l)
{
    int64_t left = l->o.renew_ns - (clock_ns() - l->asked_ns);
    l->renewed_ns = l->asked_ns;
    uv_timer_start(l->deadline, on_deadline, (uint64_t)(MAX(left, 0) / 1000000), 0);
    if (l->leading)
        return;
    l->leading = true;
    tell(l, "ours; leading");
    l->o.started(l->o.ctx);
}

/* ---- what the server says ---- */

static void replace(char **text, const char *with)
{
    char *copy = xstrdup(with);
    free(*text);
    *text = copy;
}

static int read_body(const struct http_result *h, struct arena *a, struct lease *ret)
{
    struct tree_doc doc;
    if (tree_parse(h->body, h->len, "lease", a, &doc, NULL) < 0 || !doc.n)
        return ERR_PARSE;
    return lease_read(doc.documents[0], ret);
}

static int observe(struct leader *l, const struct http_result *h)
{
    struct arena a;
    struct lease now;
    arena_init(&a, 4096);
    int r = read_body(h, &a, &now);
    if (r == 0 && (!l->version || strcmp(l->version, now.version) != 0)) {
        replace(&l->version, now.version);
        replace(&l->holder, now.holder);
        l->observed_ns = clock_ns();
        l->acquired_us = now.acquired_us;
        l->seconds = now.seconds;
        l->transitions = now.transitions;
    }
    arena_done(&a);
    return r;
}

static void forget(struct leader *l)
{
    free(l->version);
    free(l->holder);
    l->version = l->holder = NULL;
}

static bool is_ours(const struct leader *l)
{
    return l->holder && strcmp(l->holder, l->o.identity) == 0;
}

static bool is_free(const struct leader *l)
{
    return !*l->holder || is_ours(l) ||
           clock_ns() - l->observed_ns > MAX(l->seconds, 1) * SECOND_NS;
}

/* What was under way has ended; now the Lease goes, if it is still to go. */
static void give_back(struct leader *l, bool held)
{
    if (held)
        write_lease(l, false);
    else
        l->released(l->released_ctx);
}

static void on_written(void *ctx, const struct http_result *h)
{
    struct leader *l = ctx;
    l->call = NULL;
    bool good = !h->error && (h->status == 200 || h->status == 201) && observe(l, h) == 0;
    if (l->released) {
        give_back(l, good && !l->giving_back);
        return;
    }
    if (good) {
        gain(l);
    } else {
        tell_failure(l, h);
        forget(l); /* looks anew */
    }
    wait(l);
}

static void on_read(void *ctx, const struct http_result *h)
{
    struct leader *l = ctx;
    l->call = NULL;
    if (l->released) {
        give_back(l, !h->error && h->status == 200 && observe(l, h) == 0 && is_ours(l));
        return;
    }
    if (!h->error && h->status == 404) {
        write_lease(l, true);
        return;
    }
    if (h->error || h->status != 200 || observe(l, h) < 0) {
        tell_failure(l, h);
        wait(l);
    } else if (is_free(l)) {
        write_lease(l, false);
    } else if (l->leading) {
        lose(l, "taken by another; no longer leading");
    } else {
        char text[API_STATUS_TEXT];
        (void)snprintf(text, sizeof text, "held by %s; waiting", l->holder);
        tell(l, text);
        wait(l);
    }
}

/* ---- requests ---- */

static void ask(struct leader *l, const char *method, const char *name, http_end_fn *end)
{
    struct err e;
    strbuf_reset(&l->url);
    strbuf_printf(&l->url, "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s", l->o.namespace,
                  *name ? "/" : "", name);
    const struct api_request request = {
        .method = method,
        .path = l->url.p,
        .content_type = l->body.len ? "application/json" : NULL,
        .body = l->body.len ? l->body.p : NULL,
        .body_len = l->body.len,
        .total_ms = (long)(l->o.renew_ns / 2000000),
        .body_max = LEASE_BODY_MAX,
        .end = end,
        .ctx = l,
    };
    l->asked_ns = clock_ns();
    if (api_client_send(l->client, &request, &l->call, &e) == 0)
        return;
    l->call = NULL;
    tell(l, e.text);
    if (l->released)
        l->released(l->released_ctx);
    else
        wait(l);
}

static void write_lease(struct leader *l, bool create)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t now_us = t.tv_sec * 1000000LL + t.tv_nsec / 1000;
    bool release = l->giving_back = l->released != NULL;
    const struct lease lease = {
        .namespace = l->o.namespace,
        .name = l->o.name,
        .version = create ? "" : l->version,
        .holder = release ? "" : l->o.identity,
        .acquired_us = !create && is_ours(l) ? l->acquired_us : now_us,
        .renewed_us = now_us,
        .seconds = release ? 1 : (int32_t)(l->o.lease_ns / SECOND_NS),
        .transitions = create       ? 0
                       : is_ours(l) ? l->transitions
                                    : l->transitions + 1,
    };
    strbuf_reset(&l->body);
    lease_encode(&lease, &l->body);
    ask(l, create ? "POST" : "PUT", create ? "" : l->o.name, on_written);
}

/* The holder need not look first: a version that is not the newest is refused. */
static void try(struct leader *l)
{
    if (l->leading && is_ours(l)) {
        write_lease(l, false);
        return;
    }
    strbuf_reset(&l->body);
    ask(l, "GET", l->o.name, on_read);
}

/* ---- life ---- */

static uv_timer_t *new_timer(uv_loop_t *loop, struct leader *l)
{
    uv_timer_t *t = xcalloc(1, sizeof *t);
    uv_timer_init(loop, t);
    t->data = l;
    return t;
}

int leader_new(uv_loop_t *loop, struct api_client *client, const struct leader_options *o,
               struct leader **ret, struct err *e)
{
    if (o->retry_ns < SECOND_NS / 10 || o->renew_ns <= o->retry_ns || o->lease_ns <= o->renew_ns ||
        o->lease_ns < SECOND_NS || o->lease_ns > 86400 * SECOND_NS)
        return err_set(e, ERR_INVALID,
                       "leader election: the lease must last longer than the renew deadline, and "
                       "that longer than the retry period of at least 100ms; the lease a second at "
                       "least and a day at most");
    struct leader *l = xcalloc(1, sizeof *l);
    arena_init(&l->arena, 1024);
    l->client = client;
    l->o = *o;
    l->o.namespace = arena_strdup(&l->arena, o->namespace);
    l->o.name = arena_strdup(&l->arena, o->name);
    l->o.identity = arena_strdup(&l->arena, o->identity);
    rand_init(&l->rand);
    l->retry = new_timer(loop, l);
    l->deadline = new_timer(loop, l);
    uv_timer_start(l->retry, on_retry, 0, 0);
    *ret = l;
    return 0;
}

void leader_release(struct leader *l, void (*done)(void *ctx), void *ctx)
{
    uv_timer_stop(l->retry);
    uv_timer_stop(l->deadline);
    l->released = done;
    l->released_ctx = ctx;
    /* A renewal that is under way may have been done: only its reply tells the version to go on
     * from. */
    if (!l->leading || !l->call)
        give_back(l, l->leading && is_ours(l));
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

void leader_free(struct leader *l)
{
    if (!l)
        return;
    http_call_cancel(l->call);
    uv_close((uv_handle_t *)l->retry, on_closed);
    uv_close((uv_handle_t *)l->deadline, on_closed);
    strbuf_done(&l->url);
    strbuf_done(&l->body);
    forget(l);
    free(l->told);
    arena_done(&l->arena);
    free(l);
}
