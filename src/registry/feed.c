#include "registry/feed.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/str.h"
#include "kube/decode.h"
#include "kube/pod.h"
#include "registry/registry.h"

#include <string.h>

#define ARENA_BYTES 16384

struct feed {
    struct registry *registry;
    struct registry_listener listener;
    struct sink sink;
    struct decoder *decoder;
    struct arena arena; /* of one object's tree */
    const struct resource *of_kind[KIND_COUNT];
    metric told, unread;
};

/* ---- one object ---- */

static bool has_ended(const struct object *o)
{
    if (o->kind != KIND_POD)
        return false;
    return pod_is_finished(pod_of(o)) || pod_of(o)->phase == POD_UNKNOWN;
}

/* KIND_COUNT: it is not read. */
static enum kind kind_of(const struct feed *f, const struct resource *of)
{
    unsigned k = 0;
    while (k < KIND_COUNT && f->of_kind[k] != of)
        k++;
    return (enum kind)k;
}

static int decode(struct feed *f, const struct item *i, struct object **ret, struct err *e)
{
    struct tree_doc docs;
    arena_reset(&f->arena);
    int code = tree_parse(i->text, i->len, "registry", &f->arena, &docs, e);
    if (code == 0 && docs.n != 1)
        code =
            err_set(e, ERR_PARSE, "%s %s/%s: no object", i->resource->kind, i->namespace, i->name);
    return code < 0 ? code
                    : decoder_read(f->decoder, docs.documents[0], resource_api_version(i->resource),
                                   i->resource->kind, ret, e);
}

/* One that cannot be read keeps the state that it had, as with every source. */
static void put(struct feed *f, enum kind kind, const struct item *i)
{
    struct object *o = NULL;
    struct err e = { 0 };
    if (decode(f, i, &o, &e) < 0 || !o) {
        metric_add(f->unread, 1);
        f->sink.problem(f->sink.ctx, e.text);
        return;
    }
    metric_add(f->told, 1);
    if (!has_ended(o)) {
        f->sink.put(f->sink.ctx, o);
        return;
    }
    f->sink.del(f->sink.ctx, kind, i->namespace, i->name);
    object_free(o);
}

static void on_event(void *ctx, const struct history_event *e)
{
    struct feed *f = ctx;
    const struct item *any = e->now ? e->now : e->before;
    enum kind kind = kind_of(f, any->resource);
    if (kind == KIND_COUNT)
        return;
    if (e->now) {
        put(f, kind, e->now);
    } else {
        metric_add(f->told, 1);
        f->sink.del(f->sink.ctx, kind, any->namespace, any->name);
    }
    if (f->sink.settled)
        f->sink.settled(f->sink.ctx);
}

/* ---- life ---- */

static void tell_all(struct feed *f)
{
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        struct item_list l;
        registry_list(f->registry, f->of_kind[k], NULL, &l);
        vec_each (i, &l)
            put(f, (enum kind)k, *i);
        item_list_done(&l);
    }
    if (f->sink.settled)
        f->sink.settled(f->sink.ctx);
    f->sink.synced(f->sink.ctx);
}

static void find_resources(struct feed *f)
{
    for (unsigned k = 0; k < KIND_COUNT; k++) {
        size_t i = 0;
        while (i < n_resources && strcmp(resources[i].kind, kind_text((enum kind)k)) != 0)
            i++;
        f->of_kind[k] = &resources[i]; /* each kind of kube/ has its row */
    }
}

struct feed *feed_open(struct registry *r, const struct sink *sink)
{
    struct feed *f = xcalloc(1, sizeof *f);
    f->registry = r;
    f->sink = *sink;
    f->decoder = decoder_new("registry", sink->without);
    arena_init(&f->arena, ARENA_BYTES);
    f->told = metric_counter("signpost_registry_feed_events_total",
                             "Objects and changes that were told to parts of this process.", "");
    f->unread = metric_counter("signpost_registry_feed_unread_total",
                               "Those that could not be read: their former state stays.", "");
    find_resources(f);
    f->listener = (struct registry_listener){ .event = on_event, .ctx = f };
    registry_listen(r, &f->listener);
    tell_all(f);
    return f;
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    registry_unlisten(f->registry, &f->listener);
    decoder_free(f->decoder);
    arena_done(&f->arena);
    free(f);
}
