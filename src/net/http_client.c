#include "net/http_client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <string.h>

#include <curl/curl.h>

#define CONNECT_MS      10000
#define RETRY_AFTER_MAX 3600 /* seconds */
#define KEEPALIVE_S     30L  /* an idle peer is asked whether it is still there */
#define KEEPALIVE_GAP   10L

enum call_state { CALL_QUEUED, CALL_RUNNING, CALL_CANCELLED };

struct http_call {
    struct http_client *client;
    struct http_call *next, **link; /* in the client's list */
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    enum call_state state;
    http_chunk_fn *chunk;
    http_end_fn *end;
    void *ctx;
    struct strbuf body;
    size_t body_max;
    bool too_long, stopped;
    int64_t idle_ns, last_ns; /* the longest silence, 0: any; when something came */
    char why[CURL_ERROR_SIZE];
};

/* One socket of libcurl's in the loop. */
struct socket_watch {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
    struct socket_watch *next, **link;
};

struct http_client {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t *timer; /* on the heap: they outlive us until the loop has closed them */
    uv_timer_t *idle;
    struct http_call *calls;
    struct socket_watch *sockets;
    unsigned n_calls;
    unsigned depth; /* of calls into libcurl: it must not be called again from within */
    bool pending;   /* calls to be begun or taken out when the depth is 0 again */
};

static void take_results(struct http_client *c);
static void settle(struct http_client *c);

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
    act(s->client, s->fd, what);
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
    uv_poll_start(&s->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_socket);
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

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct http_call *call = ctx;
    size_t len = size * n;
    call->last_ns = clock_ns();
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
        if (!call->idle_ns || call->state != CALL_RUNNING)
            continue;
        int64_t at = call->last_ns + call->idle_ns;
        if (at > now) {
            next = at < next ? at : next;
            continue;
        }
        strcpy(call->why, "nothing came for too long");
        finish(call, CURLE_OPERATION_TIMEDOUT);
    }
    c->depth--;
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

/* TLS asks for another name than the address it connects to. */
static int name_server(struct http_call *call, const char *url, const char *name)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *whole = NULL;
    struct strbuf to = { 0 };
    int ret = ERR_INVALID;
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK) {
        strbuf_printf(&to, "::%s:%s", host, port);
        call->connect_to = curl_slist_append(NULL, to.p);
        curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
        curl_easy_setopt(call->easy, CURLOPT_URL, whole);
        ret = 0;
    }
    curl_free(host);
    curl_free(port);
    curl_free(whole);
    curl_url_cleanup(u);
    strbuf_done(&to);
    return ret;
}

static void set_blob(CURL *x, CURLoption option, const char *pem)
{
    struct curl_blob blob = { .flags = CURL_BLOB_COPY };
    if (!pem)
        return;
    blob.data = (void *)(uintptr_t)pem; /* it is only read */
    blob.len = strlen(pem);
    curl_easy_setopt(x, option, &blob);
}

static int set_tls(struct http_call *call, const char *url, const struct http_tls *t)
{
    CURL *x = call->easy;
    if (!t)
        return 0;
    if (t->ca)
        curl_easy_setopt(x, CURLOPT_CAINFO, t->ca);
    if (t->ca || t->ca_pem)
        curl_easy_setopt(x, CURLOPT_CAPATH, NULL);
    if (t->cert)
        curl_easy_setopt(x, CURLOPT_SSLCERT, t->cert);
    if (t->key)
        curl_easy_setopt(x, CURLOPT_SSLKEY, t->key);
    set_blob(x, CURLOPT_CAINFO_BLOB, t->ca_pem);
    set_blob(x, CURLOPT_SSLCERT_BLOB, t->cert_pem);
    set_blob(x, CURLOPT_SSLKEY_BLOB, t->key_pem);
    if (t->insecure) {
        curl_easy_setopt(x, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(x, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return t->server_name ? name_server(call, url, t->server_name) : 0;
}

static void set_limits(CURL *x, const struct http_request *r)
{
    curl_easy_setopt(x, CURLOPT_CONNECTTIMEOUT_MS, r->connect_ms ? r->connect_ms : CONNECT_MS);
    curl_easy_setopt(x, CURLOPT_TIMEOUT_MS, r->total_ms);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(x, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_GAP);
}

static void set_identity(CURL *x, const struct http_request *r)
{
    if (r->bearer) {
        curl_easy_setopt(x, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(x, CURLOPT_XOAUTH2_BEARER, r->bearer);
    } else if (r->user) {
        curl_easy_setopt(x, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(x, CURLOPT_USERNAME, r->user);
        curl_easy_setopt(x, CURLOPT_PASSWORD, r->password ? r->password : "");
    }
}

static void set_message(struct http_call *call, const struct http_request *r)
{
    CURL *x = call->easy;
    if (r->body) {
        curl_easy_setopt(x, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        curl_easy_setopt(x, CURLOPT_COPYPOSTFIELDS, r->body);
    }
    if (r->method && strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(x, CURLOPT_NOBODY, 1L);
    else if (r->method)
        curl_easy_setopt(x, CURLOPT_CUSTOMREQUEST, r->method);
    for (size_t i = 0; i < r->n_headers; i++)
        call->headers = curl_slist_append(call->headers, r->headers[i]);
    call->headers = curl_slist_append(call->headers, "Expect:"); /* no round trip before a body */
    curl_easy_setopt(x, CURLOPT_HTTPHEADER, call->headers);
}

static int set_options(struct http_call *call, const struct http_request *r)
{
    CURL *x = call->easy;
    curl_easy_setopt(x, CURLOPT_URL, r->url);
    curl_easy_setopt(x, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(x, CURLOPT_PROXY, r->proxy ? r->proxy : "");
    if (r->gzip)
        curl_easy_setopt(x, CURLOPT_ACCEPT_ENCODING, "gzip");
    /* Rather one HTTP/2 connection for all than one each that is begun at the same moment; without
     * TLS there is no HTTP/2, and the first reply would be waited for. */
    curl_easy_setopt(x, CURLOPT_PIPEWAIT, str_starts(r->url, "https://") ? 1L : 0L);
    curl_easy_setopt(x, CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L);
    curl_easy_setopt(x, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(x, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(x, CURLOPT_USERAGENT, "signpost/" SIGNPOST_VERSION);
    curl_easy_setopt(x, CURLOPT_ERRORBUFFER, call->why);
    curl_easy_setopt(x, CURLOPT_PRIVATE, call);
    curl_easy_setopt(x, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(x, CURLOPT_WRITEDATA, call);
    set_limits(x, r);
    set_identity(x, r);
    set_message(call, r);
    return set_tls(call, r->url, r->tls);
}

int http_url_check(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    bool good = (str_starts(url, "http://") || str_starts(url, "https://")) &&
                curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    curl_url_cleanup(u);
    return good ? 0 : err_set(e, ERR_INVALID, "'%s' is not a http:// or https:// URL", url);
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
                                .chunk = r->chunk,
                                .end = r->end,
                                .ctx = r->ctx,
                                .next = c->calls,
                                .link = &c->calls,
                                .body_max = r->body_max ? r->body_max : HTTP_CLIENT_BODY_MAX };
    if (call->next)
        call->next->link = &call->next;
    c->calls = call;
    c->n_calls++;
    code = call->easy ? set_options(call, r) : -ENOMEM;
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
    free(c);
}
