/* What is done when: connect, log in, list, watch, and again. */
#include "source/etcd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "source/etcd_impl.h"

#include <stdarg.h>
#include <string.h>

#define CONNECT_MS    5000
#define REPLY_MS      60000   /* of a page of a list */
#define WATCH_IDLE_MS 1500000 /* etcd says that there is nothing new every ten minutes */
#define WAIT_MIN_MS   100
#define WAIT_MAX_MS   10000

/* clang-format off */
static const struct sm_state states[ETCD_STATES] = {
    [ETCD_WAIT] = { "wait", 1 << ETCD_LOGIN | 1 << ETCD_LIST | 1 << ETCD_WATCH },
    [ETCD_LOGIN] = { "login", 1 << ETCD_WAIT | 1 << ETCD_LOGIN | 1 << ETCD_LIST | 1 << ETCD_WATCH },
    [ETCD_LIST] = { "list", 1 << ETCD_WAIT | 1 << ETCD_LOGIN | 1 << ETCD_LIST | 1 << ETCD_WATCH },
    [ETCD_WATCH] = { "watch", 1 << ETCD_WAIT | 1 << ETCD_LOGIN | 1 << ETCD_LIST },
};
/* clang-format on */

/* ---- requests ---- */

int etcd_post(struct etcd_source *s, const char *path, const struct strbuf *body,
              http_chunk_fn *chunk, http_end_fn *end, void *ctx, struct http_call **ret)
{
    /* A member that has lost its cluster shall say so and not go on as if nothing happened. */
    const char *headers[] = { "Content-Type: application/json", "Grpc-Metadata-Hasleader: true",
                              s->token };
    struct strbuf url = { 0 };
    struct err e;
    strbuf_printf(&url, "%s%s", s->endpoints[s->endpoint], path);
    struct http_request r = { .method = "POST",
                              .url = url.p,
                              .headers = headers,
                              .n_headers = s->token ? 3 : 2,
                              .body = body->p,
                              .body_len = body->len,
                              .tls = &s->tls,
                              .connect_ms = CONNECT_MS,
                              .total_ms = chunk ? 0 : REPLY_MS,
                              .idle_ms = chunk ? WATCH_IDLE_MS : 0,
                              .body_max = ETCD_REPLY_MAX,
                              .chunk = chunk,
                              .end = end,
                              .ctx = ctx };
    int code = http_client_send(s->http, &r, ret, &e);
    if (code < 0)
        log_warning("%s: %s", s->name, e.text);
    strbuf_done(&url);
    return code;
}

static void move(struct etcd_source *s, enum etcd_state to)
{
    http_call_cancel(s->call);
    s->call = NULL;
    if (s->sm.now == ETCD_WATCH && to != ETCD_WATCH && atomic_load(&s->status.connected)) {
        atomic_store(&s->status.connected, false);
        atomic_store(&s->status.heard_ns, clock_ns());
    }
    sm_move(&s->sm, to);
}

static void begin(struct etcd_source *s, const char *path, struct strbuf *body,
                  http_chunk_fn *chunk, http_end_fn *end)
{
    struct http_call *call;
    int code = etcd_post(s, path, body, chunk, end, s, &call);
    strbuf_done(body);
    if (code < 0)
        etcd_fail(s, "the request cannot be sent: %s", err_str(code));
    else
        s->call = call;
}

/* ---- failures ---- */

/* Once round the endpoints at once, then longer and longer; never all clients in step. */
static uint64_t delay_ms(struct etcd_source *s)
{
    unsigned rounds = (unsigned)(s->failures / s->n_endpoints);
    uint64_t ms = WAIT_MIN_MS;
    if (s->failures < s->n_endpoints)
        return 1 + rand_below(&s->rand, 20);
    while (--rounds && ms < WAIT_MAX_MS)
        ms *= 2;
    ms = ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS;
    return ms / 2 + rand_below(&s->rand, (uint32_t)ms);
}

/* One line for each different reason, until it works again. */
static void tell(struct etcd_source *s, const char *text)
{
    if (s->told && strcmp(s->told, text) == 0)
        return;
    free(s->told);
    s->told = xstrdup(text);
    log_warning("%s: %s: %s", s->name, s->endpoints[s->endpoint], text);
}

