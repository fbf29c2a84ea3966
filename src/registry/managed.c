#include "registry/managed.h"

#include "base/mem.h"
#include "base/str.h"
#include "registry/fieldset.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/shape.h"

#include <stdlib.h>
#include <string.h>

#define MANAGER_MAX   128 /* bytes of a manager's name */
#define CONFLICTS_MAX 100 /* that are told */

/* ---- who ---- */

/* The field manager that the request names, else the first word of its User-Agent. */
static int manager_name(struct call *c, char out[MANAGER_MAX + 1])
{
    const char *given = request_get(&c->request, "fieldManager");
    const char *agent = call_header(c, "user-agent");
    if (given && strlen(given) > MANAGER_MAX)
        return fault_set(&c->fault, 422, "Invalid",
                         " \"\" is invalid: fieldManager: Too long: may not be more than %d bytes",
                         MANAGER_MAX);
    if (given && *given)
        (void)snprintf(out, MANAGER_MAX + 1, "%s", given);
    else
        (void)snprintf(out, MANAGER_MAX + 1, "%.*s",
                       agent ? (int)MIN(strcspn(agent, "/"), (size_t)MANAGER_MAX) : 7,
                       agent ? agent : "unknown");
    return 0;
}

static bool is_entry(const json_t *e, const char *manager, const char *operation,
                     const struct call *c)
{
    const char *sub = path_text(e, "subresource");
    return str_eq(path_text(e, "manager"), manager) &&
           str_eq(path_text(e, "operation"), operation) &&
           str_eq(path_text(e, "apiVersion"), resource_api_version(c->request.resource)) &&
           str_eq(sub ? sub : "", c->request.sub);
}

static json_t *entry_new(const char *manager, const char *operation, const struct call *c)
{
    json_t *e = json_object();
    json_object_set_new(e, "manager", json_string(manager));
    json_object_set_new(e, "operation", json_string(operation));
    json_object_set_new(e, "apiVersion", json_string(resource_api_version(c->request.resource)));
    json_object_set_new(e, "fieldsType", json_string("FieldsV1"));
    json_object_set_new(e, "fieldsV1", json_object());
    if (*c->request.sub)
        json_object_set_new(e, "subresource", json_string(c->request.sub));
    return e;
}

/* The entry, made when there is none. */
static json_t *entry_of(json_t *list, const char *manager, const char *operation,
                        const struct call *c)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is_entry(json_array_get(list, i), manager, operation, c))
            return json_array_get(list, i);
    json_t *e = entry_new(manager, operation, c);
    json_array_append_new(list, e);
    return e;
}

/* Takes over the set. */
static void set_fields(json_t *entry, json_t *set)
{
    json_object_set_new(entry, "fieldsV1", set);
}

/* The time is that of the manager's last change, not of what others took from it. */
static void touch(json_t *entry)
{
    char now[48];
    json_object_set_new(entry, "time", json_string(meta_now(now)));
}

static const json_t *fields_of(const json_t *entry)
{
    return json_object_get(entry, "fieldsV1");
}

static int compare_entries(const void *a, const void *b)
{
    static const char *const keys[] = { "operation", "time", "manager", "apiVersion",
                                        "subresource" };
    int c = 0;
    for (size_t i = 0; c == 0 && i < ARRAY_SIZE(keys); i++) {
        const char *x = path_text(*(json_t *const *)a, keys[i]);
        const char *y = path_text(*(json_t *const *)b, keys[i]);
        c = strcmp(x ? x : "", y ? y : "");
    }
    return c;
}

/* Without entries that own nothing, in the order that clients see. */
static void tidy(json_t *list)
{
    size_t n = 0, count = json_array_size(list);
    cleanup_free json_t **entries = xcalloc(count + 1, sizeof(json_t *));
    for (size_t i = 0; i < count; i++)
        if (json_object_size(fields_of(json_array_get(list, i))))
            entries[n++] = json_incref(json_array_get(list, i));
    qsort(entries, n, sizeof *entries, compare_entries);
    json_array_clear(list);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, entries[i]);
}

/* ---- changes ---- */

struct change {
    json_t *changed, *removed;
};

static void change_done(struct change *c)
{
    json_decref(c->changed);
    json_decref(c->removed);
}

/* What this request may not write does not count. */
static json_t *cut(const struct call *c, json_t *set)
{
    json_t *out = fieldset_strip(set);
    json_decref(set);
    if (c->request.resource->has_status)
        json_object_del(out, *c->request.sub ? "f:spec" : "f:status");
    return out;
}

static struct change changes(const struct call *c, const json_t *old, const json_t *now)
{
    const struct schema_type *t = resource_type(c->request.resource);
    struct change ch;
    json_t *empty = json_object(), *first = NULL;
    char *why = NULL;
    if (!old && shape_read(t, empty, NULL, &first, &why) < 0)
        free(why);
    fieldset_compare(t, old ? old : first, now, &ch.changed, &ch.removed);
    ch.changed = cut(c, ch.changed);
    ch.removed = cut(c, ch.removed);
    json_decref(empty);
    json_decref(first);
    return ch;
}

