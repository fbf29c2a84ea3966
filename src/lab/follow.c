#include "lab/follow.h"

#include "base/ht.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "lab/manifest.h"
#include "source/api_client.h"

#include <string.h>

#define AGAIN_MS   100 /* until a watch that ended begins again */
#define REPLY_MAX  (1 << 20)
#define REQUEST_MS 5000
#define QUERY                                                                                      \
    "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true"                                  \
    "&resourceVersionMatch=NotOlderThan"
#define END_OF_STATE "k8s.io/initial-events-end"

static const struct {
    const char *kind, *path;
} kinds[] = {
    { "Service", "/api/v1/services" QUERY },
    { "EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices" QUERY },
    { "Pod", "/api/v1/pods" QUERY },
};

struct stream {
    struct follower *follower;
    const char *kind, *path;
    struct http_call *call; /* NULL: none is under way */
    struct strbuf line;     /* the event that has begun to come */
    struct ht known;        /* "NAMESPACE/NAME" -> the round in which it was last told of */
    uintptr_t round;
};

struct follower {
    struct api_client *client;
    const struct follow_calls *calls;
    uv_timer_t again;
    char uid[64]; /* of a namespace that every server has: tells them apart */
    struct stream streams[ARRAY_SIZE(kinds)];
};

/* ---- events ---- */

static const char *text_or_empty(json_t *object, const char *path)
{
    const char *text = json_text(object, path);
    return text ? text : "";
}

/* For the caller to free. */
static char *key_of(json_t *object)
{
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%s/%s", text_or_empty(object, "metadata.namespace"),
                  text_or_empty(object, "metadata.name"));
    return strbuf_steal(&b);
}

static void know(struct stream *s, json_t *object)
{
    cleanup_free char *key = key_of(object);
    ht_put_str(&s->known, key, (void *)s->round);
}

static void forget(struct stream *s, const char *key)
{
    char namespace[256];
    const char *slash = strchr(key, '/');
    (void)snprintf(namespace, sizeof namespace, "%.*s", (int)(slash - key), key);
    ht_del_str(&s->known, key);
    s->follower->calls->gone(s->follower->calls->ctx, s->kind, namespace, slash + 1);
}

/* What went while nobody watched. */
static void sweep(struct stream *s)
{
    VEC(char *) old = { 0 };
    ht_each (e, &s->known)
        if (e->value != (void *)s->round)
            vec_push(&old, xstrdup(e->key));
    vec_each (key, &old) {
        forget(s, *key);
        free(*key);
    }
    vec_done(&old);
}

static void take_deletion(struct stream *s, json_t *object)
{
    cleanup_free char *key = key_of(object);
    forget(s, key);
}

static bool ends_state(json_t *object)
{
    json_t *notes = json_at(object, "metadata.annotations");
    return json_object_get(notes, END_OF_STATE) != NULL;
}

static void take_event(struct stream *s, const char *line, size_t len)
{
    json_t *event = json_loadb(line, len, 0, NULL), *object = json_object_get(event, "object");
    const char *type = text_or_empty(event, "type");
    if (str_eq(type, "ADDED") || str_eq(type, "MODIFIED")) {
        know(s, object);
        s->follower->calls->there(s->follower->calls->ctx, s->kind, object);
    } else if (str_eq(type, "DELETED")) {
        take_deletion(s, object);
    } else if (str_eq(type, "BOOKMARK") && ends_state(object)) {
        sweep(s);
    }
    json_decref(event);
}

/* ---- requests ---- */

static void later(struct follower *f);

static int on_chunk(void *ctx, long status, const char *p, size_t n)
{
    struct stream *s = ctx;
    if (status != 200)
        return 0;
    for (const char *end; (end = memchr(p, '\n', n)); n -= (size_t)(end + 1 - p), p = end + 1) {
        strbuf_add(&s->line, p, (size_t)(end - p));
        take_event(s, s->line.p, s->line.len);
        strbuf_reset(&s->line);
    }
    strbuf_add(&s->line, p, n);
    return s->line.len > FOLLOW_LINE_MAX;
}

static void on_stream_end(void *ctx, const struct http_result *r)
{
    struct stream *s = ctx;
    (void)r;
    s->call = NULL;
    strbuf_reset(&s->line);
    later(s->follower);
}

static void watch(struct stream *s)
{
    const struct api_request r = {
        .path = s->path, .chunk = on_chunk, .end = on_stream_end, .ctx = s
    };
    struct err e;
    if (s->call)
        return;
    s->round++;
    if (api_client_send(s->follower->client, &r, &s->call, &e) < 0) {
        log_warning("watch the lab's API: %s", e.text);
        later(s->follower);
    }
}

static void on_identity(void *ctx, const struct http_result *r)
{
    struct follower *f = ctx;
    json_t *json = r->status == 200 ? json_loadb(r->body, r->len, 0, NULL) : NULL;
    const char *uid = json_text(json, "metadata.uid");
    if (!uid) {
        json_decref(json);
        later(f);
        return;
    }
    bool other = *f->uid && !str_eq(f->uid, uid);
    (void)snprintf(f->uid, sizeof f->uid, "%s", uid);
    json_decref(json);
    if (other)
        f->calls->replaced(f->calls->ctx);
    for (size_t i = 0; i < ARRAY_SIZE(f->streams); i++)
        watch(&f->streams[i]);
}

static void on_again(uv_timer_t *t)
{
    struct follower *f = t->data;
    const struct api_request r = { .path = "/api/v1/namespaces/kube-system",
                                   .total_ms = REQUEST_MS,
                                   .body_max = REPLY_MAX,
                                   .end = on_identity,
                                   .ctx = f };
    struct http_call *call;
    struct err e;
    if (api_client_send(f->client, &r, &call, &e) < 0)
        later(f);
}

static void later(struct follower *f)
{
    uv_timer_start(&f->again, on_again, AGAIN_MS, 0);
}

int follower_new(uv_loop_t *loop, const struct api_config *api, const struct follow_calls *calls,
                 struct follower **ret, struct err *e)
{
    struct follower *f = xcalloc(1, sizeof *f);
    int code = api_client_new(loop, api, &f->client, e);
    if (code < 0) {
        free(f);
        return code;
    }
    f->calls = calls;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        f->streams[i] =
            (struct stream){ .follower = f, .kind = kinds[i].kind, .path = kinds[i].path };
    uv_timer_init(loop, &f->again);
    f->again.data = f;
    uv_timer_start(&f->again, on_again, 0, 0);
    *ret = f;
    return 0;
}
