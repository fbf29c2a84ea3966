#include "net/http_client_impl.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define RETRY_AFTER_MAX 3600 /* seconds */
#define REST_LEAST_MS   5
#define REST_BYTES      65536 /* that come in a rest at most: the kernel's buffer must not be full */

/* One socket of libcurl's in the loop. */
struct socket_watch {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
    int wants; /* UV_READABLE, UV_WRITABLE */
    bool rests;
    struct socket_watch *next, **link;
};

static void take_results(struct http_client *c);
static void settle(struct http_client *c);
static void rest(struct socket_watch *s);
static void on_socket(uv_poll_t *poll, int status, int events);
static void on_idle(uv_timer_t *timer);

/* ---- the loop ---- */

static void socket_closed(uv_handle_t *h)
{
    free(h->data);
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

static void act(struct http_client *c, curl_socket_t fd, int what)
{
    int running;
    c->depth++;
    curl_multi_socket_action(c->multi, fd, what, &running);
    c->depth--;
    take_results(c);
    settle(c);
}

static void on_rest_over(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    for (struct socket_watch *s = c->sockets; s; s = s->next)
        if (s->rests) {
            s->rests = false;
            uv_poll_start(&s->poll, s->wants, on_socket);
        }
}

/* Which calls a connection has is libcurl's to know: all calls must be content. */
static unsigned rest_of(const struct http_client *c)
{
    unsigned ms = UINT_MAX;
    for (const struct http_call *call = c->calls; call; call = call->next)
        if (call->state != CALL_CANCELLED && call->state != CALL_HELD)
            ms = MIN(ms, call->rest_ms);
    return c->calls ? ms : 0;
}

/* Twice as long for as long as several pieces come together. */
static unsigned next_rest(struct http_client *c, unsigned most)
{
    bool longer = c->n_pieces > 1 && c->came <= REST_BYTES;
    unsigned ms = longer ? 2 * c->rest_ms : c->rest_ms / 2;
    c->rest_ms = MIN(MAX(ms, REST_LEAST_MS), most);
    return c->rest_ms;
}

static void rest(struct socket_watch *s)
{
    struct http_client *c = s->client;
    unsigned most = rest_of(c);
    if (!most || most == UINT_MAX)
        return;
    uv_poll_stop(&s->poll);
    s->rests = true;
    if (!uv_is_active((uv_handle_t *)c->rest))
        uv_timer_start(c->rest, on_rest_over, next_rest(c, most), 0);
}

/* An error is left to libcurl to find when it reads: told of it, it gives up a request that it
 * would send again when a connection that was kept turns out to be gone. */
static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *s = poll->data;
    int what = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    s->client->n_pieces = 0;
    s->client->came = 0;
    act(s->client, s->fd, what);
    if (!uv_is_closing((uv_handle_t *)&s->poll) && s->wants == UV_READABLE)
        rest(s);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void unwatch(struct socket_watch *s)
{
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, socket_closed);
}

