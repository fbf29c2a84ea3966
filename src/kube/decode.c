#include "kube/decode.h"

#include "base/str.h"
#include "kube/decoder.h"
#include "kube/endpoints.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <string.h>

#define LIST_DEPTH_MAX 4 /* Lists inside of Lists */
#define ARENA_CHUNK    4096

struct kind_row {
    const char *name, *group, *version;
    enum kind kind;
};

static const struct kind_row kind_rows[] = {
    { "Namespace", "", "v1", KIND_NAMESPACE },
    { "Node", "", "v1", KIND_NODE },
    { "Pod", "", "v1", KIND_POD },
    { "Service", "", "v1", KIND_SERVICE },
    { "ConfigMap", "", "v1", KIND_CONFIGMAP },
    { "Endpoints", "", "v1", KIND_ENDPOINTS },
    { "EndpointSlice", "discovery.k8s.io/", "v1", KIND_SLICE },
    { "ServiceCIDR", "networking.k8s.io/", "v1", KIND_SERVICE_CIDR },
};

/* What a document says it is; a List's items may leave it to the List. */
struct type {
    const char *kind, *api_version;
};

static int type_of(const struct tree *t, const char *file, const struct type *inherited,
                   struct type *ret, struct err *e)
{
    const char *kind = tree_str(t, "kind"), *version = tree_str(t, "apiVersion");
    if (t->kind != TREE_MAPPING)
        return err_set(e, ERR_INVALID, "%s:%d: must be a mapping with apiVersion and kind", file,
                       t->line);
    if (!kind)
        kind = inherited ? inherited->kind : NULL;
    if (!version)
        version = inherited ? inherited->api_version : NULL;
    if (!kind || !version)
        return err_set(e, ERR_INVALID, "%s:%d: %s is missing; this is no Kubernetes object", file,
                       t->line, kind ? "apiVersion" : "kind");
    *ret = (struct type){ kind, version };
    return 0;
}

/* The row of a kind that is read; *ret NULL for others. Other groups may have kinds of the same
 * name, which are none of ours. */
static int row_of(const struct tree *t, const char *file, const struct type *type,
                  const struct kind_row **ret, struct err *e)
{
    *ret = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(kind_rows); i++) {
        const struct kind_row *row = &kind_rows[i];
        size_t n = strlen(row->group);
        const char *version = type->api_version + n;
        if (strcmp(type->kind, row->name) != 0 || strncmp(type->api_version, row->group, n) != 0 ||
            strchr(version, '/'))
            continue;
        if (strcmp(version, row->version) != 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s:%d: %s of apiVersion %s is not supported; use %s%s", file, t->line,
                           type->kind, type->api_version, row->group, row->version);
        *ret = row;
    }
    return 0;
}

/* They have been read all the same: a slice's tell of its Service, and wrong ones are told. */
static void drop_labels(struct object *o)
{
    if (o->kind != KIND_SERVICE && o->kind != KIND_SLICE)
        return;
    o->meta.n_labels = 0;
    if (o->kind == KIND_SERVICE)
        ((struct service *)o)->n_selector = 0;
}

static struct object *decode_kind(struct decoder *d, enum kind kind)
{
    union {
        struct object object;
        struct service service;
        struct slice slice;
        struct pod pod;
        struct node node;
        struct namespace namespace;
        struct configmap configmap;
        struct endpoints endpoints;
        struct service_cidr service_cidr;
    } u;
    memset(&u, 0, sizeof u);
    u.object.kind = kind;
    if (kind == KIND_SERVICE)
        decode_service(d, &u.service);
    else if (kind == KIND_SLICE)
        decode_slice(d, &u.slice);
    else if (kind == KIND_POD)
        decode_pod(d, &u.pod);
    else if (kind == KIND_NODE)
        decode_node(d, &u.node);
    else if (kind == KIND_NAMESPACE)
        decode_namespace(d, &u.namespace);
    else if (kind == KIND_ENDPOINTS)
        decode_endpoints(d, &u.endpoints);
    else if (kind == KIND_SERVICE_CIDR)
        decode_service_cidr(d, &u.service_cidr);
    else
        decode_configmap(d, &u.configmap);
    if (d->without & PART_LABELS)
        drop_labels(&u.object);
    return d->failed ? NULL : object_copy(&u.object);
}

