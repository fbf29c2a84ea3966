/* Deleting: at once, or, while finalizers or a pod's time to end hold it, by a mark. Source:
 * Kubernetes API concepts, "Resource deletion"; garbage collection. */
#include "base/log.h"
#include "base/str.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/shape.h"

#include <string.h>

#define POD_GRACE_S 30 /* of a pod that says nothing */

/* ---- options ---- */

static int read_body_options(struct call *c, json_t **ret)
{
    json_t *in = NULL;
    char *why = NULL;
    *ret = NULL;
    if (!c->given_len)
        return 0;
    int code = body_read(call_header(c, "content-type"), c->given, c->given_len, &in, &c->fault);
    if (code == 0 && shape_read(schema_type("meta.DeleteOptions"), in, NULL, ret, &why) < 0)
        code = fault_bad_request(&c->fault, "DeleteOptions: %s", why ? why : "cannot be read");
    free(why);
    json_decref(in);
    return code;
}

static int read_propagation(struct call *c, const json_t *doc, struct delete_options *o)
{
    const char *how = path_text(doc, "propagationPolicy");
    if (!how)
        how = request_get(&c->request, "propagationPolicy");
    const json_t *orphan = json_object_get(doc, "orphanDependents");
    o->orphan = json_is_true(orphan) || request_is(&c->request, "orphanDependents");
    if (!how || !*how)
        return 0;
    if (strcmp(how, "Orphan") != 0 && strcmp(how, "Foreground") != 0 &&
        strcmp(how, "Background") != 0)
        return fault_set(&c->fault, 422, "Invalid",
                         "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: "
                         "Unsupported value: \"%s\": supported values: \"Foreground\", "
                         "\"Background\", \"Orphan\", \"nil\"",
                         how);
    o->orphan = strcmp(how, "Orphan") == 0;
    o->foreground = strcmp(how, "Foreground") == 0;
    return 0;
}

/* doc, which may be NULL, must live as long as the options. */
static int read_options(struct call *c, const json_t *doc, struct delete_options *o)
{
    const json_t *grace = json_object_get(doc, "gracePeriodSeconds");
    *o = (struct delete_options){ .grace = -1 };
    if (request_number(&c->request, "gracePeriodSeconds", -1, &o->grace, &c->fault) < 0 ||
        request_dry_run(&c->request, &o->dry_run, &c->fault) < 0)
        return -1;
    if (grace)
        o->grace = json_integer_value(grace);
    if (json_array_size(json_object_get(doc, "dryRun")))
        o->dry_run = true;
    o->uid = path_text(doc, "preconditions.uid");
    o->version = path_text(doc, "preconditions.resourceVersion");
    return read_propagation(c, doc, o);
}

static int check_preconditions(const struct item *i, const struct delete_options *o,
                               struct fault *f)
{
    char why[256], version[24];
    (void)snprintf(version, sizeof version, "%lld", (long long)i->revision);
    if (o->uid && strcmp(o->uid, i->uid) != 0) {
        (void)snprintf(why, sizeof why,
                       "Precondition failed: UID in precondition: %.64s, UID in object meta: %.64s",
                       o->uid, i->uid);
        return fault_conflict(f, i->resource, i->name, why);
    }
    if (o->version && strcmp(o->version, version) != 0) {
        (void)snprintf(why, sizeof why,
                       "Precondition failed: ResourceVersion in precondition: %.32s, "
                       "ResourceVersion in object meta: %s",
                       o->version, version);
        return fault_conflict(f, i->resource, i->name, why);
    }
    return 0;
}

/* ---- one object ---- */

bool delete_is_due(const json_t *doc)
{
    const json_t *grace = path_get(doc, "metadata.deletionGracePeriodSeconds");
    return meta_deleting(doc) && !json_array_size(path_get(doc, "metadata.finalizers")) &&
           !json_array_size(path_get(doc, "spec.finalizers")) && json_integer_value(grace) == 0;
}