static struct socket_watch *watch(struct http_client *c, curl_socket_t fd)
{
    struct socket_watch *s = xcalloc(1, sizeof *s);
    if (uv_poll_init_socket(c->loop, &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->poll.data = s;
    s->client = c;
    s->fd = fd;
    s->next = c->sockets;
    s->link = &c->sockets;
    if (s->next)
        s->next->link = &s->next;
    c->sockets = s;
    return s;
}

/* libcurl: what it wants to know of a socket. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket)
{
    struct http_client *c = ctx;
    struct socket_watch *s = socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s)
            unwatch(s);
        return 0;
    }
    if (!s) {
        s = watch(c, fd);
        if (!s)
            return -1;
        curl_multi_assign(c->multi, fd, s);
    }
    s->wants = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    s->rests = false;
    uv_poll_start(&s->poll, s->wants, on_socket);
    return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *ctx)
{
    struct http_client *c = ctx;
    (void)multi;
    if (ms < 0)
        uv_timer_stop(c->timer);
    else
        uv_timer_start(c->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

/* ---- calls ---- */

static void call_free(struct http_call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->client->n_calls--;
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    strbuf_done(&call->body);
    free(call);
}

static void call_remove(struct http_call *call)
{
    struct http_client *c = call->client;
    c->depth++;
    curl_multi_remove_handle(c->multi, call->easy);
    c->depth--;
    call_free(call);
}

static long call_status(const struct http_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

size_t http_call_on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    size_t len = size * n;
    call->last_ns = clock_ns();
    call->client->n_pieces++;
    call->client->came += len;
    if (call->state == CALL_CANCELLED)
        return 0;
    if (call->chunk) {
        call->stopped = call->chunk(call->ctx, call_status(call), p, len) != 0;
        return call->stopped || call->state == CALL_CANCELLED ? 0 : len;
    }
    call->too_long = call->body.len + len > call->body_max;
    if (call->too_long)
        return 0;
    strbuf_add(&call->body, p, len);
    return len;
}

static void observe(struct http_call *call, long status)
{
    struct http_client *c = call->client;
    if (call->observed || !c->observe)
        return;
    call->observed = true;
    c->observe(c->observe_ctx, call->method, status, clock_ns() - call->begun_ns);
}

/* The empty line behind the lines of a head; those of 100 to 199 are followed by others. */
size_t http_call_on_head(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    long status = call_status(call);
    call->last_ns = clock_ns();
    if (size * n > 2 || (*p != '\r' && *p != '\n') || status < 200 || call->state == CALL_CANCELLED)
        return size * n;
    if (call->head && !call->observed)
        call->head(call->ctx, status);
    if (call->fresh && call->client->doubts) {
        call->client->proved = true;
        uv_timer_start(call->client->idle, on_idle, 0, 0);
    }
    observe(call, status);
    return size * n;
}

static int error_of(const struct http_call *call, CURLcode code)
{
    if (call->too_long)
        return ERR_LIMIT;
    if (call->stopped)
        return -ECANCELED;
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return ERR_REFUSED;
    default:
        return -EIO;
    }
}

static const char *text_of(const struct http_call *call, CURLcode code)
{
    if (call->too_long)
        return "the reply is longer than the limit";
    if (code == CURLE_OK)
        return NULL;
    return call->why[0] ? call->why : curl_easy_strerror(code);
}

/* libcurl keeps a connection of HTTP/2 when a request on it has timed out, and would send all that
 * follows on it, dead or not. */
static void doubt(const struct http_call *late)
{
    struct http_client *c = late->client;
    curl_off_t asked = 0;
    curl_easy_getinfo(late->easy, CURLINFO_PRETRANSFER_TIME_T, &asked);
    if (!asked || c->proved) /* it never had a connection; it is one of those that are to end */
        return;
    c->doubt_ns = clock_ns();
    c->silent_ns = late->last_ns;
    c->doubts |= late->shares;
}

/* Which calls are on which connection is not told: those that have heard something meanwhile are
 * not on the one in doubt. */
static bool is_dead(const struct http_call *call)
{
    const struct http_client *c = call->client;
    return c->proved && call->shares && call->state == CALL_RUNNING &&
           call->last_ns <= c->silent_ns;
}

static void finish(struct http_call *call, CURLcode code)
{
    struct http_result r = { .error = error_of(call, code),
                             .status = call_status(call),
                             .text = text_of(call, code) };
    curl_off_t wait = 0;
    if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK)
        r.retry_after = wait < RETRY_AFTER_MAX ? (long)wait : RETRY_AFTER_MAX;
    if (!call->chunk) {
        strbuf_puts(&call->body, "");
        r.body = call->body.p;
        r.len = call->body.len;
    }
    observe(call, r.status);
    if (code == CURLE_OPERATION_TIMEDOUT)
        doubt(call);
    http_end_fn *end = call->end;
    void *ctx = call->ctx;
    call->state = CALL_CANCELLED; /* cancelling it from within is too late, and harmless */
    end(ctx, &r);
    call_remove(call);
}

/* Tells of the calls that libcurl is done with. */
static void take_results(struct http_client *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        struct http_call *call;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (call->state == CALL_CANCELLED)
            continue; /* settle() takes it out */
        c->depth++;
        finish(call, m->data.result);
        c->depth--;
    }
}

static void start_and_remove(struct http_client *c)
{
    for (struct http_call *call = c->calls, *next; call; call = next) {
        next = call->next;
        if (call->state == CALL_CANCELLED) {
            call_remove(call);
        } else if (call->state == CALL_QUEUED) {
            call->state = CALL_RUNNING;
            call->begun_ns = call->last_ns = clock_ns();
            c->depth++;
            curl_multi_add_handle(c->multi, call->easy);
            c->depth--;
        }
    }
}

/* What was asked for while libcurl was at work. */
static void settle(struct http_client *c)
{
    while (c->pending && !c->depth) {
        c->pending = false;
        start_and_remove(c);
    }
}

/* Ends the calls that have been silent for too long, and looks again when the next one may be. */
static void on_idle(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    int64_t now = clock_ns(), next = INT64_MAX;
    c->depth++;
    for (struct http_call *call = c->calls, *after; call; call = after) {
        after = call->next;
        if (call->state != CALL_RUNNING || (!call->idle_ns && !is_dead(call)))
            continue;
        int64_t at = call->last_ns + call->idle_ns;
        if (at > now && !is_dead(call)) {
            next = at < next ? at : next;
            continue;
        }
        strcpy(call->why, "nothing came for too long");
        finish(call, CURLE_OPERATION_TIMEDOUT);
    }
    c->depth--;
    if (c->proved)
        c->doubts = c->proved = false;
    if (next < INT64_MAX)
        uv_timer_start(timer, on_idle, (uint64_t)(next - now) / 1000000 + 1, 0);
    settle(c);
}

void http_call_set_idle(struct http_call *call, long idle_ms)
{
    struct http_client *c = call->client;
    call->last_ns = clock_ns();
    call->idle_ns = (int64_t)idle_ms * 1000000;
    if (call->idle_ns &&
        (!uv_is_active((uv_handle_t *)c->idle) || uv_timer_get_due_in(c->idle) > (uint64_t)idle_ms))
        uv_timer_start(c->idle, on_idle, (uint64_t)idle_ms, 0);
}