static json_t *managers_of(const json_t *doc)
{
    const json_t *list = path_get(doc, "metadata.managedFields");
    return list ? json_deep_copy(list) : json_array();
}

static void write_managers(json_t *doc, json_t *list)
{
    tidy(list);
    if (json_array_size(list))
        path_set(doc, "metadata.managedFields", list);
    else
        json_decref(list);
}

/* The others lose what this one has changed, or what is gone. */
static void take_from_others(json_t *list, const json_t *mine, const struct change *ch)
{
    json_t *lost = fieldset_union(ch->changed, ch->removed), *e;
    size_t i;
    json_array_foreach(list, i, e) if (e != mine) set_fields(e, fieldset_minus(fields_of(e), lost));
    json_decref(lost);
}

int managed_update(struct call *c, struct write *w)
{
    char manager[MANAGER_MAX + 1];
    if (c->managers) { /* an apply knows them already */
        path_set(w->doc, "metadata.managedFields", json_incref(c->managers));
        return 0;
    }
    if (manager_name(c, manager) < 0)
        return -1;
    if (w->old && !json_array_size(path_get(w->old, "metadata.managedFields"))) {
        path_delete(w->doc, "metadata.managedFields"); /* what began without goes on without */
        return 0;
    }
    struct change ch = changes(c, w->old, w->doc);
    json_t *list = managers_of(w->old);
    path_delete(w->doc, "metadata.managedFields");
    if (json_object_size(ch.changed) || json_object_size(ch.removed)) {
        json_t *e = entry_of(list, manager, "Update", c);
        json_t *all = fieldset_union(fields_of(e), ch.changed);
        set_fields(e, fieldset_minus(all, ch.removed));
        if (json_object_size(ch.changed))
            touch(e);
        json_decref(all);
        take_from_others(list, e, &ch);
    }
    write_managers(w->doc, list);
    change_done(&ch);
    return 0;
}

