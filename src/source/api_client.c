#include "source/api_client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "kube/proto.h"
#include "source/identity.h"

#include <string.h>

#define BUCKETS 12

#define HTTP_UNAUTHORIZED 401
#define HTTP_TOO_MANY     429
#define HTTP_INTERNAL     500

struct api_client {
    struct http_client *http;
    uv_timer_t *timer; /* of the rate's next turn; on the heap: it outlives us */
    char *server, *proxy, *host;
    struct identity *identity;
    struct strbuf as; /* "Impersonate-User: ..." */
    double qps, burst, tokens;
    int64_t filled_ns; /* when the tokens were counted */
    unsigned inflight_max;
    const struct names *names;
};

/* ---- metrics ---- */

/* Each of the originals has its own. */
static const struct names {
    const char *requests, *duration, *limiter;
} names[] = {
    [API_METRICS_PROXY] = { "rest_client_requests_total", "rest_client_request_duration_seconds",
                            "rest_client_rate_limiter_duration_seconds" },
    [API_METRICS_DNS] = { "coredns_kubernetes_rest_client_requests_total",
                          "coredns_kubernetes_rest_client_request_duration_seconds",
                          "coredns_kubernetes_rest_client_rate_limiter_duration_seconds" },
};

/* Milliseconds. */
static const struct bounds {
    uint64_t limits[BUCKETS];
    unsigned n;
} bounds[] = {
    [API_METRICS_PROXY] = { { 5, 25, 100, 250, 500, 1000, 2000, 4000, 8000, 15000, 30000, 60000 },
                            12 },
    [API_METRICS_DNS] = { { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000 }, 11 },
};

void api_client_metrics(struct api_client *c, enum api_metrics which)
{
    c->names = &names[which];
}

static void observe_ms(const struct api_client *c, const char *name, const char *help,
                       const char *verb, int64_t ns)
{
    const struct bounds *b = &bounds[c->names - names];
    struct strbuf labels = { 0 };
    metric_label(&labels, "verb", verb);
    metric_label(&labels, "host", c->host);
    struct histogram h = metric_histogram(name, help, labels.p, b->limits, b->n, 1e-3);
    histogram_observe(&h, (uint64_t)ns / 1000000);
    strbuf_done(&labels);
}

static void count(const struct api_client *c, const char *method, long status, int64_t took_ns)
{
    struct strbuf labels = { 0 };
    char code[16] = "<error>";
    if (status)
        (void)snprintf(code, sizeof code, "%ld", status);
    metric_label(&labels, "code", code);
    metric_label(&labels, "method", method);
    metric_label(&labels, "host", c->host);
    metric_add(
        metric_counter(c->names->requests, "Requests to the API server, by status.", labels.p), 1);
    strbuf_done(&labels);
    observe_ms(c, c->names->duration, "Time until the head of the API server's reply.", method,
               took_ns);
}

static void observe_wait(const struct api_client *c, const char *method, int64_t ns)
{
    if (c->names)
        observe_ms(c, c->names->limiter, "Time that requests to the API server were held back.",
                   method, ns);
}

/* ---- the rate ---- */

/* 0: a request may go; else how long until one may, in ms. */
static uint64_t take_turn(struct api_client *c)
{
    int64_t now = clock_ns();
    if (c->qps <= 0)
        return 0;
    c->tokens = MIN(c->burst, c->tokens + (double)(now - c->filled_ns) / 1e9 * c->qps);
    c->filled_ns = now;
    if (c->tokens < 1)
        return (uint64_t)((1 - c->tokens) / c->qps * 1000) + 1;
    c->tokens--;
    return 0;
}

void api_client_limit(struct api_client *c, double qps, double burst)
{
    c->qps = qps;
    c->burst = c->tokens = burst >= 1 ? burst : 1;
    c->filled_ns = clock_ns();
}

void api_client_limit_inflight(struct api_client *c, unsigned max)
{
    c->inflight_max = max;
}

/* ---- requests that wait for their turn, or for credentials ---- */

static bool is_https(const struct api_client *c)
{
    return str_starts(c->server, "https://");
}

static void pump(struct api_client *c);

static void on_timer(uv_timer_t *t)
{
    pump(t->data);
}

static void on_identity(void *ctx)
{
    pump(ctx);
}

static void on_observed(void *ctx, const char *method, long status, int64_t took_ns)
{
    struct api_client *c = ctx;
    if (status == HTTP_UNAUTHORIZED) /* what we know of our identity is to be read again */
        identity_refused(c->identity);
    if (c->names)
        count(c, method, status, took_ns);
    if (c->inflight_max)
        pump(c);
}

/* Whether a request may go now; if not, pump() will be called again. */
static int may_go(struct api_client *c, struct err *e)
{
    int ready = identity_ready(c->identity, e);
    if (ready == 1 && c->inflight_max && http_client_in_flight(c->http) >= c->inflight_max)
        return 0;
    uint64_t ms = ready == 1 ? take_turn(c) : 0;
    if (ms)
        uv_timer_start(c->timer, on_timer, ms, 0);
    return ms ? 0 : ready;
}

static void pump(struct api_client *c)
{
    struct http_call *call;
    struct err e;
    int may = 1;
    while (may == 1 && (call = http_client_held(c->http)) && (may = may_go(c, &e)) == 1) {
        struct http_request r = { 0 };
        identity_fill(c->identity, is_https(c), &r);
        observe_wait(c, http_call_method(call), http_call_age_ns(call));
        http_call_release(call, &r);
    }
    while (may < 0 && (call = http_client_held(c->http)))
        http_call_refuse(call, may, e.text);
}