static int decode_one(struct decoder *d, const struct tree *t, const struct type *inherited,
                      struct object **ret, struct err *e)
{
    struct err local;
    struct type type;
    const struct kind_row *row;
    *ret = NULL;
    e = e ? e : &local;
    int r = type_of(t, d->file, inherited, &type, e);
    if (r < 0 || (r = row_of(t, d->file, &type, &row, e)) < 0)
        return r;
    if (!row)
        return 0;
    arena_reset(&d->arena);
    slice_builder_reset(&d->slice);
    d->root = t;
    d->kind = row->name;
    d->namespace = d->name = NULL;
    d->e = e;
    d->failed = false;
    *ret = decode_kind(d, row->kind);
    return *ret ? 0 : e->code;
}

static void decoder_init(struct decoder *d, const char *file)
{
    *d = (struct decoder){ .file = file };
    arena_init(&d->arena, ARENA_CHUNK);
}

static void decoder_done(struct decoder *d)
{
    arena_done(&d->arena);
    slice_builder_done(&d->slice);
}

struct decoder *decoder_new(const char *name, unsigned without)
{
    struct decoder *d = xmalloc(sizeof *d);
    decoder_init(d, name);
    d->without = without;
    return d;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    decoder_done(d);
    free(d);
}

int decoder_read(struct decoder *d, const struct tree *t, const char *api_version, const char *kind,
                 struct object **ret, struct err *e)
{
    const struct type type = { kind, api_version };
    return decode_one(d, t, &type, ret, e);
}

struct each {
    struct decoder decoder;
    void (*fn)(void *ctx, struct object *o);
    void (*bad)(void *ctx, const struct err *e);
    void *ctx;
    size_t n_bad;
};

static void report(struct each *each, const struct err *e)
{
    each->n_bad++;
    if (each->bad)
        each->bad(each->ctx, e);
}

/* A List (ServiceList, ...) has items; a ConfigMapList-like kind without them is an ordinary
 * object. */
static bool is_list(const struct tree *t)
{
    const char *kind = tree_str(t, "kind");
    return t->kind == TREE_MAPPING && kind && str_ends(kind, "List") && tree_get(t, "items");
}

static void decode_items(struct each *each, const struct tree *t, const struct type *inherited,
                         unsigned depth)
{
    struct err e;
    struct object *o;
    if (!is_list(t)) {
        if (decode_one(&each->decoder, t, inherited, &o, &e) < 0)
            report(each, &e);
        else if (o)
            each->fn(each->ctx, o);
        return;
    }
    const struct tree *items = tree_get(t, "items");
    struct type type;
    if (depth >= LIST_DEPTH_MAX || (items->kind != TREE_SEQUENCE && items->kind != TREE_NULL)) {
        err_set(&e, ERR_INVALID, "%s:%d: %s: items: must be a list, nested at most %d levels deep",
                each->decoder.file, items->line, tree_str(t, "kind"), LIST_DEPTH_MAX);
        report(each, &e);
        return;
    }
    if (type_of(t, each->decoder.file, inherited, &type, &e) < 0) {
        report(each, &e);
        return;
    }
    cleanup_free char *kind = xstrndup(type.kind, strlen(type.kind) - strlen("List"));
    type.kind = kind;
    for (const struct tree *c = items->child; c; c = c->next)
        decode_items(each, c, *kind ? &type : NULL, depth + 1);
}

size_t object_decode_each(const struct tree *doc, const char *name, unsigned without,
                          void (*fn)(void *ctx, struct object *o),
                          void (*bad)(void *ctx, const struct err *e), void *ctx)
{
    struct each each = { .fn = fn, .bad = bad, .ctx = ctx };
    decoder_init(&each.decoder, name);
    each.decoder.without = without;
    decode_items(&each, doc, NULL, 0);
    decoder_done(&each.decoder);
    return each.n_bad;
}
