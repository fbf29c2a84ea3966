/* Create, update, patch: a document becomes an object, or another state of one. */
#include "base/str.h"
#include "registry/defaults.h"
#include "registry/managed.h"
#include "registry/meta.h"
#include "registry/patch.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/shape.h"

#include <string.h>

#define SUB_STATUS       "status"
#define OBJECT_BYTES_MAX (2 * BODY_BYTES_MAX) /* before a patch, with its length */

/* ---- what both ways of writing share ---- */

/* Who writes owns the defaults, too, but not what comes after them. */
static int fill(struct call *c, struct write *w)
{
    const struct resource *r = w->resource;
    defaults_fill(resource_type(r), w->doc);
    if (r->fill)
        r->fill(w);
    return managed_update(c, w);
}

static int make_good(struct call *c, struct write *w)
{
    const struct resource *r = w->resource;
    if (r->prepare)
        r->prepare(w);
    if (r->take && r->take(w, &c->fault) < 0)
        return -1;
    meta_check(r, w->doc, w->old, &c->fault);
    if (r->check)
        r->check(w, &c->fault);
    return fault_invalid(&c->fault, r, meta_name(w->doc));
}

/* Fields in their order again after all that was filled in. What goes with this change is answered
 * with, but never stored. */
static int settle(struct call *c, const struct resource *r, json_t **doc)
{
    json_t *made;
    int code = delete_is_due(*doc) ? shape_object(r, *doc, NULL, &made, &c->fault)
                                   : shape_stored(r, *doc, &made, &c->fault);
    if (code == 0) {
        json_decref(*doc);
        *doc = made;
    }
    return code;
}

/* ---- creating ---- */

static int check_namespace(struct call *c)
{
    static const struct resource *namespaces;
    const char *name = c->request.namespace;
    if (!namespaces)
        namespaces = resource_find("", "v1", "namespaces");
    if (!c->request.resource->namespaced)
        return 0;
    const struct item *i = registry_find(c->registry, namespaces, "", name);
    if (!i)
        return fault_not_found(&c->fault, namespaces, name);
    return i->deleting ? fault_ending(&c->fault, c->request.resource, name) : 0;
}

/* Namespace and version of a document that is to be new. */
static int check_new(struct call *c, const json_t *doc)
{
    const char *namespace = meta_namespace(doc), *version;
    if (*namespace && strcmp(namespace, c->request.namespace) != 0)
        return fault_bad_request(&c->fault, "the namespace of the provided object does not match "
                                            "the namespace sent on the request");
    version = path_text(doc, "metadata.resourceVersion");
    if (strcmp(c->request.method, "POST") == 0 && version && *version && strcmp(version, "0") != 0)
        return fault_set(&c->fault, 500, "InternalError",
                         "resourceVersion should not be set on objects to be created");
    if (registry_count(c->registry, c->request.resource) >= REGISTRY_OBJECTS_MAX)
        return fault_set(&c->fault, 507, "InsufficientStorage", "more than %d objects of a kind",
                         REGISTRY_OBJECTS_MAX);
    return check_namespace(c);
}

static int create_checked(struct call *c, struct write *w)
{
    const struct resource *r = w->resource;
    if (r->has_status && strcmp(r->kind, "Node") != 0)
        json_object_del(w->doc, "status");
    meta_fill_new(r, w->doc, c->request.namespace);
    int code = fill(c, w);
    if (code == 0)
        code = make_good(c, w);
    if (code == 0 && registry_find(c->registry, r, c->request.namespace, meta_name(w->doc)))
        code = fault_exists(&c->fault, r, meta_name(w->doc));
    if (code == 0)
        code = settle(c, r, &w->doc);
    return code;
}

int rest_store_new(struct call *c, json_t *doc)
{
    struct write w = {
        .registry = c->registry, .resource = c->request.resource, .sub = "", .doc = doc
    };
    int code = request_dry_run(&c->request, &w.dry_run, &c->fault);
    if (code == 0)
        code = check_new(c, doc);
    if (code == 0)
        code = create_checked(c, &w);
    if (code < 0) {
        json_decref(w.doc);
        return code;
    }
    if (w.dry_run) {
        path_delete(w.doc, "metadata.resourceVersion");
        call_answer(c, 201, w.doc);
    } else {
        call_answer_item(c, 201, registry_put(c->registry, w.resource, w.doc));
    }
    return 0;
}

int rest_create(struct call *c)
{
    json_t *doc;
    if (*c->request.sub)
        return fault_method(&c->fault);
    if (rest_check_options(c) < 0 || rest_body(c, &doc) < 0)
        return -1;
    return rest_store_new(c, doc);
}

/* ---- changing ---- */

