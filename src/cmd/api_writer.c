#include "cmd/api_writer.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "config/tree.h"
#include "kube/encode.h"
#include "registry/inside.h"

#include <string.h>

#define WRITE_MS       30000
#define REPLY_MAX      (4 << 20) /* bytes of an object as it comes back */
#define HTTP_NOT_FOUND 404
/* Of what was written only name, uid and version are of interest: a server need not send it back
 * whole. */
#define PARTIAL ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
#define METADATA_ONLY                                                                              \
    "application/vnd.kubernetes.protobuf" PARTIAL ",application/json" PARTIAL ",application/json"

struct flight {
    struct api_writer *writer;
    struct http_call *call;
    enum write_op op;
    void *token;
};

struct api_writer {
    struct write_target to;
    VEC(struct flight *) flights;
};

struct api_writer *api_writer_new(const struct write_target *to)
{
    struct api_writer *w = xcalloc(1, sizeof *w);
    w->to = *to;
    return w;
}

void api_writer_cancel(struct api_writer *w)
{
    vec_each (f, &w->flights) {
        http_call_cancel((*f)->call);
        free(*f);
    }
    vec_clear(&w->flights);
}

void api_writer_free(struct api_writer *w)
{
    if (!w)
        return;
    api_writer_cancel(w);
    vec_done(&w->flights);
    free(w);
}

static void land(struct flight *f, const struct write_result *result)
{
    struct api_writer *w = f->writer;
    void *token = f->token;
    for (size_t i = 0; i < w->flights.n; i++) {
        if (w->flights.items[i] != f)
            continue;
        vec_swap_remove(&w->flights, i);
        break;
    }
    free(f);
    reconcile_written(token, result);
}

/* ---- what the server says ---- */

static bool is_ending(const struct tree *status)
{
    const struct tree *causes = tree_get(tree_get(status, "details"), "causes");
    for (const struct tree *c = causes ? causes->child : NULL; c; c = c->next)
        if (str_eq(tree_str(c, "reason"), "NamespaceTerminating"))
            return true;
    return false;
}

static void read_result(const struct http_result *h, enum write_op op, const struct tree *t,
                        struct write_result *ret)
{
    const struct tree *meta = tree_get(t, "metadata");
    if (op == WRITE_DELETE && !h->error && h->status == HTTP_NOT_FOUND) {
        ret->outcome = WRITE_OK;
    } else if (api_is_away(h)) {
        ret->outcome = WRITE_AWAY;
        ret->wait_s = h->retry_after;
    } else if (h->status / 100 != 2) {
        ret->outcome = is_ending(t) ? WRITE_ENDING : WRITE_REFUSED;
    } else if (op != WRITE_DELETE) {
        ret->name = tree_str(meta, "name");
        ret->uid = tree_str(meta, "uid");
        ret->version = tree_str(meta, "resourceVersion");
    }
}

static void on_end(void *ctx, const struct http_result *h)
{
    struct flight *f = ctx;
    struct arena a;
    char text[API_STATUS_TEXT];
    struct write_result result = { .outcome = WRITE_OK };
    arena_init(&a, 16384);
    read_result(h, f->op, api_reply_tree(h->body, h->len, "PartialObjectMetadata", &a), &result);
    if (result.outcome != WRITE_OK)
        result.text = api_status_text(h, h->body, h->len, text);
    land(f, &result);
    arena_done(&a);
}

/* ---- requests ---- */

static void make_path(struct strbuf *out, enum kind kind, const char *ns, const char *name)
{
    const char *group = kind == KIND_SLICE ? "/apis/discovery.k8s.io/v1" : "/api/v1";
    const char *plural = kind == KIND_SLICE ? "endpointslices" : "endpoints";
    strbuf_printf(out, "%s/namespaces/%s/%s%s%s", group, ns, plural, name ? "/" : "",
                  name ? name : "");
}

static void send_over(struct api_writer *w, enum write_op op, const char *method, const char *path,
                      const struct strbuf *body, void *token)
{
    struct flight *f = xcalloc(1, sizeof *f);
    struct err e;
    *f = (struct flight){ .writer = w, .op = op, .token = token };
    const struct api_request request = { .method = method,
                                         .path = path,
                                         .accept = METADATA_ONLY,
                                         .content_type = body->len ? "application/json" : NULL,
                                         .body = body->len ? body->p : NULL,
                                         .body_len = body->len,
                                         .total_ms = WRITE_MS,
                                         .body_max = REPLY_MAX,
                                         .end = on_end,
                                         .ctx = f };
    vec_push(&w->flights, f);
    if (api_client_send(w->to.client, &request, &f->call, &e) < 0)
        land(f, &(struct write_result){ .outcome = WRITE_AWAY, .text = e.text });
}

static void send_inside(struct api_writer *w, enum write_op op, const char *method,
                        const char *path, const struct strbuf *body, void *token)
{
    struct inside_reply r;
    struct write_result result = { .outcome = WRITE_OK };
    inside_send(w->to.registry,
                &(struct inside_request){
                    .method = method, .target = path, .body = body->p, .body_len = body->len },
                &r);
    if (op == WRITE_DELETE && r.status == HTTP_NOT_FOUND)
        result.outcome = WRITE_OK;
    else if (r.status / 100 != 2)
        result = (struct write_result){ .outcome = r.ending ? WRITE_ENDING : WRITE_REFUSED,
                                        .text = r.text };
    else if (op != WRITE_DELETE)
        result = (struct write_result){
            .outcome = WRITE_OK, .name = r.name, .uid = r.uid, .version = r.version
        };
    reconcile_written(token, &result);
}

/* o NULL: it is deleted. */
static void send_write(struct api_writer *w, enum write_op op, struct strbuf *path,
                       const struct object *o, void *token)
{
    static const char *const methods[WRITE_OPS] = { "POST", "PUT", "DELETE" };
    struct strbuf body = { 0 };
    if (o && o->kind == KIND_SLICE)
        encode_slice(slice_of(o), &body);
    else if (o)
        encode_endpoints(endpoints_of(o), &body);
    if (w->to.registry) {
        strbuf_puts(path, INSIDE_MANAGER);
        send_inside(w, op, methods[op], path->p, &body, token);
    } else {
        send_over(w, op, methods[op], path->p, &body, token);
    }
    strbuf_done(&body);
    strbuf_done(path);
}

void api_writer_create(struct api_writer *w, const struct object *o, void *token)
{
    struct strbuf path = { 0 };
    make_path(&path, o->kind, o->meta.namespace, NULL);
    send_write(w, WRITE_CREATE, &path, o, token);
}

void api_writer_update(struct api_writer *w, const struct object *o, void *token)
{
    struct strbuf path = { 0 };
    make_path(&path, o->kind, o->meta.namespace, o->meta.name);
    send_write(w, WRITE_UPDATE, &path, o, token);
}

void api_writer_remove(struct api_writer *w, enum kind kind, const char *ns, const char *name,
                       void *token)
{
    struct strbuf path = { 0 };
    make_path(&path, kind, ns, name);
    send_write(w, WRITE_DELETE, &path, NULL, token);
}
