#include "cmd/event_writer.h"

#include "base/clock.h"
#include "base/ht.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/rand.h"
#include "base/vec.h"
#include "kube/encode.h"
#include "kube/timestamp.h"
#include "registry/inside.h"

#include <inttypes.h>
#include <string.h>

#define WRITE_MS  10000
#define REPLY_MAX (1 << 20)

/* One object and reason. */
struct subject {
    char *key, *name; /* name: of the Event that was written last; NULL: none */
    char *message;
    int64_t first, last; /* Unix seconds */
    unsigned count;
    double tokens;
    int64_t refilled;
};

struct event_writer;

struct flight {
    struct event_writer *writer;
    struct http_call *call;
    char *key; /* of the subject */
};

struct event_writer {
    struct write_target to;
    struct ht subjects;
    VEC(struct flight *) flights;
    struct rand rand;
    metric written, dropped;
};

struct event_writer *event_writer_new(const struct write_target *to)
{
    struct event_writer *w = xcalloc(1, sizeof *w);
    w->to = *to;
    rand_init(&w->rand);
    w->written = metric_counter("signpost_events_total", "Events written.", "");
    w->dropped =
        metric_counter("signpost_events_dropped_total",
                       "Events that were not written, as there were too many or it failed.", "");
    return w;
}

static void subject_free(struct subject *s)
{
    free(s->key);
    free(s->name);
    free(s->message);
    free(s);
}

static void flight_free(struct flight *f)
{
    free(f->key);
    free(f);
}

void event_writer_free(struct event_writer *w)
{
    if (!w)
        return;
    vec_each (f, &w->flights) {
        http_call_cancel((*f)->call);
        flight_free(*f);
    }
    vec_done(&w->flights);
    ht_each (e, &w->subjects)
        subject_free(e->value);
    ht_done(&w->subjects);
    free(w);
}

/* ---- subjects ---- */

static void forget_oldest(struct event_writer *w)
{
    struct subject *oldest = NULL;
    ht_each (e, &w->subjects) {
        struct subject *s = e->value;
        if (!oldest || s->last < oldest->last)
            oldest = s;
    }
    if (oldest)
        subject_free(ht_del_str(&w->subjects, oldest->key));
}

static struct subject *subject_of(struct event_writer *w, const struct event *e, int64_t now)
{
    struct strbuf key = { 0 };
    strbuf_printf(&key, "%s %s/%s %s %s", e->kind, e->about->namespace, e->about->name,
                  e->about->uid, e->reason);
    struct subject *s = ht_get_str(&w->subjects, key.p);
    if (!s) {
        if (w->subjects.n >= EVENT_SUBJECTS_MAX)
            forget_oldest(w);
        s = xcalloc(1, sizeof *s);
        s->key = xstrdup(key.p);
        s->tokens = EVENT_BURST;
        s->refilled = now;
        ht_put_str(&w->subjects, s->key, s);
    }
    strbuf_done(&key);
    return s;
}

static bool may_write(struct subject *s, int64_t now)
{
    s->tokens += (double)(now - s->refilled) / EVENT_REFILL_S;
    s->tokens = s->tokens < EVENT_BURST ? s->tokens : EVENT_BURST;
    s->refilled = now;
    if (s->tokens < 1)
        return false;
    s->tokens -= 1;
    return true;
}

/* ---- requests ---- */

/* One that could not be raised may have been deleted; the next is made anew. text: why. */
static void ended(struct event_writer *w, const char *key, bool good, const char *text)
{
    struct subject *s = ht_get_str(&w->subjects, key);
    metric_add(good ? w->written : w->dropped, 1);
    if (good)
        return;
    log_debug("controller: an Event could not be written: %s", text);
    if (s) {
        free(s->name);
        s->name = NULL;
    }
}

static void on_end(void *ctx, const struct http_result *h)
{
    struct flight *f = ctx;
    struct event_writer *w = f->writer;
    char text[API_STATUS_TEXT];
    bool good = !h->error && h->status / 100 == 2;
    ended(w, f->key, good, good ? "" : api_status_text(h, h->body, h->len, text));
    for (size_t i = 0; i < w->flights.n; i++) {
        if (w->flights.items[i] != f)
            continue;
        vec_swap_remove(&w->flights, i);
        break;
    }
    flight_free(f);
}

static void send_over(struct event_writer *w, const struct subject *s, const char *method,
                      const char *type, const char *path, const struct strbuf *body)
{
    struct flight *f = xcalloc(1, sizeof *f);
    struct err e;
    *f = (struct flight){ .writer = w, .key = xstrdup(s->key) };
    const struct api_request request = { .method = method,
                                         .path = path,
                                         .content_type = type,
                                         .body = body->p,
                                         .body_len = body->len,
                                         .total_ms = WRITE_MS,
                                         .body_max = REPLY_MAX,
                                         .end = on_end,
                                         .ctx = f };
    if (api_client_send(w->to.client, &request, &f->call, &e) == 0) {
        vec_push(&w->flights, f);
        return;
    }
    metric_add(w->dropped, 1);
    flight_free(f);
}

static void send_write(struct event_writer *w, const struct subject *s, const char *method,
                       const char *type, struct strbuf *path, const struct strbuf *body)
{
    struct inside_reply r;
    if (!w->to.registry) {
        send_over(w, s, method, type, path->p, body);
        return;
    }
    strbuf_puts(path, INSIDE_MANAGER);
    inside_send(w->to.registry,
                &(struct inside_request){ method, path->p, type, body->p, body->len }, &r);
    ended(w, s->key, r.status / 100 == 2, r.text);
}

static void create(struct event_writer *w, struct subject *s, const struct event *e)
{
    struct strbuf path = { 0 }, body = { 0 }, name = { 0 };
    const char *ns = *e->about->namespace ? e->about->namespace : "default";
    strbuf_printf(&name, "%s.%016" PRIx64, e->about->name, rand_next(&w->rand));
    free(s->name);
    free(s->message);
    s->name = strbuf_steal(&name);
    s->message = xstrdup(e->message);
    s->first = s->last;
    s->count = 1;
    strbuf_printf(&path, "/api/v1/namespaces/%s/events", ns);
    event_encode(e, s->name, s->first, s->last, s->count, &body);
    send_write(w, s, "POST", "application/json", &path, &body);
    strbuf_done(&path);
    strbuf_done(&body);
}

static void raise_count(struct event_writer *w, struct subject *s, const struct event *e)
{
    struct strbuf path = { 0 }, body = { 0 };
    char text[TIMESTAMP_TEXT_MAX];
    const char *ns = *e->about->namespace ? e->about->namespace : "default";
    s->count++;
    strbuf_printf(&path, "/api/v1/namespaces/%s/events/%s", ns, s->name);
    strbuf_printf(&body, "{\"count\":%u,\"lastTimestamp\":\"%s\"}", s->count,
                  timestamp_text(s->last, 0, text));
    send_write(w, s, "PATCH", "application/merge-patch+json", &path, &body);
    strbuf_done(&path);
    strbuf_done(&body);
}

void event_writer_write(struct event_writer *w, const struct event *e)
{
    int64_t now = clock_unix();
    struct subject *s = subject_of(w, e, now);
    s->last = now;
    if (w->flights.n >= EVENT_FLIGHTS_MAX || !may_write(s, now)) {
        metric_add(w->dropped, 1);
        return;
    }
    if (s->name && strcmp(s->message, e->message) == 0)
        raise_count(w, s, e);
    else
        create(w, s, e);
}
