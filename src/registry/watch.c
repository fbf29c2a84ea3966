/* Watches: what happens to the objects that a filter picks, as a stream of JSON lines, or of frames
 * in protocol buffers. An object that begins or ceases to match is told of as added or deleted. */
#include "base/clock.h"
#include "base/metric.h"
#include "base/rand.h"
#include "base/str.h"
#include "registry/path.h"
#include "registry/proto_answer.h"
#include "registry/rest.h"
#include "registry/server.h"
#include "registry/table.h"

#include <string.h>

#define BOOKMARK_MS       60000
#define SHARED_KEPT       (1 << 18) /* bytes of an event that is kept in memory for its text */
#define WATCH_TIMEOUT_MIN 1800      /* seconds, as the original: between this and twice as long */

struct watch {
    struct server *server;
    struct exchange *exchange;
    struct registry_listener listener;
    struct arena arena; /* the filter's texts */
    const struct resource *resource;
    struct filter filter;
    struct wish wish;
    enum include include;
    uv_timer_t end, bookmark;
    unsigned handles;
    int64_t revision; /* told so far */
    bool bookmarks, header_sent, over;
    struct watch *prev, *next;
};

/* ---- lines and frames ---- */

static const char *const type_names[EVENT_TYPES] = { "ADDED", "MODIFIED", "DELETED" };

/* One that takes nothing had better list anew. */
static bool may_send(struct watch *w)
{
    bool may = exchange_unsent(w->exchange) <= EXCHANGE_UNSENT_MAX;
    if (!may)
        exchange_abort(w->exchange);
    return may;
}

/* The object is in that form already. */
static void put_event(unsigned form, const char *type, const char *object, size_t len,
                      struct strbuf *out)
{
    if (form == EVENT_PROTO) {
        proto_event_put(type, object, len, out);
        return;
    }
    strbuf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    strbuf_add(out, object, len);
    strbuf_puts(out, "}\n");
}

static unsigned form_of(const struct watch *w)
{
    return w->wish.form == FORM_PROTO ? EVENT_PROTO : EVENT_JSON;
}

/* An event; the object is in the watch's form, and done with. */
static void send_event(struct watch *w, const char *type, struct strbuf *object)
{
    struct strbuf b = { 0 };
    put_event(form_of(w), type, object->p, object->len, &b);
    strbuf_done(object);
    if (may_send(w))
        exchange_piece(w->exchange, b.p, b.len);
    strbuf_done(&b);
}

static void put_frame(unsigned form, const char *type, const struct item *i, struct strbuf *out)
{
    struct strbuf object = { 0 }, event = { 0 };
    if (form == EVENT_PROTO) {
        json_t *doc = item_doc(i);
        (void)proto_document_put(doc, &object);
        json_decref(doc);
        put_event(form, type, object.p, object.len, &event);
    } else {
        put_event(form, type, i->text, i->len, &event);
    }
    exchange_frame(event.p, event.len, out);
    strbuf_done(&object);
    strbuf_done(&event);
}

static void shared_drop(struct shared_event *e)
{
    item_unref(e->item);
    e->item = NULL;
    if (e->frame.len > SHARED_KEPT)
        strbuf_done(&e->frame);
    else
        strbuf_reset(&e->frame);
}

void watches_forget(struct server *s)
{
    for (unsigned f = 0; f < EVENT_FORMS; f++)
        for (unsigned t = 0; t < EVENT_TYPES; t++) {
            shared_drop(&s->shared[f][t]);
            strbuf_done(&s->shared[f][t].frame);
        }
}

/* Whole objects, as most watches want them: put into their form once for all. */
static void send_shared(struct watch *w, unsigned type, struct item *i)
{
    unsigned form = form_of(w);
    struct shared_event *e = &w->server->shared[form][type];
    if (e->item != i) {
        shared_drop(e);
        e->item = item_ref(i);
        put_frame(form, type_names[type], i, &e->frame);
    }
    if (may_send(w))
        exchange_send_frame(w->exchange, &e->frame);
}

/* A document (taken over) in the form and view that were wished for. */
static void put_document(struct watch *w, json_t *doc, struct strbuf *out)
{
    json_t *made;
    if (w->wish.view == VIEW_OBJECT) {
        made = json_incref(doc);
    } else if (w->wish.view == VIEW_TABLE) {
        made = table_new(w->resource, &w->wish);
        if (w->header_sent)
            json_object_set_new(made, "columnDefinitions", json_null());
        w->header_sent = true;
        path_set_text(made, "metadata.resourceVersion", path_text(doc, "metadata.resourceVersion"));
        table_add(made, w->resource, doc, w->include);
    } else {
        made = partial_metadata(doc, &w->wish);
    }
    wish_put(&w->wish, made, out);
    json_decref(made);
    json_decref(doc);
}