void etcd_fail(struct etcd_source *s, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    tell(s, text);
    move(s, ETCD_WAIT);
    s->failures++;
    atomic_fetch_add(&s->status.failures, 1);
    s->endpoint = (s->endpoint + 1) % s->n_endpoints;
    uv_timer_start(s->timer, s->timer->timer_cb, delay_ms(s), 0);
}

static void drop_token(struct etcd_source *s)
{
    free(s->token);
    s->token = NULL;
}

static bool is_about_token(const struct etcd_source *s, int code)
{
    return s->user && !s->no_login &&
           (code == ETCD_UNAUTHENTICATED || code == ETCD_INVALID || code == ETCD_DENIED);
}

void etcd_refused(struct etcd_source *s, int code, const char *text)
{
    bool again = is_about_token(s, code) && !s->fresh_token;
    if (s->user && s->no_login && code == ETCD_INVALID) { /* switched on in the meantime */
        s->no_login = false;
        again = true;
    }
    if (is_about_token(s, code))
        drop_token(s);
    if (again)
        etcd_login(s);
    else
        etcd_fail(s, "%s", text);
}

bool etcd_narrow(struct etcd_source *s, struct etcd_range *r)
{
    if (r->start != r->path)
        return false;
    r->start = arena_printf(&s->arena, "%s/", r->path);
    return true;
}

/* ---- logging in ---- */

static void go_on(struct etcd_source *s)
{
    if (s->ranges[0].next)
        etcd_watch(s);
    else
        etcd_list(s);
}

static void take_token(struct etcd_source *s, const struct etcd_reply *r)
{
    struct strbuf header = { 0 };
    s->no_login = r->error && r->code == ETCD_FAILED_PRECONDITION; /* "authentication is not
                                                                      enabled" */
    if (r->error && !s->no_login) {
        etcd_fail(s, "user '%s': %s", s->user, r->error);
        return;
    }
    if (!r->error && !r->token) {
        etcd_fail(s, "user '%s': the reply has no token", s->user);
        return;
    }
    drop_token(s);
    if (!s->no_login) {
        strbuf_printf(&header, "Authorization: %s", r->token);
        s->token = strbuf_steal(&header);
        s->fresh_token = true;
    }
    go_on(s);
}

static void login_ended(void *ctx, const struct http_result *r)
{
    struct etcd_source *s = ctx;
    struct etcd_reply reply;
    struct arena a;
    struct err e;
    s->call = NULL;
    arena_init(&a, 4096);
    if (r->error)
        etcd_fail(s, "%s", r->text);
    else if (etcd_reply_parse(r->body, r->len, &a, &reply, &e) < 0)
        etcd_fail(s, "status %ld: %s", r->status, e.text);
    else
        take_token(s, &reply);
    arena_done(&a);
}

void etcd_login(struct etcd_source *s)
{
    struct strbuf body = { 0 };
    move(s, ETCD_LOGIN);
    etcd_put_login(&body, s->user, s->password);
    begin(s, "/v3/auth/authenticate", &body, NULL, login_ended);
}

/* ---- list and watch ---- */

static void page_ended(void *ctx, const struct http_result *r);

void etcd_list(struct etcd_source *s)
{
    for (size_t i = 0; i < s->n_ranges; i++)
        s->ranges[i].next = 0;
    s->range = 0;
    s->list_revision = 0;
    strbuf_reset(&s->from);
    etcd_list_page(s);
}

void etcd_list_page(struct etcd_source *s)
{
    struct etcd_range *r = &s->ranges[s->range];
    struct strbuf body = { 0 };
    move(s, ETCD_LIST);
    if (s->from.len)
        etcd_put_range(&body, s->from.p, s->from.len, r->end, s->page, s->list_revision);
    else
        etcd_put_range(&body, r->start, strlen(r->start), r->end, s->page, s->list_revision);
    begin(s, "/v3/kv/range", &body, NULL, page_ended);
}

static void page_ended(void *ctx, const struct http_result *r)
{
    struct etcd_source *s = ctx;
    s->call = NULL;
    etcd_take_page(s, r);
}

static void watch_ended(void *ctx, const struct http_result *r)
{
    struct etcd_source *s = ctx;
    s->call = NULL;
    etcd_watch_ended(s, r);
}

