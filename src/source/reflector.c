#include "source/reflector.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "source/reflector_impl.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#define ROOM_TIMES     40 /* memory that a byte which has come takes at most, until it is read */
#define ACCEPT         "application/vnd.kubernetes.protobuf,application/json"
#define LIST_IDLE_MS   30000
#define STREAM_IDLE_MS 10000 /* whoever does not know the parameter may send nothing for ever */
#define STREAMS_MAX    3     /* that fail in a row before a list is tried */
#define WATCH_IDLE_MS  90000 /* bookmarks come every minute */
#define WATCH_SECONDS  300   /* to twice that: so that watches do not all end at once */
#define WATCH_SHORT_NS 1000000000LL
#define WAIT_FIRST_MS  800
#define WAIT_MAX_MS    30000
#define REFUSAL_MAX    65536 /* bytes of a reply that is no list */
#define ARENA_CHUNK    65536 /* holds the tree of all but large objects */
#define REST_MS        50    /* that events wait for others at most, when they come fast */

#define WAIT_OR_LIST (1 << REFLECTOR_WAIT | 1 << REFLECTOR_LIST)

static const struct sm_state states[REFLECTOR_STATES] = {
    [REFLECTOR_WAIT] = { "waiting",
                         1 << REFLECTOR_STREAM | 1 << REFLECTOR_LIST | 1 << REFLECTOR_WATCH },
    [REFLECTOR_STREAM] = { "streaming",
                           WAIT_OR_LIST | 1 << REFLECTOR_STREAM | 1 << REFLECTOR_WATCH },
    [REFLECTOR_LIST] = { "listing", WAIT_OR_LIST | 1 << REFLECTOR_WATCH },
    [REFLECTOR_WATCH] = { "watching", WAIT_OR_LIST | 1 << REFLECTOR_STREAM | 1 << REFLECTOR_WATCH },
};

static void begin(struct reflector *r);
static void watch(struct reflector *r);

static void moved(void *ctx, const char *from, const char *to)
{
    struct reflector *r = ctx;
    log_debug("source/apiserver: %s: %s -> %s", r->o->path, from, to);
    atomic_fetch_add_explicit(&r->status.entered[r->sm.now], 1, memory_order_relaxed);
}

const char *reflector_state_text(enum reflector_state state)
{
    return states[state].name;
}

/* ---- failures ---- */

static void on_timer(uv_timer_t *t)
{
    begin(t->data);
}

/* What it says, whatever its numbers: times and ports differ from one to the next. */
static uint64_t sound_of(const char *text)
{
    struct strbuf b = { 0 };
    for (; *text; text++)
        if (*text < '0' || *text > '9')
            strbuf_putc(&b, *text);
    uint64_t hash = hash_bytes(b.p, b.len);
    strbuf_done(&b);
    return hash;
}

/* The first of several failures that sound the same is told. */
static void tell(struct reflector *r, const char *text)
{
    uint64_t sound = sound_of(text);
    for (unsigned i = 0; i < r->n_told; i++)
        if (r->told[i] == sound)
            return;
    if (r->n_told == REFLECTOR_TOLD_MAX)
        return;
    r->told[r->n_told++] = sound;
    log_warning("source/apiserver: %s%s: %s; trying again", api_client_server(r->client),
                r->o->path, text);
}

static void wait_and_begin(struct reflector *r, long least_ms)
{
    unsigned shift = MIN(r->failures, 6u);
    uint64_t ms = MIN((uint64_t)WAIT_FIRST_MS << shift, (uint64_t)WAIT_MAX_MS);
    ms = ms / 2 + rand_below(&r->rand, (uint32_t)ms);
    r->failures++;
    sm_move(&r->sm, REFLECTOR_WAIT);
    uv_timer_start(r->timer, on_timer, MAX(ms, (uint64_t)least_ms), 0);
}

static void failed(struct reflector *r, const struct http_result *h)
{
    char text[API_STATUS_TEXT];
    atomic_store_explicit(&r->status.watching, false, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->status.failures, 1, memory_order_relaxed);
    if (r->broken)
        tell(r, r->e.text);
    else
        tell(r, api_status_text(h, r->in.p, r->in.len, text));
    if (!h->status)
        api_client_unreached(r->client);
    if (h->status == 403 || h->status == 404)
        r->sink.forbidden(r->sink.ctx);
    wait_and_begin(r, h->retry_after * 1000);
}

static void well(struct reflector *r)
{
    if (r->n_told)
        log_info("source/apiserver: %s%s: all is well again", api_client_server(r->client),
                 r->o->path);
    r->n_told = 0;
    r->failures = 0;
    atomic_store_explicit(&r->status.heard_ns, clock_ns(), memory_order_relaxed);
}

/* ---- requests ---- */

/* Everything that is there has been told, be it as a list or as the initial events of a watch. */
static void listed(struct reflector *r)
{
    atomic_fetch_add_explicit(&r->status.lists, 1, memory_order_relaxed);
    well(r);
    if (!r->in.len)
        strbuf_done(&r->in);
    r->sink.synced(r->sink.ctx);
}