static void send_item(struct watch *w, unsigned type, struct item *i)
{
    struct strbuf object = { 0 };
    if (w->wish.view == VIEW_OBJECT) {
        send_shared(w, type, i);
        return;
    }
    put_document(w, item_doc(i), &object);
    send_event(w, type_names[type], &object);
}

static void send_bookmark(struct watch *w, bool initial)
{
    struct strbuf object = { 0 };
    char version[24];
    (void)snprintf(version, sizeof version, "%lld", (long long)w->revision);
    json_t *meta = json_pack("{s:s}", "resourceVersion", version);
    if (initial)
        json_object_set_new(meta, "annotations",
                            json_pack("{s:s}", "k8s.io/initial-events-end", "true"));
    put_document(w,
                 json_pack("{s:s, s:s, s:o}", "kind", w->resource->kind, "apiVersion",
                           resource_api_version(w->resource), "metadata", meta),
                 &object);
    send_event(w, "BOOKMARK", &object);
}

/* ---- events ---- */

static void on_event(void *ctx, const struct history_event *e)
{
    struct watch *w = ctx;
    const struct item *any = e->now ? e->now : e->before;
    if (w->over || e->revision <= w->revision)
        return;
    w->revision = e->revision;
    if (any->resource != w->resource)
        return;
    bool before = e->before && filter_match(&w->filter, e->before);
    bool now = e->now && filter_match(&w->filter, e->now);
    if (now)
        send_item(w, before ? EVENT_MODIFIED : EVENT_ADDED, e->now);
    else if (before)
        send_item(w, EVENT_DELETED, e->now ? e->now : e->last);
}

static void on_many(void *ctx, bool begin)
{
    struct watch *w = ctx;
    if (!w->over && begin)
        exchange_cork(w->exchange);
    else if (!w->over)
        exchange_uncork(w->exchange);
}

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    if (--w->handles)
        return;
    arena_done(&w->arena);
    free(w);
}

static void watch_free(struct watch *w)
{
    w->over = true;
    registry_unlisten(w->server->o.registry, &w->listener);
    if (w->prev)
        w->prev->next = w->next;
    else
        w->server->watches = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->server->n_watches--;
    uv_close((uv_handle_t *)&w->end, on_closed);
    uv_close((uv_handle_t *)&w->bookmark, on_closed);
}

static void on_gone(void *ctx)
{
    watch_free(ctx);
}

static void on_end(uv_timer_t *t)
{
    struct watch *w = t->data;
    struct exchange *x = w->exchange;
    exchange_on_gone(x, NULL, NULL);
    watch_free(w);
    exchange_end(x);
}

static void on_bookmark(uv_timer_t *t)
{
    struct watch *w = t->data;
    if (w->bookmarks)
        send_bookmark(w, false);
}

void watches_close(struct server *s)
{
    while (s->watches)
        on_end(&s->watches->end); /* as if its time were over: clients come again */
}

/* ---- the beginning ---- */

struct start {
    int64_t version;     /* -1: none was given */
    int64_t timeout;     /* seconds */
    bool initial, state; /* sendInitialEvents; the present state comes first */
};

static int read_start(struct call *c, struct start *ret)
{
    const char *version = request_get(&c->request, "resourceVersion");
    const char *match = request_get(&c->request, "resourceVersionMatch");
    if (rest_check_version(version, "resourceVersion", &ret->version, &c->fault) < 0 ||
        request_number(&c->request, "timeoutSeconds", 0, &ret->timeout, &c->fault) < 0)
        return -1;
    ret->initial = request_is(&c->request, "sendInitialEvents");
    if (ret->initial && !str_eq(match, "NotOlderThan"))
        return fault_set(&c->fault, 422, "Invalid",
                         " \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents "
                         "requires setting resourceVersionMatch to NotOlderThan");
    bool never = request_get(&c->request, "sendInitialEvents") && !ret->initial;
    ret->state = ret->initial || (ret->version <= 0 && !never);
    if (ret->timeout <= 0)
        ret->timeout = WATCH_TIMEOUT_MIN + (int64_t)(rand_seed() % WATCH_TIMEOUT_MIN);
    return 0;
}