void api_client_unreached(struct api_client *c)
{
    identity_look_again(c->identity);
}

int api_client_send(struct api_client *c, const struct api_request *r, struct http_call **ret,
                    struct err *e)
{
    struct strbuf url = { 0 }, accept = { 0 }, type = { 0 };
    const char *headers[3];
    size_t n = 0;
    strbuf_printf(&url, "%s%s", c->server, r->path);
    strbuf_printf(&accept, "Accept: %s", r->accept ? r->accept : "application/json");
    headers[n++] = accept.p;
    if (r->content_type) {
        strbuf_printf(&type, "Content-Type: %s", r->content_type);
        headers[n++] = type.p;
    }
    if (c->as.len)
        headers[n++] = c->as.p;
    int may = http_client_held(c->http) ? 0 : may_go(c, e);
    struct http_request request = { .method = r->method,
                                    .url = url.p,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = r->body,
                                    .body_len = r->body_len,
                                    .total_ms = r->total_ms,
                                    .idle_ms = r->idle_ms,
                                    .proxy = c->proxy,
                                    .gzip = r->gzip,
                                    .held = may != 1,
                                    .body_max = r->body_max,
                                    .head = r->head,
                                    .chunk = r->chunk,
                                    .end = r->end,
                                    .ctx = r->ctx };
    identity_fill(c->identity, is_https(c), &request);
    int code = may < 0 ? may : http_client_send(c->http, &request, ret, e);
    if (code == 0 && may == 1)
        observe_wait(c, http_call_method(*ret), 0);
    strbuf_done(&url);
    strbuf_done(&accept);
    strbuf_done(&type);
    return code;
}

/* ---- life ---- */

/* "127.0.0.1:6443" of the server's URL. */
static char *host_of(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return xstrndup(host, strcspn(host, "/"));
}

int api_client_new(uv_loop_t *loop, const struct api_config *config, struct api_client **ret,
                   struct err *e)
{
    int code = http_url_check(config->server, e);
    if (code < 0)
        return err_wrap(e, "%s", config->origin);
    struct api_client *c = xcalloc(1, sizeof *c);
    c->server = xstrdup(config->server);
    c->proxy = config->proxy ? xstrdup(config->proxy) : NULL;
    c->host = host_of(config->server);
    if (config->as)
        strbuf_printf(&c->as, "Impersonate-User: %s", config->as);
    c->timer = xcalloc(1, sizeof *c->timer);
    uv_timer_init(loop, c->timer);
    c->timer->data = c;
    code = identity_new(loop, config, on_identity, c, &c->identity, e);
    if (code == 0)
        code = http_client_new(loop, &c->http, e);
    if (code < 0) {
        api_client_free(c);
        return code;
    }
    http_client_observe(c->http, on_observed, c);
    *ret = c;
    return 0;
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

void api_client_free(struct api_client *c)
{
    if (!c)
        return;
    http_client_free(c->http);
    identity_free(c->identity);
    uv_close((uv_handle_t *)c->timer, timer_closed);
    strbuf_done(&c->as);
    free(c->server);
    free(c->proxy);
    free(c->host);
    free(c);
}

const char *api_client_server(const struct api_client *c)
{
    return c->server;
}

/* ---- what the server says ---- */

bool api_is_away(const struct http_result *r)
{
    return r->error || r->status == HTTP_UNAUTHORIZED || r->status == HTTP_TOO_MANY ||
           r->status > HTTP_INTERNAL;
}

static const struct tree *proto_reply(const char *body, size_t len, const char *kind,
                                      struct arena *a)
{
    struct proto_object o;
    const struct tree *t;
    if (proto_unwrap(body, len, a, &o, NULL) < 0)
        return NULL;
    const struct proto_message *m = proto_message_find(str_eq(o.kind, "Status") ? "Status" : kind);
    return proto_tree(m, 0, o.raw, o.len, a, &t, NULL) == 0 ? t : NULL;
}

const struct tree *api_reply_tree(const char *body, size_t len, const char *kind, struct arena *a)
{
    struct tree_doc doc;
    if (body && len >= 4 && memcmp(body, "k8s", 4) == 0)
        return proto_reply(body, len, kind, a);
    return body && len && *body == '{' && tree_parse(body, len, "reply", a, &doc, NULL) == 0 &&
                   doc.n
               ? doc.documents[0]
               : NULL;
}

const char *api_status_text(const struct http_result *r, const char *body, size_t len,
                            char text[API_STATUS_TEXT])
{
    struct arena a;
    arena_init(&a, 4096);
    const struct tree *t = api_reply_tree(body, len, "Status", &a);
    const char *reason = tree_str(t, "reason"), *message = tree_str(t, "message");
    if (r->error && !r->status)
        (void)snprintf(text, API_STATUS_TEXT, "%s", r->text ? r->text : err_str(r->error));
    else if (r->error)
        (void)snprintf(text, API_STATUS_TEXT, "the reply broke off: %s",
                       r->text ? r->text : err_str(r->error));
    else
        (void)snprintf(text, API_STATUS_TEXT, "the server says %ld %s%s%s", r->status,
                       reason ? reason : "", message ? ": " : "", message ? message : "");
    arena_done(&a);
    return text;
}