/* Pods that a node runs get time to end; -1: other kinds have none. */
static int64_t grace_of(const struct item *i, const json_t *doc, const struct delete_options *o)
{
    const char *node = path_text(doc, "spec.nodeName"), *phase = path_text(doc, "status.phase");
    if (strcmp(i->resource->kind, "Pod") != 0)
        return -1;
    if (!node || !*node || str_eq(phase, "Failed") || str_eq(phase, "Succeeded"))
        return 0;
    const json_t *own = path_get(doc, "spec.terminationGracePeriodSeconds");
    int64_t grace = o->grace >= 0 ? o->grace : own ? json_integer_value(own) : POD_GRACE_S;
    const json_t *before = path_get(doc, "metadata.deletionGracePeriodSeconds");
    return before && json_integer_value(before) < grace ? json_integer_value(before) : grace;
}

static void add_finalizer(json_t *doc, const char *name)
{
    json_t *list = path_get(doc, "metadata.finalizers");
    if (!list) {
        list = json_array();
        path_set(doc, "metadata.finalizers", list);
    }
    json_array_append_new(list, json_string(name));
}

/* When the grace period ends. */
static void mark(json_t *doc, int64_t grace)
{
    char text[48];
    if (!meta_deleting(doc))
        path_set_text(doc, "metadata.deletionTimestamp", meta_now(text));
    path_set(doc, "metadata.deletionGracePeriodSeconds", json_integer(grace > 0 ? grace : 0));
}

static void raise_generation(json_t *doc)
{
    path_set(doc, "metadata.generation",
             json_integer(json_integer_value(path_get(doc, "metadata.generation")) + 1));
}

/* What is told of an object that goes at once: a pod has ended its time. Takes over the document.
 */
static struct item *last_state(struct item *i, json_t *doc, int64_t grace)
{
    struct fault f = { 0 };
    json_t *shaped = NULL;
    struct item *last = NULL;
    if (grace >= 0) {
        if (!meta_deleting(doc))
            raise_generation(doc);
        mark(doc, grace);
        if (shape_object(i->resource, doc, NULL, &shaped, &f) == 0)
            last = item_new(i->resource, shaped, i->revision);
        json_decref(shaped);
        fault_done(&f);
    }
    json_decref(doc);
    return last ? last : item_ref(i);
}

static int mark_item(struct registry *r, struct item *i, json_t *doc, int64_t grace,
                     const struct delete_options *o, struct item **ret, struct fault *f)
{
    json_t *shaped;
    if (i->resource->counts && !meta_deleting(doc))
        raise_generation(doc);
    mark(doc, grace);
    if (strcmp(i->resource->kind, "Namespace") == 0)
        path_set_text(doc, "status.phase", "Terminating");
    int code = shape_object(i->resource, doc, NULL, &shaped, f);
    json_decref(doc);
    if (code < 0)
        return code;
    if (o->dry_run) {
        *ret = item_new(i->resource, shaped, i->revision);
        json_decref(shaped);
    } else {
        *ret = item_ref(registry_put(r, i->resource, shaped));
    }
    return 0;
}

int delete_item(struct registry *r, struct item *i, const struct delete_options *o,
                struct item **ret, bool *ret_gone, struct fault *f)
{
    if (check_preconditions(i, o, f) < 0)
        return -1;
    json_t *doc = item_doc(i);
    int64_t grace = grace_of(i, doc, o);
    if (o->orphan)
        add_finalizer(doc, "orphan");
    if (o->foreground)
        add_finalizer(doc, "foregroundDeletion");
    bool held = json_array_size(path_get(doc, "metadata.finalizers")) ||
                json_array_size(path_get(doc, "spec.finalizers"));
    *ret_gone = !held && grace <= 0;
    if (*ret_gone) {
        *ret = last_state(i, doc, grace);
        if (!o->dry_run)
            delete_now(r, i);
        return 0;
    }
    const json_t *before = path_get(doc, "metadata.deletionGracePeriodSeconds");
    if (meta_deleting(doc) && before && json_integer_value(before) <= MAX(grace, 0) && !o->orphan &&
        !o->foreground) {
        json_decref(doc);
        *ret = item_ref(i); /* nothing new */
        return 0;
    }
    return mark_item(r, i, doc, grace, o, ret, f);
}