static void read_watch(struct reflector *r)
{
    r->broken = reflector_read_watch(r, &r->e) < 0;
    if (r->sm.now == REFLECTOR_STREAM && !r->initial) {
        sm_move(&r->sm, REFLECTOR_WATCH);
        atomic_store_explicit(&r->status.watching, true, memory_order_relaxed);
        http_call_set_idle(r->call, WATCH_IDLE_MS);
        http_call_set_rest(r->call, REST_MS);
        listed(r);
    } else if (r->sm.now == REFLECTOR_WATCH && !r->broken) {
        well(r);
        r->n_gone = 0;
    }
}

static void on_head(void *ctx, long status)
{
    struct reflector *r = ctx;
    if (status == 200 && r->sm.now == REFLECTOR_WATCH)
        atomic_store_explicit(&r->status.watching, true, memory_order_relaxed);
}

static int on_chunk(void *ctx, long status, const char *p, size_t n)
{
    struct reflector *r = ctx;
    if (status != 200 && r->in.len + n > REFUSAL_MAX)
        return 0;
    if (!mem_room_take(&r->room, uv_now(r->timer->loop), n * ROOM_TIMES)) {
        r->broken = true;
        return err_set(&r->e, ERR_LIMIT, "memory is short; what is known stays in use");
    }
    strbuf_add(&r->in, p, n);
    if (status != 200)
        return 0;
    if (r->sm.now == REFLECTOR_LIST)
        r->broken = reflector_read_list(r, &r->e) < 0;
    else
        read_watch(r);
    return r->broken;
}

static void ask(struct reflector *r, const struct strbuf *path, long idle_ms, bool gzip,
                http_end_fn *end)
{
    const struct api_request request = { .path = path->p,
                                         .accept = ACCEPT,
                                         .idle_ms = idle_ms,
                                         .gzip = gzip,
                                         .head = on_head,
                                         .chunk = on_chunk,
                                         .end = end,
                                         .ctx = r };
    strbuf_reset(&r->in);
    r->broken = r->gone = r->refused = false;
    r->begun_ns = clock_ns();
    if (api_client_send(r->client, &request, &r->call, &r->e) == 0)
        return;
    tell(r, r->e.text);
    wait_and_begin(r, 0);
}