static int check_versions(struct call *c, const json_t *doc, const struct item *old)
{
    const struct resource *r = c->request.resource;
    const char *version = path_text(doc, "metadata.resourceVersion"), *uid = meta_uid_of(doc);
    int64_t given;
    char why[256];
    if (rest_check_version(version, "metadata.resourceVersion", &given, &c->fault) < 0)
        return -1;
    if (given <= 0 && r->needs_version) {
        json_t *zero = json_integer(0);
        fault_value(&c->fault, "metadata.resourceVersion", zero, "must be specified for an update");
        json_decref(zero);
        (void)fault_invalid(&c->fault, r, old->name);
        c->fault.kind = r->name;
        return -1;
    }
    if (given > 0 && given != old->revision)
        return fault_conflict(&c->fault, r, old->name,
                              "the object has been modified; please apply your changes to the "
                              "latest version and try again");
    if (!*uid || strcmp(uid, old->uid) == 0)
        return 0;
    (void)snprintf(why, sizeof why,
                   "Precondition failed: UID in precondition: %.64s, UID in object meta: %.64s",
                   uid, old->uid);
    return fault_conflict(&c->fault, r, old->name, why);
}

/* What this request may not change comes from the old state. */
static void keep_parts(struct call *c, struct write *w)
{
    static const char *const head[] = { "kind", "apiVersion", "metadata", "status" };
    if (!w->resource->has_status)
        return;
    if (!*c->request.sub) {
        json_t *status = json_object_get(w->old, "status");
        if (status)
            json_object_set_new(w->doc, "status", json_deep_copy(status));
        else
            json_object_del(w->doc, "status");
        return;
    }
    json_t *doc = json_deep_copy(w->old);
    for (size_t i = 0; i < ARRAY_SIZE(head); i++) {
        json_t *v = json_object_get(w->doc, head[i]);
        if (v)
            json_object_set(doc, head[i], v);
    }
    json_decref(w->doc);
    w->doc = doc;
}

