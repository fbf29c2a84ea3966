#include "registry/serve.h"

#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "registry/call.h"
#include "registry/discovery.h"
#include "registry/gzip.h"
#include "registry/openapi.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/review.h"
#include "registry/server.h"
#include "registry/table.h"

#include <string.h>

#define HEADERS_MAX   12
#define WARNING_BYTES 2048 /* of all warnings of an answer together */

/* ---- answering ---- */

struct call *call_inside(struct registry *r)
{
    struct call *c = xcalloc(1, sizeof *c);
    c->registry = r;
    arena_init(&c->arena, 4096);
    return c;
}

void call_free(struct call *c)
{
    if (c->server)
        c->server->n_waiting--;
    strbuf_done(&c->body);
    fault_done(&c->fault);
    json_decref(c->warnings);
    json_decref(c->managers);
    arena_done(&c->arena);
    free(c);
}

const char *call_header(const struct call *c, const char *name)
{
    if (c->exchange)
        return exchange_header(c->exchange, name);
    return strcmp(name, "content-type") == 0 ? c->given_type : NULL;
}

/* 299 is the code of a warning that nobody keeps (RFC 7234 5.5). */
static char *warning_text(struct call *c, const char *text)
{
    struct strbuf b = { 0 };
    strbuf_puts(&b, "299 - \"");
    for (; *text; text++)
        if ((unsigned char)*text >= 0x20)
            strbuf_printf(&b, strchr("\"\\", *text) ? "\\%c" : "%c", *text);
    strbuf_putc(&b, '"');
    char *copy = arena_strdup(&c->arena, b.p);
    strbuf_done(&b);
    return copy;
}

static size_t make_headers(struct call *c, struct exchange_header h[HEADERS_MAX])
{
    size_t n = 0, bytes = 0;
    h[n++] = (struct exchange_header){ "Content-Type", c->content_type };
    h[n++] = (struct exchange_header){ "Cache-Control", "no-cache, private" };
    if (c->packed) {
        h[n++] = (struct exchange_header){ "Content-Encoding", "gzip" };
        h[n++] = (struct exchange_header){ "Vary", "Accept-Encoding" };
    }
    if (c->status == 401)
        h[n++] = (struct exchange_header){ "WWW-Authenticate", "Bearer" };
    if (c->fault.retry_after)
        h[n++] = (struct exchange_header){ "Retry-After", "1" };
    for (size_t i = 0; i < json_array_size(c->warnings) && n < HEADERS_MAX; i++) {
        const char *text = json_string_value(json_array_get(c->warnings, i));
        bytes += strlen(text);
        if (bytes <= WARNING_BYTES)
            h[n++] = (struct exchange_header){ "Warning", warning_text(c, text) };
    }
    return n;
}

/* What was written is on the disk now. */
static void on_durable(void *ctx)
{
    struct call *c = ctx;
    struct exchange_header headers[HEADERS_MAX];
    struct exchange *x = c->exchange;
    if (x) {
        exchange_on_gone(x, NULL, NULL);
        exchange_reply(x, c->status, headers, make_headers(c, headers), c->body.p, c->body.len);
    }
    call_free(c);
}

static void on_gone(void *ctx)
{
    struct call *c = ctx;
    c->exchange = NULL;
}

static void answer(struct call *c, int status, const char *content_type)
{
    c->status = status;
    c->content_type = content_type;
    if (c->request.resource && c->body.len > GZIP_ANSWER_MIN &&
        gzip_is_accepted(call_header(c, "accept-encoding")))
        c->packed = gzip_pack(&c->body);
    if (c->exchange)
        exchange_on_gone(c->exchange, on_gone, c);
    registry_wait(c->registry, on_durable, c);
}

void call_answer_text(struct call *c, int status, const char *content_type, struct strbuf *body)
{
    c->body = *body;
    *body = (struct strbuf){ 0 };
    answer(c, status, content_type);
}

static bool is_object(const struct call *c, const json_t *doc)
{
    const char *kind = path_text(doc, "kind");
    return c->request.resource && kind && strcmp(kind, c->request.resource->kind) == 0;
}