/* Selectors come from options and may hold any character. */
static void add_escaped(struct strbuf *b, const char *text)
{
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9') || strchr("-._~", *text);
        strbuf_printf(b, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
}

static void add_parameter(struct strbuf *b, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    strbuf_printf(b, "&%s=", name);
    add_escaped(b, value);
}

static void add_selectors(const struct reflector *r, struct strbuf *b)
{
    add_parameter(b, "labelSelector", r->o->label_selector);
    add_parameter(b, "fieldSelector", r->o->field_selector);
}

/* ---- list ---- */

static void on_list_end(void *ctx, const struct http_result *h);

/* resourceVersion=0: from the server's cache, which then gives everything at once; the limit is for
 * servers that have none, or have not filled it yet. A cache that gave us a revision which is too
 * old lags behind: what the store says is asked for then, and never gone back from. */
static void list_page(struct reflector *r)
{
    struct strbuf path = { 0 };
    strbuf_printf(&path, "%s?limit=%d", r->o->path, REFLECTOR_PAGE);
    if (r->page.len)
        add_parameter(&path, "continue", r->page.p);
    else if (!r->n_gone)
        add_parameter(&path, "resourceVersion", "0");
    add_selectors(r, &path);
    strbuf_reset(&r->page); /* the reply says whether there is another */
    r->part = LIST_HEAD;
    r->raw_left = 0;
    sm_move(&r->sm, REFLECTOR_LIST);
    ask(r, &path, LIST_IDLE_MS, true, on_list_end);
    strbuf_done(&path);
}

static void stream(struct reflector *r);

/* Reads everything, in the way that the server has. */
static void list(struct reflector *r)
{
    strbuf_reset(&r->revision);
    strbuf_reset(&r->page);
    vec_clear(&r->seen);
    atomic_store_explicit(&r->status.watching, false, memory_order_relaxed);
    if (r->no_stream)
        list_page(r);
    else
        stream(r);
}

static void on_list_end(void *ctx, const struct http_result *h)
{
    struct reflector *r = ctx;
    r->call = NULL;
    if (!h->error && h->status == 200)
        r->broken = reflector_list_end(r, &r->e) < 0;
    if (h->error || h->status != 200 || r->broken) {
        strbuf_reset(
            &r->revision); /* what has come is kept; the next list is read from its start */
        failed(r, h);
        return;
    }
    if (r->page.len) {
        list_page(r);
        return;
    }
    reflector_sweep(r);
    listed(r);
    if (r->part == LIST_JSON) { /* pages as text and as trees, not to be needed again soon */
        arena_reset(&r->arena);
        malloc_trim(0);
    }
    watch(r);
}

/* ---- watch ---- */

/* Once may happen to anyone who was away for a while; a server that says it again and again is not
 * to be asked for lists without a pause. */
static void on_gone(struct reflector *r)
{
    log_info("source/apiserver: %s: %s; listing again", r->o->path,
             r->broken ? r->e.text : "its revision is gone");
    strbuf_reset(&r->revision);
    r->failures = r->n_gone++;
    if (r->n_gone == 1) {
        list(r);
    } else {
        atomic_store_explicit(&r->status.watching, false, memory_order_relaxed);
        wait_and_begin(r, 0);
    }
}

/* A watch ends after some minutes, as it was asked to; one that ends at once ends for a reason. */
static void on_watch_end(void *ctx, const struct http_result *h)
{
    struct reflector *r = ctx;
    r->call = NULL;
    bool ended = !h->error && h->status == 200 && !r->broken;
    if (h->status == 410)
        r->gone = true;
    if (r->gone) {
        on_gone(r);
    } else if (ended && clock_ns() - r->begun_ns > WATCH_SHORT_NS) {
        well(r);
        watch(r);
    } else if (ended) {
        wait_and_begin(r, 0);
    } else {
        if (h->status == 200 && clock_ns() - r->begun_ns > WATCH_SHORT_NS)
            r->failures = 0; /* it was up, whatever came of it */
        failed(r, h);
    }
}

static void ask_watch(struct reflector *r, const char *revision, long idle_ms, http_end_fn *end)
{
    struct strbuf path = { 0 };
    unsigned seconds = WATCH_SECONDS + rand_below(&r->rand, WATCH_SECONDS);
    strbuf_printf(&path, "%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%u", r->o->path,
                  seconds);
    if (r->initial)
        strbuf_puts(&path, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    add_parameter(&path, "resourceVersion", revision);
    add_selectors(r, &path);
    ask(r, &path, idle_ms, false, end);
    strbuf_done(&path);
}

static void watch(struct reflector *r)
{
    sm_move(&r->sm, REFLECTOR_WATCH);
    r->initial = false;
    atomic_store_explicit(&r->status.watching, false, memory_order_relaxed); /* not yet */
    ask_watch(r, r->revision.p, WATCH_IDLE_MS, on_watch_end);
    if (r->call)
        http_call_set_rest(r->call, REST_MS);
}

/* ---- a list as the beginning of a watch ---- */

/* A server without them says so in its status or, when it finds out late, as an event (for want of
 * a feature of its storage); one that does not know the parameters ends the watch, or never says
 * where its initial events end. Whatever else may be in the way of a stream need not be in that of
 * a list. */
static bool has_no_streams(const struct reflector *r, const struct http_result *h)
{
    if (h->status == 200)
        return r->refused || (!h->error && !r->broken) || h->error == -ETIMEDOUT ||
               r->failures >= STREAMS_MAX;
    return h->status == 400 || h->status == 422 || r->failures >= STREAMS_MAX;
}

static void on_stream_end(void *ctx, const struct http_result *h)
{
    struct reflector *r = ctx;
    char text[API_STATUS_TEXT];
    if (r->sm.now == REFLECTOR_WATCH) {
        on_watch_end(r, h);
        return;
    }
    r->call = NULL;
    strbuf_reset(&r->revision);
    if (has_no_streams(r, h)) {
        log_debug("source/apiserver: %s: no stream: %s", r->o->path,
                  r->broken ? r->e.text : api_status_text(h, r->in.p, r->in.len, text));
        r->no_stream = true;
        list(r);
    } else {
        failed(r, h);
    }
}

/* From the server's cache the first time, from its store when the cache was too old. */
static void stream(struct reflector *r)
{
    sm_move(&r->sm, REFLECTOR_STREAM);
    r->initial = true;
    ask_watch(r, r->n_gone ? NULL : "0", STREAM_IDLE_MS, on_stream_end);
}

static void begin(struct reflector *r)
{
    if (r->revision.len)
        watch(r);
    else
        list(r);
}

/* ---- life ---- */

struct reflector *reflector_new(uv_loop_t *loop, struct api_client *client,
                                const struct reflector_options *o,
                                const struct reflector_sink *sink)
{
    struct reflector *r = xcalloc(1, sizeof *r);
    r->client = client;
    r->o = o;
    r->sink = *sink;
    r->decoder = decoder_new("source/apiserver", o->without);
    arena_init(&r->arena, ARENA_CHUNK);
    rand_init(&r->rand);
    r->sm = (struct sm){ .states = states, .now = REFLECTOR_WAIT, .moved = moved, .ctx = r };
    r->timer = xcalloc(1, sizeof *r->timer);
    uv_timer_init(loop, r->timer);
    r->timer->data = r;
    uv_timer_start(r->timer, on_timer, 0, 0);
    return r;
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

void reflector_free(struct reflector *r)
{
    if (!r)
        return;
    http_call_cancel(r->call);
    uv_close((uv_handle_t *)r->timer, timer_closed);
    decoder_free(r->decoder);
    arena_done(&r->arena);
    strbuf_done(&r->revision);
    strbuf_done(&r->in);
    strbuf_done(&r->page);
    vec_done(&r->seen);
    free(r);
}

const struct reflector_status *reflector_status(const struct reflector *r)
{
    return &r->status;
}

const struct reflector_options *reflector_options(const struct reflector *r)
{
    return r->o;
}
