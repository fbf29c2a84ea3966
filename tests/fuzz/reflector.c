/* Any bytes as what an API server sends, whole and in pieces: either way the same objects come out
 * of them, in the same order, with the same end. The first octet says which kind of object, whether
 * it is a list or a watch, and whether the watch begins with all objects; the second how long the
 * pieces are. */
#include "base/hash.h"
#include "source/reflector_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX       256
#define LIST            4 /* bits of the first octet */
#define INITIAL         8
#define LIST_OR_INITIAL (LIST | INITIAL)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came out. */
struct outcome {
    uint64_t calls; /* a hash of all calls of the sink */
    int code;
    char error[sizeof((struct err *)0)->text];
    char revision[128], page[128];
    char *names[NAMES_MAX]; /* "NAMESPACE/NAME" of objects that were put */
    size_t n;
};

static void note(struct outcome *o, const char *what, const char *ns, const char *name)
{
    struct strbuf b = { 0 };
    strbuf_printf(&b, "%llu %s %s/%s", (unsigned long long)o->calls, what, ns, name);
    o->calls = hash_bytes(b.p, b.len);
    strbuf_done(&b);
}

static void on_put(void *ctx, struct object *object)
{
    struct outcome *o = ctx;
    const char *ns = object->meta.namespace;
    struct strbuf b = { 0 };
    note(o, "put", ns, object->meta.name);
    strbuf_printf(&b, "%s/%s", ns, object->meta.name);
    if (o->n < NAMES_MAX)
        o->names[o->n++] = strbuf_steal(&b);
    strbuf_done(&b);
    object_free(object);
}

static void on_del(void *ctx, enum kind kind, const char *ns, const char *name)
{
    (void)kind;
    note(ctx, "del", ns, name);
}

static void on_problem(void *ctx, const char *text)
{
    note(ctx, "problem", "", text);
}

/* Nothing that the list had may be swept. */
static void on_sweep(void *ctx, const struct reflector_options *options,
                     bool (*keep)(void *list, const char *ns, const char *name), void *list)
{
    struct outcome *o = ctx;
    (void)options;
    for (size_t i = 0; i < o->n; i++) {
        char *slash = strchr(o->names[i], '/');
        *slash = 0;
        if (!keep(list, o->names[i], slash + 1))
            abort();
    }
}

static void feed(struct reflector *r, bool list, const uint8_t *p, size_t n, size_t piece,
                 struct outcome *o)
{
    for (size_t at = 0; o->code == 0 && at < n; at += piece) {
        strbuf_add(&r->in, (const char *)p + at, n - at < piece ? n - at : piece);
        o->code = list ? reflector_read_list(r, &r->e) : reflector_read_watch(r, &r->e);
    }
    if (o->code == 0 && list)
        o->code = reflector_list_end(r, &r->e);
    if (o->code < 0 && !r->e.text[0])
        abort();
    if (o->code == 0 && list)
        reflector_sweep(r);
}

static void keep_ends(const struct reflector *r, struct outcome *o)
{
    (void)snprintf(o->error, sizeof o->error, "%s", r->e.text);
    (void)snprintf(o->revision, sizeof o->revision, "%s", r->revision.len ? r->revision.p : "");
    (void)snprintf(o->page, sizeof o->page, "%s", r->page.len ? r->page.p : "");
}

static void run(const struct reflector_options *options, uint8_t how, const uint8_t *p, size_t n,
                size_t piece, struct outcome *o)
{
    struct reflector r = { .o = options,
                           .sink = { o, on_put, on_del, on_sweep, NULL, NULL, on_problem },
                           .decoder = decoder_new("fuzz", 0),
                           .initial = (how & LIST_OR_INITIAL) == INITIAL };
    arena_init(&r.arena, 4096);
    memset(o, 0, sizeof *o);
    feed(&r, how & LIST, p, n, piece, o);
    keep_ends(&r, o);
    for (size_t i = 0; i < o->n; i++)
        free(o->names[i]);
    decoder_free(r.decoder);
    arena_done(&r.arena);
    strbuf_done(&r.revision);
    strbuf_done(&r.in);
    strbuf_done(&r.page);
    vec_done(&r.seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct reflector_options kinds[] = {
        { .api_version = "v1", .name = "Service", .kind = KIND_SERVICE },
        { .api_version = "discovery.k8s.io/v1", .name = "EndpointSlice", .kind = KIND_SLICE },
        { .api_version = "v1", .name = "Namespace", .kind = KIND_NAMESPACE },
        { .api_version = "v1", .name = "Pod", .kind = KIND_POD },
    };
    static struct outcome whole, pieces;
    if (size < 3)
        return 0;
    const struct reflector_options *o = &kinds[data[0] & 3];
    size_t piece = 1 + data[1] % 64;
    run(o, data[0], data + 2, size - 2, size, &whole);
    run(o, data[0], data + 2, size - 2, piece, &pieces);
    if (whole.calls != pieces.calls || whole.code != pieces.code ||
        strcmp(whole.error, pieces.error) != 0 || strcmp(whole.revision, pieces.revision) != 0 ||
        strcmp(whole.page, pieces.page) != 0)
        abort();
    return 0;
}