void call_answer(struct call *c, int status, json_t *doc)
{
    json_t *shown = json_incref(doc);
    if (c->wish.view == VIEW_TABLE && is_object(c, doc)) {
        json_decref(shown);
        shown = table_new(c->request.resource, &c->wish);
        path_set_text(shown, "metadata.resourceVersion",
                      path_text(doc, "metadata.resourceVersion"));
        table_add(shown, c->request.resource, doc, INCLUDE_METADATA);
    } else if (c->wish.view == VIEW_METADATA && is_object(c, doc)) {
        json_decref(shown);
        shown = partial_metadata(doc, &c->wish);
    }
    wish_put(&c->wish, shown, &c->body);
    json_decref(shown);
    json_decref(doc);
    answer(c, status, wish_type(&c->wish));
}

void call_answer_item(struct call *c, int status, struct item *i)
{
    if (c->made)
        *c->made = item_ref(i);
    if (c->wish.view != VIEW_OBJECT || c->wish.form != FORM_JSON) {
        call_answer(c, status, item_doc(i));
        return;
    }
    strbuf_add(&c->body, i->text, i->len);
    answer(c, status, "application/json");
}

void call_fail(struct call *c)
{
    struct fault none = { 0 }; /* it may be too early for the wish to be known */
    (void)wish_read(call_header(c, "accept"), &c->wish, &none);
    fault_done(&none);
    c->wish.view = VIEW_OBJECT;
    call_answer(c, c->fault.code, fault_status(&c->fault));
}

void call_warn(struct call *c, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (!c->warnings)
        c->warnings = json_array();
    if (text)
        json_array_append_new(c->warnings, json_string(text));
    free(text);
}

struct exchange *call_detach(struct call *c)
{
    struct exchange *x = c->exchange;
    call_free(c);
    return x;
}

/* ---- who asks for what ---- */

/* What is of the original's API and not of ours is refused by its name. */
static int not_here(struct call *c)
{
    const struct request *q = &c->request;
    unsigned at = *q->group ? 3 : 2;
    if (q->resource)
        return fault_set(
            &c->fault, 404, "NotFound",
            "the server could not find the requested resource (%s/%s is not offered by "
            "signpost registry)",
            q->resource->name, q->sub);
    if (!*q->version || q->n_parts <= at)
        return fault_set(&c->fault, 404, "NotFound",
                         "the server could not find the requested resource");
    if (q->n_parts > at + 2 && strcmp(q->parts[at], "namespaces") == 0)
        at += 2;
    return fault_set(&c->fault, 404, "NotFound",
                     "the server could not find the requested resource (%s of %s%s%s are not "
                     "offered by signpost registry)",
                     q->parts[at], q->group, *q->group ? "/" : "", q->version);
}

static bool is_open(const struct request *q)
{
    static const char *const open[] = { "healthz", "livez", "readyz", "version" };
    for (size_t i = 0; i < ARRAY_SIZE(open); i++)
        if (q->n_parts >= 1 && strcmp(q->parts[0], open[i]) == 0)
            return true;
    return false;
}

static bool reads(const struct request *q)
{
    return strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
}

static int check_access(struct call *c)
{
    struct tls_subject subject;
    struct server *s = c->server;
    if (!s->o.access || is_open(&c->request))
        return 0;
    bool shown = exchange_subject(c->exchange, &subject);
    c->user = access_user(s->o.access, call_header(c, "authorization"), shown ? &subject : NULL);
    if (!c->user)
        return fault_set(&c->fault, 401, "Unauthorized", "Unauthorized");
    if (c->user->admin || reads(&c->request) || review_is(&c->request))
        return 0;
    if (!c->request.resource)
        return fault_set(&c->fault, 403, "Forbidden", "User \"%s\" may only read: %s \"%s\"",
                         c->user->name, c->request.method, c->request.path);
    char why[512];
    (void)snprintf(why, sizeof why, "User \"%.200s\" may only read: it is not in the group \"%s\"",
                   c->user->name, ACCESS_ADMIN);
    return fault_forbidden(&c->fault, c->request.resource, c->request.name, why);
}

static int route_collection(struct call *c)
{
    const char *m = c->request.method;
    if (reads(&c->request))
        return request_is(&c->request, "watch") ? watch_begin(c) : rest_list(c);
    if (strcmp(m, "POST") == 0 && (*c->request.namespace || !c->request.resource->namespaced))
        return rest_create(c);
    if (strcmp(m, "DELETE") == 0)
        return rest_delete_collection(c);
    return fault_method(&c->fault);
}