/* Finalizers hold them as if somebody had asked. */
static void delete_endpoints(struct registry *r, const char *namespace, const char *name)
{
    static const struct delete_options plain = { .grace = -1 };
    struct item *i = registry_find(r, resource_find("", "v1", "endpoints"), namespace, name);
    struct item *last = NULL;
    struct fault f = { 0 };
    bool gone;
    if (i && delete_item(r, i, &plain, &last, &gone, &f) < 0)
        log_line(LOG_WARNING, "registry: the Endpoints of a deleted Service stay: %s", f.message);
    item_unref(last);
    fault_done(&f);
}

void delete_now(struct registry *r, struct item *i)
{
    if (strcmp(i->resource->kind, "Service") == 0)
        delete_endpoints(r, i->namespace, i->name);
    registry_delete(r, i);
}

/* ---- verbs ---- */

/* The object, for the kinds where the original answers with it; else a Status. */
static void answer_deleted(struct call *c, struct item *last, bool gone)
{
    const struct resource *r = c->request.resource;
    bool whole = !gone || strcmp(r->kind, "Pod") == 0 || strcmp(r->kind, "Service") == 0 ||
                 strcmp(r->kind, "ServiceAccount") == 0;
    if (whole) {
        call_answer_item(c, 200, last);
        return;
    }
    c->wish.view = VIEW_OBJECT;
    json_t *details = json_object();
    json_object_set_new(details, "name", json_string(last->name));
    if (*r->group)
        json_object_set_new(details, "group", json_string(r->group));
    json_object_set_new(details, "kind", json_string(r->name));
    json_object_set_new(details, "uid", json_string(last->uid));
    call_answer(c, 200,
                json_pack("{s:s, s:s, s:{}, s:s, s:o}", "kind", "Status", "apiVersion", "v1",
                          "metadata", "status", "Success", "details", details));
}

int rest_delete(struct call *c)
{
    struct delete_options o;
    struct item *last = NULL;
    bool gone = false;
    json_t *doc = NULL;
    if (*c->request.sub)
        return fault_method(&c->fault);
    struct item *i = rest_find(c);
    int code = i ? read_body_options(c, &doc) : -1;
    if (code == 0)
        code = read_options(c, doc, &o);
    if (code == 0)
        code = delete_item(c->registry, i, &o, &last, &gone, &c->fault);
    if (code == 0)
        answer_deleted(c, last, gone);
    item_unref(last);
    json_decref(doc);
    return code;
}

static int delete_each(struct call *c, const struct item_list *l, const struct filter *filter,
                       const struct delete_options *o, json_t *items)
{
    for (size_t n = 0; n < l->n; n++) {
        struct item *last = NULL;
        bool gone;
        if (!filter_match(filter, l->items[n]))
            continue;
        if (delete_item(c->registry, l->items[n], o, &last, &gone, &c->fault) < 0)
            return -1;
        json_array_append_new(items, item_doc(last));
        item_unref(last);
    }
    return 0;
}

int rest_delete_collection(struct call *c)
{
    const struct resource *r = c->request.resource;
    struct delete_options o;
    struct filter filter;
    struct item_list l = { 0 };
    json_t *doc = NULL, *items = json_array();
    char revision[24];
    int code = filter_read(c, &filter);
    if (code == 0)
        code = read_body_options(c, &doc);
    if (code == 0)
        code = read_options(c, doc, &o);
    if (code == 0) {
        registry_list(c->registry, r, filter.namespace, &l);
        code = delete_each(c, &l, &filter, &o, items);
    }
    item_list_done(&l);
    json_decref(doc);
    if (code < 0) {
        json_decref(items);
        return code;
    }
    (void)snprintf(revision, sizeof revision, "%lld", (long long)registry_revision(c->registry));
    char kind[64];
    (void)snprintf(kind, sizeof kind, "%sList", r->kind);
    c->wish.view = VIEW_OBJECT;
    call_answer(c, 200,
                json_pack("{s:s, s:s, s:{s:s}, s:o}", "kind", kind, "apiVersion",
                          resource_api_version(r), "metadata", "resourceVersion", revision, "items",
                          items));
    return 0;
}