void etcd_watch(struct etcd_source *s)
{
    struct strbuf body = { 0 };
    move(s, ETCD_WATCH);
    strbuf_reset(&s->line);
    s->scanned = 0;
    for (size_t i = 0; i < s->n_ranges; i++) {
        struct etcd_range *r = &s->ranges[i];
        r->created = false;
        etcd_put_watch(&body, (unsigned)i + 1, r->start, r->end, r->next);
    }
    begin(s, "/v3/watch", &body, etcd_on_watch, watch_ended);
}

static void on_timer(uv_timer_t *timer)
{
    struct etcd_source *s = timer->data;
    if (s->user && !s->token && !s->no_login)
        etcd_login(s);
    else
        go_on(s);
}

/* ---- life ---- */

/* Paths are put behind it, and begin with a slash. */
static const char *endpoint_url(struct arena *a, const char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '/')
        n--;
    return arena_strndup(a, text, n);
}

static const char *copy(struct arena *a, const char *text)
{
    return text ? arena_strdup(a, text) : NULL;
}

static void copy_options(struct etcd_source *s, const struct etcd_options *o)
{
    struct arena *a = &s->arena;
    s->name = copy(a, o->name);
    s->user = copy(a, o->user);
    s->password = copy(a, o->password);
    s->tls = (struct http_tls){ .ca = copy(a, o->tls.ca),
                                .cert = copy(a, o->tls.cert),
                                .key = copy(a, o->tls.key),
                                .server_name = copy(a, o->tls.server_name),
                                .insecure = o->tls.insecure };
    s->endpoints = arena_zalloc(a, o->n_endpoints * sizeof *s->endpoints);
    s->n_endpoints = o->n_endpoints;
    for (size_t i = 0; i < o->n_endpoints; i++)
        s->endpoints[i] = endpoint_url(a, o->endpoints[i]);
    s->ranges = arena_zalloc(a, o->n_ranges * sizeof *s->ranges);
    s->n_ranges = o->n_ranges;
    for (size_t i = 0; i < o->n_ranges; i++) {
        struct etcd_range *r = &s->ranges[i];
        r->path = str_eq(o->ranges[i], "/") ? "" : copy(a, o->ranges[i]);
        r->start = r->path;
        r->end = arena_printf(a, "%s0", r->path); /* '0' comes behind '/' */
        if (!*r->path)
            etcd_narrow(s, r); /* no key is empty */
    }
}

static int check_options(const struct etcd_options *o, struct err *e)
{
    if (!o->n_endpoints || o->n_endpoints > ETCD_ENDPOINTS_MAX)
        return err_set(e, ERR_LIMIT, "%zu endpoints; it takes 1 to %d", o->n_endpoints,
                       ETCD_ENDPOINTS_MAX);
    if (!o->n_ranges || o->n_ranges > ETCD_RANGES_MAX)
        return err_set(e, ERR_LIMIT, "%zu places to look at; it takes 1 to %d", o->n_ranges,
                       ETCD_RANGES_MAX);
    return 0;
}

int etcd_source_open(uv_loop_t *loop, const struct etcd_options *o, const struct etcd_sink *sink,
                     struct etcd_source **ret, struct err *e)
{
    int code = check_options(o, e);
    if (code < 0)
        return code;
    struct etcd_source *s = xcalloc(1, sizeof *s);
    code = http_client_new(loop, &s->http, e);
    if (code < 0) {
        free(s);
        return code;
    }
    s->loop = loop;
    s->sink = *sink;
    s->page = ETCD_PAGE_KEYS;
    s->sm = (struct sm){ .states = states, .now = ETCD_WAIT };
    rand_init(&s->rand);
    arena_init(&s->arena, 4096);
    copy_options(s, o);
    etcd_leases_open(s);
    s->timer = xcalloc(1, sizeof *s->timer);
    uv_timer_init(loop, s->timer);
    s->timer->data = s;
    uv_timer_start(s->timer, on_timer, 0, 0);
    *ret = s;
    return 0;
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

void etcd_source_close(struct etcd_source *s)
{
    if (!s)
        return;
    http_client_free(s->http);
    etcd_leases_close(s);
    uv_timer_stop(s->timer);
    uv_close((uv_handle_t *)s->timer, timer_closed);
    free(s->token);
    free(s->told);
    strbuf_done(&s->from);
    strbuf_done(&s->line);
    arena_done(&s->arena);
    free(s);
}

const struct etcd_status *etcd_source_status(const struct etcd_source *s)
{
    return &s->status;
}