static int route_object(struct call *c)
{
    const char *m = c->request.method;
    if (*c->request.sub &&
        (!c->request.resource->has_status || strcmp(c->request.sub, "status") != 0))
        return not_here(c);
    if (reads(&c->request))
        return request_is(&c->request, "watch") ? watch_begin(c) : rest_get(c);
    if (strcmp(m, "PUT") == 0)
        return rest_update(c);
    if (strcmp(m, "PATCH") == 0)
        return rest_patch(c);
    return strcmp(m, "DELETE") == 0 ? rest_delete(c) : fault_method(&c->fault);
}

static unsigned verb_of(const struct request *q)
{
    bool one = *q->name;
    if (reads(q))
        return one ? VERB_GET : VERB_LIST;
    if (strcmp(q->method, "POST") == 0)
        return VERB_CREATE;
    if (strcmp(q->method, "PUT") == 0)
        return VERB_UPDATE;
    if (strcmp(q->method, "PATCH") == 0)
        return VERB_PATCH;
    if (strcmp(q->method, "DELETE") == 0)
        return one ? VERB_DELETE : VERB_DELETE_COLLECTION;
    return 0;
}

static int route_page(struct call *c)
{
    static const char *const pages[] = { "healthz", "livez", "readyz" };
    struct strbuf b = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
        if (c->request.n_parts >= 1 && strcmp(c->request.parts[0], pages[i]) == 0) {
            strbuf_puts(&b, "ok");
            call_answer_text(c, 200, "text/plain; charset=utf-8", &b);
            return 0;
        }
    if (c->request.n_parts == 1 && strcmp(c->request.parts[0], "metrics") == 0) {
        metric_print(&b);
        call_answer_text(c, 200, "text/plain; version=0.0.4", &b);
        return 0;
    }
    return not_here(c);
}

int call_route(struct call *c)
{
    struct request *q = &c->request;
    if (!q->resource) {
        if (reads(q) && (discovery_answer(c) || openapi_answer(c)))
            return 0;
        if (review_is(q))
            return review_answer(c);
        return route_page(c);
    }
    if (wish_read(call_header(c, "accept"), &c->wish, &c->fault) < 0)
        return -1;
    if (q->resource->warning && c->exchange)
        call_warn(c, "%s", q->resource->warning);
    if (!(q->resource->verbs & verb_of(q)))
        return fault_method(&c->fault);
    return *q->name ? route_object(c) : route_collection(c);
}

static void on_request(void *ctx, struct exchange *x)
{
    struct server *s = ctx;
    struct call *c = call_inside(s->o.registry);
    c->server = s;
    c->exchange = x;
    c->given = exchange_body(x, &c->given_len);
    s->asked++;
    int r = 0;
    if (s->n_waiting++ >= SERVE_IN_FLIGHT_MAX) {
        c->fault.retry_after = 1;
        r = fault_set(&c->fault, 429, "TooManyRequests", "more than %d requests are under way",
                      SERVE_IN_FLIGHT_MAX);
    }
    if (r == 0)
        r = request_read(exchange_method(x), exchange_target(x), &c->arena, &c->request, &c->fault);
    if (r == 0)
        r = check_access(c);
    if (r == 0)
        r = call_route(c);
    if (r < 0)
        call_fail(c); /* else it is answered and gone already, or waits */
}

/* ---- life ---- */

static double read_watches(void *ctx)
{
    const struct server *s = ctx;
    return s->n_watches;
}

int server_open(const struct serve_options *o, struct server **ret, struct err *e)
{
    struct server *s = xcalloc(1, sizeof *s);
    s->o = *o;
    int r = exchange_server_open(&(struct exchange_options){ .loop = o->loop,
                                                             .ip = o->ip,
                                                             .port = o->port,
                                                             .tls = o->tls,
                                                             .body_max = BODY_BYTES_MAX,
                                                             .handle = on_request,
                                                             .ctx = s },
                                 &s->http, e);
    if (r < 0) {
        free(s);
        return r;
    }
    metric_gauge("signpost_registry_watches", "Watches under way, 1000 at most.", "", read_watches,
                 s);
    *ret = s;
    return 0;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    watches_close(s);
    metric_gauge_drop(s);
    exchange_server_close(s->http);
    watches_forget(s);
    free(s);
}

uint16_t server_port(const struct server *s)
{
    return exchange_server_port(s->http);
}
