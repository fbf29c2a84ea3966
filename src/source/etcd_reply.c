#include "source/etcd_reply.h"

#include "config/tree.h"
#include "wire/radix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

/* 64-bit numbers are strings in this JSON; small ones are not. */
static int number(const struct tree *t, const char *path, int64_t *ret, struct err *e)
{
    const char *text = tree_str(t, path);
    char *end;
    if (!text)
        return 0;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return err_set(e, ERR_PARSE, "%s is no number", path);
    *ret = v;
    return 0;
}

static int bytes(const struct tree *t, const char *path, struct arena *a, const char **ret,
                 size_t *ret_len, struct err *e)
{
    const char *text = tree_str(t, path);
    size_t n = text ? strlen(text) : 0;
    struct radix_reader reader = { .r = &radix_64 };
    struct wbuf w = wbuf_of(arena_alloc(a, n / 4 * 3 + 4), n / 4 * 3 + 3);
    if (n && (!radix_read(&reader, text, n, &w) || !radix_end(&reader) || w.bad))
        return err_set(e, ERR_PARSE, "%s is not base64", path);
    w.base[w.pos] = 0;
    *ret = (const char *)w.base;
    *ret_len = w.pos;
    return 0;
}

static int read_pair(const struct tree *kv, struct arena *a, struct etcd_event *ret, struct err *e)
{
    int code = bytes(kv, "key", a, &ret->key, &ret->key_len, e);
    if (code == 0)
        code = bytes(kv, "value", a, &ret->value, &ret->value_len, e);
    if (code == 0)
        code = number(kv, "lease", &ret->lease, e);
    if (code == 0)
        code = number(kv, "mod_revision", &ret->revision, e);
    if (code == 0 && !ret->key_len)
        code = err_set(e, ERR_PARSE, "a pair has no key");
    return code;
}

static size_t children(const struct tree *t)
{
    size_t n = 0;
    for (const struct tree *c = t && t->kind == TREE_SEQUENCE ? t->child : NULL; c; c = c->next)
        n++;
    return n;
}

/* Pairs of a list, or events with a pair each. */
static int read_events(const struct tree *list, bool watch, struct arena *a, struct etcd_reply *r,
                       struct err *e)
{
    size_t n = children(list);
    struct etcd_event *events = arena_zalloc(a, n * sizeof *events);
    const struct tree *c = n ? list->child : NULL;
    for (size_t i = 0; i < n; i++, c = c->next) {
        events[i].deleted = watch && str_eq(tree_str(c, "type"), "DELETE");
        int code = read_pair(watch ? tree_get(c, "kv") : c, a, &events[i], e);
        if (code < 0)
            return code;
    }
    r->events = events;
    r->n = n;
    return 0;
}

static bool is_true(const struct tree *t, const char *path)
{
    return str_eq(tree_str(t, path), "true");
}

/* {"error": "text", "code": 11}, and in a stream {"error": {"grpc_code": 11, "message": "text"}}.
 */
static int read_error(const struct tree *t, struct etcd_reply *r, struct err *e)
{
    const struct tree *inner = tree_get(t, "error");
    int64_t code = -1;
    if (!inner)
        return 0;
    const struct tree *from = inner->kind == TREE_MAPPING ? inner : t;
    r->error = tree_str(from, "message");
    if (!r->error)
        r->error = inner->kind == TREE_SCALAR ? inner->text : "an error without words";
    int bad = number(from, tree_get(from, "grpc_code") ? "grpc_code" : "code", &code, e);
    r->code = code > 0 && code < 1000 ? (int)code : -1;
    return bad;
}

static int read_body(const struct tree *t, struct arena *a, struct etcd_reply *r, struct err *e)
{
    const char *cluster = tree_str(t, "header.cluster_id");
    const struct tree *events = tree_get(t, "events");
    r->cluster = cluster ? strtoull(cluster, NULL, 10) : 0;
    r->more = is_true(t, "more");
    r->created = is_true(t, "created");
    r->cancelled = is_true(t, "canceled");
    r->fragment = is_true(t, "fragment");
    r->reason = tree_str(t, "cancel_reason");
    r->token = tree_str(t, "token");
    int code = number(t, "header.revision", &r->revision, e);
    if (code == 0)
        code = number(t, "compact_revision", &r->compact_revision, e);
    if (code == 0)
        code = number(t, "TTL", &r->ttl, e);
    if (code == 0)
        code = number(t, "watch_id", &r->watch, e);
    return code < 0 ? code : read_events(events ? events : tree_get(t, "kvs"), events, a, r, e);
}

int etcd_reply_parse(const char *text, size_t len, struct arena *a, struct etcd_reply *ret,
                     struct err *e)
{
    struct tree_doc doc = { 0 };
    struct etcd_reply r = { 0 };
    if (!len || *text != '{')
        return err_set(e, ERR_PARSE, "the reply is no JSON object");
    int code = tree_parse(text, len, "reply", a, &doc, e);
    if (code < 0)
        return code;
    if (doc.n != 1)
        return err_set(e, ERR_PARSE, "the reply is not one JSON object");
    const struct tree *t = doc.documents[0], *result = tree_get(t, "result");
    code = read_error(t, &r, e);
    if (code == 0 && !r.error)
        code = read_body(result ? result : t, a, &r, e);
    if (code == 0)
        *ret = r;
    return code;
}

/* ---- writing ---- */

static void put_bytes(struct strbuf *out, const char *name, const char *p, size_t n)
{
    strbuf_printf(out, "\"%s\":\"", name);
    radix_put(out, &radix_64, (const uint8_t *)p, n);
    strbuf_putc(out, '"');
}

void etcd_put_range(struct strbuf *out, const char *start, size_t start_len, const char *end,
                    unsigned limit, int64_t revision)
{
    strbuf_putc(out, '{');
    put_bytes(out, "key", start, start_len);
    if (end) {
        strbuf_putc(out, ',');
        put_bytes(out, "range_end", end, strlen(end));
    }
    strbuf_printf(out, ",\"limit\":\"%u\",\"revision\":\"%lld\"}", limit, (long long)revision);
}

void etcd_put_watch(struct strbuf *out, unsigned id, const char *start, const char *end,
                    int64_t revision)
{
    strbuf_puts(out, "{\"create_request\":{");
    put_bytes(out, "key", start, strlen(start));
    strbuf_putc(out, ',');
    put_bytes(out, "range_end", end, strlen(end));
    strbuf_printf(out, ",\"start_revision\":\"%lld\",\"watch_id\":\"%u\",", (long long)revision,
                  id);
    strbuf_puts(out, "\"progress_notify\":true,\"fragment\":true}}\n");
}

void etcd_put_login(struct strbuf *out, const char *user, const char *password)
{
    strbuf_puts(out, "{\"name\":");
    strbuf_json(out, user);
    strbuf_puts(out, ",\"password\":");
    strbuf_json(out, password);
    strbuf_putc(out, '}');
}