/* Equal but for what the bookkeeping adds? */
static bool is_same(const json_t *doc, const json_t *old)
{
    json_t *a = json_deep_copy(doc), *b = json_deep_copy(old);
    path_delete(a, "metadata.managedFields");
    path_delete(b, "metadata.managedFields");
    path_delete(a, "metadata.resourceVersion");
    path_delete(b, "metadata.resourceVersion");
    bool same = json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

static bool json_same(const json_t *a, const json_t *b)
{
    return a && b ? json_equal(a, b) : a == b;
}

/* A slice's labels say whose it is: they count. */
static void raise_generation(struct write *w)
{
    json_int_t n = json_integer_value(path_get(w->old, "metadata.generation"));
    bool labels =
        strcmp(w->resource->kind, "EndpointSlice") == 0 &&
        !json_same(path_get(w->doc, "metadata.labels"), path_get(w->old, "metadata.labels"));
    if (w->resource->counts && (labels || meta_spec_differs(w->doc, w->old)))
        path_set(w->doc, "metadata.generation", json_integer(n + 1));
}

static int change_checked(struct call *c, struct write *w)
{
    meta_fill_old(w->resource, w->doc, w->old);
    int code = fill(c, w);
    if (code < 0)
        return code;
    keep_parts(c, w);
    code = make_good(c, w);
    if (code == 0)
        code = settle(c, w->resource, &w->doc);
    if (code < 0)
        return code;
    raise_generation(w);
    return 0;
}

static void answer_changed(struct call *c, struct write *w, struct item *old)
{
    bool same = is_same(w->doc, w->old);
    if (w->dry_run) {
        path_set_text(w->doc, "metadata.resourceVersion",
                      path_text(w->old, "metadata.resourceVersion"));
        call_answer(c, 200, w->doc);
        return;
    }
    if (same && managed_same(w->doc, w->old)) {
        json_decref(w->doc);
        call_answer_item(c, 200, old);
        return;
    }
    if (!delete_is_due(w->doc)) {
        call_answer_item(c, 200, registry_put(c->registry, w->resource, w->doc));
        return;
    }
    path_set_text(w->doc, "metadata.resourceVersion",
                  path_text(w->old, "metadata.resourceVersion"));
    struct item *last = item_new(w->resource, w->doc, old->revision);
    json_decref(w->doc);
    delete_now(c->registry, old);
    call_answer_item(c, 200, last);
    item_unref(last);
}

int rest_store_changed(struct call *c, struct item *old, json_t *doc)
{
    json_t *before = item_doc(old);
    struct write w = { .registry = c->registry,
                       .resource = c->request.resource,
                       .sub = c->request.sub,
                       .doc = doc,
                       .old = before };
    int code = request_dry_run(&c->request, &w.dry_run, &c->fault);
    if (code == 0)
        code = check_versions(c, doc, old);
    if (code == 0)
        code = change_checked(c, &w);
    if (code == 0)
        answer_changed(c, &w, old);
    else
        json_decref(w.doc);
    json_decref(before);
    return code;
}

/* The body must be of the object that the path names. */
static int check_target(struct call *c, json_t *doc)
{
    const char *name = meta_name(doc), *namespace = meta_namespace(doc);
    if (!*name)
        return fault_bad_request(&c->fault, "name must be provided");
    if (strcmp(name, c->request.name) != 0)
        return fault_bad_request(&c->fault,
                                 "the name of the object (%s) does not match the name "
                                 "on the URL (%s)",
                                 name, c->request.name);
    if (*namespace && strcmp(namespace, c->request.namespace) != 0)
        return fault_bad_request(&c->fault, "the namespace of the provided object does not match "
                                            "the namespace sent on the request");
    if (c->request.resource->namespaced)
        path_set_text(doc, "metadata.namespace", c->request.namespace);
    return 0;
}

static int check_sub(struct call *c)
{
    const struct request *q = &c->request;
    if (!*q->sub || (q->resource->has_status && strcmp(q->sub, SUB_STATUS) == 0))
        return 0;
    return fault_set(&c->fault, 404, "NotFound",
                     "the server could not find the requested resource");
}

int rest_update(struct call *c)
{
    const struct request *q = &c->request;
    json_t *doc;
    if (check_sub(c) < 0 || rest_check_options(c) < 0 || rest_body(c, &doc) < 0)
        return -1;
    if (check_target(c, doc) < 0) {
        json_decref(doc);
        return -1;
    }
    struct item *old = registry_find(c->registry, q->resource, q->namespace, q->name);
    if (old)
        return rest_store_changed(c, old, doc);
    if (q->resource->put_creates && !*q->sub)
        return rest_store_new(c, doc);
    json_decref(doc);
    return fault_not_found(&c->fault, q->resource, q->name);
}

/* ---- patches ---- */

static int patch_document(struct call *c, const char *type, const json_t *patch, json_t **doc)
{
    const struct resource *r = c->request.resource;
    if (media_is(type, "application/json-patch+json"))
        return patch_json(doc, patch, &c->fault);
    if (!json_is_object(patch))
        return fault_bad_request(&c->fault, "the patch must be an object");
    if (media_is(type, "application/strategic-merge-patch+json"))
        return patch_strategic(resource_type(r), *doc, patch, &c->fault);
    patch_merge(*doc, patch);
    return 0;
}

static bool is_patch_type(const char *type)
{
    return type && (media_is(type, "application/json-patch+json") ||
                    media_is(type, "application/merge-patch+json") ||
                    media_is(type, "application/strategic-merge-patch+json"));
}

/* What comes of the patch is no object any more. */
static int no_object(struct call *c, const json_t *patch)
{
    cleanup_free char *why = strdup(c->fault.message);
    fault_value(&c->fault, "patch", patch, why ? why : "");
    return fault_set(&c->fault, 422, "Invalid", " \"\" is invalid: patch: Invalid value: %s",
                     why ? why : "");
}

/* The object with the patch in it, in its resource's shape. */
static int patched(struct call *c, const char *type, const struct item *old, json_t **ret)
{
    json_t *patch = NULL, *doc = item_doc(old), *unknown = json_array();
    int code = body_read(NULL, c->given, c->given_len, &patch, &c->fault);
    if (code == 0)
        code = patch_document(c, type, patch, &doc);
    if (code == 0 && shape_object(c->request.resource, doc, unknown, ret, &c->fault) < 0)
        code = no_object(c, patch);
    if (code == 0 && rest_unknown(c, unknown) < 0) {
        json_decref(*ret);
        code = no_object(c, patch);
    }
    json_decref(patch);
    json_decref(doc);
    json_decref(unknown);
    return code;
}

/* Patches make an object longer by no more than their own length and what they copy. */
static int check_size(struct call *c)
{
    const struct request *q = &c->request;
    const struct item *i = registry_find(c->registry, q->resource, q->namespace, q->name);
    if (!i || i->len + c->given_len <= OBJECT_BYTES_MAX)
        return 0;
    return fault_set(&c->fault, 413, "RequestEntityTooLarge",
                     "the object has %zu bytes, and may not have more than %zu with the patch",
                     i->len, OBJECT_BYTES_MAX);
}

int rest_patch(struct call *c)
{
    const char *type = call_header(c, "content-type");
    json_t *doc;
    if (check_sub(c) < 0 || rest_check_options(c) < 0 || check_size(c) < 0)
        return -1;
    if (type && media_is(type, "application/apply-patch+yaml"))
        return managed_apply(c);
    if (!is_patch_type(type))
        return fault_set(&c->fault, 415, "UnsupportedMediaType",
                         "the body of the request was in an unknown format - accepted media types "
                         "include: application/json-patch+json, application/merge-patch+json, "
                         "application/strategic-merge-patch+json, "
                         "application/apply-patch+yaml");
    struct item *old = rest_find(c);
    if (!old || patched(c, type, old, &doc) < 0)
        return -1;
    if (strcmp(meta_name(doc), c->request.name) != 0) {
        json_decref(doc);
        return fault_bad_request(&c->fault,
                                 "the name of the object does not match the name on the "
                                 "URL (%s)",
                                 c->request.name);
    }
    return rest_store_changed(c, old, doc);
}