/* Where the history no longer reaches, or not yet: told in the stream, as the original does. */
static void refuse(struct watch *w, int code, const char *reason, int64_t asked)
{
    struct fault f = { 0 };
    const struct history *h = registry_history(w->server->o.registry);
    if (code == 410)
        fault_gone(&f, reason, "too old resource version: %lld (%lld)", (long long)asked,
                   (long long)h->gone);
    else
        fault_set(&f, code, reason, "Too large resource version: %lld, current: %lld",
                  (long long)asked, (long long)registry_revision(w->server->o.registry));
    json_t *status = fault_status(&f);
    struct strbuf object = { 0 };
    wish_put(&w->wish, status, &object);
    json_decref(status);
    send_event(w, "ERROR", &object);
    fault_done(&f);
    if (!w->over)
        on_end(&w->end);
}

static void send_state(struct watch *w)
{
    struct item_list l;
    registry_list(w->server->o.registry, w->resource, w->filter.namespace, &l);
    for (size_t n = 0; n < l.n && !w->over; n++)
        if (filter_match(&w->filter, l.items[n]))
            send_item(w, EVENT_ADDED, l.items[n]);
    item_list_done(&l);
    w->revision = registry_revision(w->server->o.registry);
}

static void send_history(struct watch *w, int64_t version)
{
    const struct history *h = registry_history(w->server->o.registry);
    w->revision = version;
    for (size_t n = history_after(h, version); n < h->n && !w->over; n++)
        on_event(w, history_at(h, n));
}

static void send_beginning(struct watch *w, const struct start *s)
{
    struct exchange *x = w->exchange; /* it outlives the watch, for as long as this takes */
    exchange_cork(x);
    if (s->state)
        send_state(w);
    else if (s->version > 0)
        send_history(w, s->version);
    else
        w->revision = registry_revision(w->server->o.registry);
    if (!w->over && s->initial && w->bookmarks)
        send_bookmark(w, true);
    exchange_uncork(x);
}

static struct watch *watch_new(struct call *c, const struct start *s)
{
    struct server *server = c->server;
    struct watch *w = xcalloc(1, sizeof *w);
    const char *include = request_get(&c->request, "includeObject");
    (void)filter_read(c, &w->filter); /* it was read before: cannot fail */
    w->server = server;
    w->resource = c->request.resource;
    w->wish = c->wish;
    w->include = str_eq(include, "None")     ? INCLUDE_NONE
                 : str_eq(include, "Object") ? INCLUDE_OBJECT
                                             : INCLUDE_METADATA;
    w->bookmarks = request_is(&c->request, "allowWatchBookmarks");
    w->listener = (struct registry_listener){ .event = on_event, .ctx = w, .many = on_many };
    uv_timer_init(server->o.loop, &w->end);
    uv_timer_init(server->o.loop, &w->bookmark);
    w->end.data = w->bookmark.data = w;
    w->handles = 2;
    uv_timer_start(&w->end, on_end, (uint64_t)s->timeout * 1000, 0);
    uv_timer_start(&w->bookmark, on_bookmark, BOOKMARK_MS, BOOKMARK_MS);
    w->next = server->watches;
    if (w->next)
        w->next->prev = w;
    server->watches = w;
    server->n_watches++;
    w->arena = c->arena; /* with the request's texts, which the filter points to */
    arena_init(&c->arena, 256);
    w->exchange = call_detach(c);
    exchange_on_gone(w->exchange, on_gone, w);
    return w;
}

int watch_begin(struct call *c)
{
    struct filter probe;
    struct start s;
    if (filter_read(c, &probe) < 0 || read_start(c, &s) < 0)
        return -1;
    if (c->wish.form == FORM_YAML || !c->exchange)
        return fault_set(&c->fault, 406, "NotAcceptable",
                         "only the following media types are accepted: application/json, "
                         "application/json;stream=watch, " PROTO_MEDIA ";stream=watch");
    if (c->server->n_watches >= SERVE_WATCHES_MAX) {
        c->fault.retry_after = 1;
        return fault_set(&c->fault, 429, "TooManyRequests", "more than %d watches are under way",
                         SERVE_WATCHES_MAX);
    }
    struct watch *w = watch_new(c, &s);
    registry_commit(w->server->o.registry);
    const struct history *h = registry_history(w->server->o.registry);
    const char *type =
        w->wish.form == FORM_PROTO ? PROTO_MEDIA ";stream=watch" : wish_type(&w->wish);
    const struct exchange_header headers[] = { { "Content-Type", type },
                                               { "Cache-Control", "no-cache, private" } };
    exchange_begin(w->exchange, 200, headers, ARRAY_SIZE(headers));
    if (!w->over && s.version > registry_revision(w->server->o.registry))
        refuse(w, 504, "Timeout", s.version);
    else if (!w->over && !s.state && s.version > 0 && s.version < h->gone)
        refuse(w, 410, "Expired", s.version);
    else if (!w->over) {
        registry_listen(w->server->o.registry, &w->listener);
        send_beginning(w, &s);
    }
    return 0;
}