bool managed_same(const json_t *a, const json_t *b)
{
    json_t *x = managers_of(a), *y = managers_of(b), *e;
    size_t i;
    json_array_foreach(x, i, e) json_object_del(e, "time");
    json_array_foreach(y, i, e) json_object_del(e, "time");
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* ---- apply ---- */

struct apply {
    struct call *call;
    const struct schema_type *type;
    const struct item *old; /* NULL: it is to be made */
    json_t *applied, *live, *merged, *list, *mine;
    char manager[MANAGER_MAX + 1];
    /* of the conflicts */
    const json_t *owner;
    unsigned n;
    struct strbuf text;
};

static void apply_done(struct apply *a)
{
    json_decref(a->applied);
    json_decref(a->live);
    json_decref(a->merged);
    json_decref(a->list);
    strbuf_done(&a->text);
}

/* The original tells this as an error of its own; why: a message, or a field that is unknown. */
static int not_typed(struct call *c, const char *why)
{
    bool field = strchr(why, ' ') == NULL;
    char text[1024];
    (void)snprintf(text, sizeof text, "%s%s%s", field ? "." : "", why,
                   field ? ": field not declared in schema" : "");
    return fault_set(&c->fault, 500, "",
                     "failed to create typed patch object (%s/%s; %s, Kind=%s): %s",
                     c->request.namespace, c->request.name,
                     resource_api_version(c->request.resource), c->request.resource->kind, text);
}

/* What is there already has a name; what is applied need not repeat it. */
static int check_merged(struct call *c, json_t *merged)
{
    const char *namespace = meta_namespace(merged);
    if (!*meta_name(merged))
        return fault_bad_request(&c->fault, "name must be provided");
    if (strcmp(meta_name(merged), c->request.name) != 0)
        return fault_bad_request(&c->fault,
                                 "the name of the object does not match the name on the URL (%s)",
                                 c->request.name);
    if (*namespace && strcmp(namespace, c->request.namespace) != 0)
        return fault_bad_request(&c->fault, "the namespace of the provided object does not match "
                                            "the namespace sent on the request");
    if (c->request.resource->namespaced)
        path_set_text(merged, "metadata.namespace", c->request.namespace);
    return 0;
}

static int read_applied(struct apply *a)
{
    struct strbuf twice = { 0 };
    struct call *c = a->call;
    json_t *shaped = NULL, *unknown = json_array();
    int r = body_read("application/yaml", c->given, c->given_len, &a->applied, &c->fault);
    if (r == 0)
        r = rest_check_kind(c, a->applied, true);
    if (r == 0 && shape_object(c->request.resource, a->applied, unknown, &shaped, &c->fault) < 0)
        r = not_typed(c, c->fault.message);
    if (r == 0 && json_array_size(unknown))
        r = not_typed(c, json_string_value(json_array_get(unknown, 0)));
    if (r == 0 && fieldset_duplicate(a->type, a->applied, &twice))
        r = not_typed(c, twice.p);
    if (r == 0 && path_get(a->applied, "metadata.managedFields"))
        r = fault_bad_request(&c->fault, "metadata.managedFields must be nil");
    if (r == 0 && json_is_null(json_object_get(a->applied, "metadata")))
        json_object_del(a->applied, "metadata");
    strbuf_done(&twice);
    json_decref(shaped);
    json_decref(unknown);
    return r;
}

/* Takes out what this manager applied before, does not any more, and nobody else holds. now: what
 * it speaks of, its name and kind included. */
static void prune(struct apply *a, const json_t *now)
{
    json_t *held = json_deep_copy(now), *e;
    size_t i;
    json_array_foreach(a->list, i, e) if (e != a->mine)
    {
        json_t *more = fieldset_union(held, fields_of(e));
        json_decref(held);
        held = more;
    }
    fieldset_remove(a->type, a->merged, fields_of(a->mine), held);
    json_decref(held);
}

static void on_conflict(void *ctx, const char *path)
{
    struct apply *a = ctx;
    struct fault *f = &a->call->fault;
    char message[MANAGER_MAX + 128];
    (void)snprintf(message, sizeof message, "conflict with \"%s\" using %s",
                   path_text(a->owner, "manager"), path_text(a->owner, "apiVersion"));
    if (a->n++ >= CONFLICTS_MAX)
        return;
    if (!f->causes)
        f->causes = json_array();
    json_array_append_new(f->causes, json_pack("{s:s, s:s, s:s}", "reason", "FieldManagerConflict",
                                               "message", message, "field", path));
    strbuf_printf(&a->text, "%s%s: %s", a->text.len ? "\n" : "", message, path);
}

static int check_conflicts(struct apply *a, const struct change *ch)
{
    bool force = request_is(&a->call->request, "force");
    json_t *e;
    size_t i;
    json_array_foreach(a->list, i, e)
    {
        if (e == a->mine)
            continue;
        json_t *common = fieldset_common(fields_of(e), ch->changed);
        a->owner = e;
        if (force)
            set_fields(e, fieldset_minus(fields_of(e), common));
        else
            fieldset_each(common, on_conflict, a);
        json_decref(common);
        set_fields(e, fieldset_minus(fields_of(e), ch->removed));
    }
    if (!a->n)
        return 0;
    return fault_set(&a->call->fault, 409, "Conflict", "Apply failed with %u conflict%s: %s", a->n,
                     a->n > 1 ? "s" : "", a->text.p);
}

/* What was there before anybody's fields were kept belongs to a manager of this name. */
static void own_before(struct apply *a)
{
    struct change all = changes(a->call, NULL, a->live);
    json_t *e = entry_of(a->list, "before-first-apply", "Update", a->call);
    set_fields(e, json_incref(all.changed));
    touch(e);
    change_done(&all);
}

static int merge(struct apply *a)
{
    json_t *set = fieldset_of(a->type, a->applied), *now = fieldset_strip(set);
    if (a->call->request.resource->has_status)
        json_object_del(now, *a->call->request.sub ? "f:spec" : "f:status");
    a->list = managers_of(a->live);
    if (a->live && !json_array_size(a->list))
        own_before(a);
    a->mine = entry_of(a->list, a->manager, "Apply", a->call);
    a->merged = a->live ? json_deep_copy(a->live) : json_object();
    fieldset_merge(a->type, a->merged, a->applied);
    prune(a, set);
    json_decref(set);
    struct change ch = changes(a->call, a->live, a->merged);
    int r = check_conflicts(a, &ch);
    set_fields(a->mine, now);
    if (json_object_size(ch.changed) || json_object_size(ch.removed))
        touch(a->mine);
    change_done(&ch);
    tidy(a->list);
    return r;
}

static int store(struct apply *a)
{
    struct call *c = a->call;
    json_t *doc;
    struct item *old =
        registry_find(c->registry, c->request.resource, c->request.namespace, c->request.name);
    if (check_merged(c, a->merged) < 0)
        return -1;
    if (shape_object(c->request.resource, a->merged, NULL, &doc, &c->fault) < 0)
        return -1;
    c->managers = json_incref(a->list);
    if (old)
        return rest_store_changed(c, old, doc);
    return rest_store_new(c, doc);
}

int managed_apply(struct call *c)
{
    struct apply a = { .call = c, .type = resource_type(c->request.resource) };
    const char *given = request_get(&c->request, "fieldManager");
    if (!given || !*given)
        return fault_set(&c->fault, 422, "Invalid",
                         "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: "
                         "is required for apply patch");
    a.old = registry_find(c->registry, c->request.resource, c->request.namespace, c->request.name);
    if (!a.old && *c->request.sub)
        return fault_not_found(&c->fault, c->request.resource, c->request.name);
    a.live = a.old ? item_doc(a.old) : NULL;
    int r = manager_name(c, a.manager);
    if (r == 0)
        r = read_applied(&a);
    if (r == 0)
        r = merge(&a);
    if (r == 0)
        r = store(&a);
    apply_done(&a);
    return r;
}