struct http_call *http_client_held(const struct http_client *c)
{
    struct http_call *oldest = NULL;
    for (struct http_call *call = c->calls; call; call = call->next)
        if (call->state == CALL_HELD)
            oldest = call;
    return oldest;
}

unsigned http_client_in_flight(const struct http_client *c)
{
    unsigned n = 0;
    for (const struct http_call *call = c->calls; call; call = call->next)
        n += !call->observed && (call->state == CALL_QUEUED || call->state == CALL_RUNNING);
    return n;
}

const char *http_call_method(const struct http_call *call)
{
    return call->method;
}

int64_t http_call_age_ns(const struct http_call *call)
{
    return clock_ns() - call->asked_ns;
}

void http_call_refuse(struct http_call *call, int code, const char *text)
{
    struct http_result r = { .error = code, .text = text };
    struct http_client *c = call->client;
    call->state = CALL_CANCELLED;
    c->pending = true;
    call->end(call->ctx, &r); /* may send another one, and this one is gone then */
    settle(c);
}

void http_call_set_rest(struct http_call *call, unsigned ms)
{
    call->rest_ms = ms;
}

void http_call_cancel(struct http_call *call)
{
    if (!call || call->state == CALL_CANCELLED)
        return;
    struct http_client *c = call->client;
    call->state = CALL_CANCELLED;
    c->pending = true;
    settle(c);
}

/* ---- sending ---- */

void http_call_release(struct http_call *call, const struct http_request *identity)
{
    http_call_set_identity(call, identity);
    call->state = CALL_QUEUED;
    http_call_set_idle(call, (long)(call->idle_ns / 1000000));
    call->client->pending = true;
    settle(call->client);
}

/* For observers, whose labels are not to be made of whatever comes. */
static const char *method_of(const struct http_request *r)
{
    static const char *const known[] = { "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD" };
    for (size_t i = 0; r->method && i < ARRAY_SIZE(known); i++)
        if (strcmp(known[i], r->method) == 0)
            return known[i];
    return r->method ? "OTHER" : r->body ? "POST" : "GET";
}

void http_client_observe(struct http_client *c, http_observe_fn *fn, void *ctx)
{
    c->observe = fn;
    c->observe_ctx = ctx;
}

int http_client_send(struct http_client *c, const struct http_request *r, struct http_call **ret,
                     struct err *e)
{
    if (c->n_calls >= HTTP_CLIENT_REQUESTS_MAX)
        return err_set(e, ERR_LIMIT, "%s: %d requests are under way already", r->url,
                       HTTP_CLIENT_REQUESTS_MAX);
    int code = http_url_check(r->url, e);
    if (code < 0)
        return code;
    struct http_call *call = xcalloc(1, sizeof *call);
    *call = (struct http_call){ .client = c,
                                .easy = curl_easy_init(),
                                .head = r->head,
                                .chunk = r->chunk,
                                .shares = str_starts(r->url, "https://"),
                                .end = r->end,
                                .ctx = r->ctx,
                                .next = c->calls,
                                .link = &c->calls,
                                .state = r->held ? CALL_HELD : CALL_QUEUED,
                                .method = method_of(r),
                                .asked_ns = clock_ns(),
                                .body_max = r->body_max ? r->body_max : HTTP_CLIENT_BODY_MAX };
    if (call->next)
        call->next->link = &call->next;
    c->calls = call;
    c->n_calls++;
    code = call->easy ? http_call_set_options(call, r) : -ENOMEM;
    if (code < 0) {
        call_free(call);
        return err_set(e, code, "%s: the request cannot be made", r->url);
    }
    http_call_set_idle(call, r->idle_ms);
    c->pending = true;
    settle(c);
    *ret = call;
    return 0;
}

/* ---- life ---- */

static uv_timer_t *timer_new(struct http_client *c)
{
    uv_timer_t *t = xcalloc(1, sizeof *t);
    uv_timer_init(c->loop, t);
    t->data = c;
    return t;
}

static void timer_free(uv_timer_t *t)
{
    uv_timer_stop(t);
    uv_close((uv_handle_t *)t, timer_closed);
}

int http_client_new(uv_loop_t *loop, struct http_client **ret, struct err *e)
{
    static bool ready; /* control thread, and never undone: other users may be left */
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, -ENOMEM, "libcurl cannot be made ready");
    ready = true;
    struct http_client *c = xcalloc(1, sizeof *c);
    c->loop = loop;
    c->multi = curl_multi_init();
    if (!c->multi) {
        free(c);
        return err_set(e, -ENOMEM, "libcurl cannot be made ready");
    }
    c->timer = timer_new(c);
    c->idle = timer_new(c);
    c->rest = timer_new(c);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_CLIENT_CONNECTIONS);
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    while (c->calls)
        call_remove(c->calls);
    curl_multi_cleanup(c->multi);
    while (c->sockets)
        unwatch(c->sockets);
    timer_free(c->timer);
    timer_free(c->idle);
    timer_free(c->rest);
    free(c);
}
