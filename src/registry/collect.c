#include "registry/collect.h"

#include "base/ht.h"
#include "base/str.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/shape.h"

#include <string.h>

/* Which object, without a hold on any state of it. */
struct key {
    const struct resource *resource;
    char *namespace, *name;
};

struct keys {
    struct key *items;
    size_t n, capacity;
};

struct collector {
    struct registry *registry;
    struct registry_listener listener;
    struct ht dependents; /* uid of an owner -> struct keys * */
    const struct resource *namespaces;
};

/* ---- the index of dependents ---- */

static void keys_free(struct keys *k)
{
    if (!k)
        return;
    vec_each (i, k) {
        free(i->namespace);
        free(i->name);
    }
    vec_done(k);
    free(k);
}

static bool is_key(const struct key *k, const struct item *i)
{
    return k->resource == i->resource && item_compare(i, k->namespace, k->name) == 0;
}

static void add_dependent(struct collector *c, const char *uid, size_t len, const struct item *i)
{
    struct keys *k = ht_get(&c->dependents, uid, len);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        ht_put(&c->dependents, uid, len, k);
    }
    vec_push(k, (struct key){ i->resource, xstrdup(i->namespace), xstrdup(i->name) });
}

static void remove_dependent(struct collector *c, const char *uid, size_t len, const struct item *i)
{
    struct keys *k = ht_get(&c->dependents, uid, len);
    for (size_t n = 0; k && n < k->n; n++) {
        if (!is_key(&k->items[n], i))
            continue;
        free(k->items[n].namespace);
        free(k->items[n].name);
        vec_swap_remove(k, n);
        break;
    }
    if (k && !k->n)
        keys_free(ht_del(&c->dependents, uid, len));
}

static void index_item(struct collector *c, const struct item *i,
                       void (*fn)(struct collector *, const char *, size_t, const struct item *))
{
    if (!i)
        return;
    for (const char *p = i->owners; *p;) {
        size_t n = strcspn(p, ",");
        if (n)
            fn(c, p, n, i);
        p += n + 1;
    }
}

/* ---- changing objects ---- */

/* Takes a text out of a list; an empty list goes, too. */
static bool take_out(json_t *doc, const char *path, const char *text)
{
    json_t *list = path_get(doc, path);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_eq(json_string_value(json_array_get(list, i)), text)) {
            json_array_remove(list, i);
            if (!json_array_size(list))
                path_delete(doc, path);
            return true;
        }
    return false;
}

/* Stores a changed document (taken over), or deletes what nobody holds any more. */
static void store(struct collector *c, struct item *i, json_t *doc)
{
    struct fault f = { 0 };
    json_t *shaped;
    if (delete_is_due(doc))
        delete_now(c->registry, i);
    else if (shape_object(i->resource, doc, NULL, &shaped, &f) == 0)
        registry_put(c->registry, i->resource, shaped);
    json_decref(doc);
    fault_done(&f);
}

static void delete_one(struct collector *c, struct item *i)
{
    static const struct delete_options options = { .grace = -1 };
    struct fault f = { 0 };
    struct item *last = NULL;
    bool gone;
    if (delete_item(c->registry, i, &options, &last, &gone, &f) == 0)
        item_unref(last);
    fault_done(&f);
}

/* ---- owners ---- */

/* An owner of a kind that we do not keep is somebody else's to know of. */
static bool owner_lives(const struct collector *c, const json_t *owner, const char *namespace)
{
    const char *version = path_text(owner, "apiVersion"), *kind = path_text(owner, "kind"),
               *name = path_text(owner, "name");
    const struct resource *of = version && kind ? resource_of_kind(version, kind) : NULL;
    if (!of || !name)
        return true;
    const struct item *i = registry_find(c->registry, of, of->namespaced ? namespace : "", name);
    return i && str_eq(i->uid, path_text(owner, "uid"));
}

/* Owners that are gone are taken out of the list; without any other the object goes. */
static void check_owners(struct collector *c, struct item *i, const char *orphaned)
{
    json_t *doc = item_doc(i), *list = path_get(doc, "metadata.ownerReferences");
    size_t dead = 0, let_go = 0;
    for (size_t n = json_array_size(list); n > 0; n--) {
        const json_t *owner = json_array_get(list, n - 1);
        bool orphan = str_eq(path_text(owner, "uid"), orphaned);
        if (!orphan && owner_lives(c, owner, i->namespace))
            continue;
        dead += !orphan;
        let_go += orphan;
        json_array_remove(list, n - 1);
    }
    bool alone = !json_array_size(list);
    if (alone && dead && !let_go) {
        json_decref(doc);
        if (!i->deleting)
            delete_one(c, i);
    } else if (dead || let_go) {
        if (alone)
            path_delete(doc, "metadata.ownerReferences");
        store(c, i, doc);
    } else {
        json_decref(doc);
    }
}

/* A list of our own: what is done to the objects changes the index. */
static void each_dependent(struct collector *c, const char *uid, const char *orphaned)
{
    const struct keys *k = ht_get_str(&c->dependents, uid);
    struct item_list l = { 0 };
    for (size_t n = 0; k && n < k->n; n++) {
        struct item *i = registry_find(c->registry, k->items[n].resource, k->items[n].namespace,
                                       k->items[n].name);
        if (i)
            vec_push(&l, item_ref(i));
    }
    vec_each (i, &l)
        check_owners(c, *i, orphaned);
    item_list_done(&l);
}

/* ---- finalizers of our own ---- */

static bool has_dependents(const struct collector *c, const char *uid)
{
    return ht_get_str(&c->dependents, uid) != NULL;
}

static void delete_dependents(struct collector *c, const char *uid)
{
    const struct keys *k = ht_get_str(&c->dependents, uid);
    struct item_list l = { 0 };
    for (size_t n = 0; k && n < k->n; n++) {
        struct item *i = registry_find(c->registry, k->items[n].resource, k->items[n].namespace,
                                       k->items[n].name);
        if (i && !i->deleting)
            vec_push(&l, item_ref(i));
    }
    vec_each (i, &l)
        delete_one(c, *i);
    item_list_done(&l);
}

static void work_off(struct collector *c, struct item *i)
{
    static const char path[] = "metadata.finalizers";
    json_t *doc = item_doc(i);
    bool changed = take_out(doc, path, "orphan");
    if (changed)
        each_dependent(c, i->uid, i->uid);
    if (strstr(i->text, "\"foregroundDeletion\"")) {
        delete_dependents(c, i->uid);
        if (!has_dependents(c, i->uid))
            changed |= take_out(doc, path, "foregroundDeletion");
    }
    if (changed)
        store(c, i, doc);
    else
        json_decref(doc);
}

/* An owner that is waited for may be done when its last dependent has gone. */
static void check_waiting_owners(struct collector *c, const struct item *gone)
{
    json_t *doc = item_doc(gone);
    const json_t *list = path_get(doc, "metadata.ownerReferences");
    for (size_t n = 0; n < json_array_size(list); n++) {
        const json_t *owner = json_array_get(list, n);
        const char *version = path_text(owner, "apiVersion"), *kind = path_text(owner, "kind");
        const struct resource *of = version && kind ? resource_of_kind(version, kind) : NULL;
        struct item *i = of ? registry_find(c->registry, of, of->namespaced ? gone->namespace : "",
                                            path_text(owner, "name"))
                            : NULL;
        if (i && i->deleting)
            work_off(c, i);
    }
    json_decref(doc);
}

/* ---- namespaces ---- */

/* Deletes what is in it; when nothing is left, the namespace itself. */
static void empty_namespace(struct collector *c, struct item *namespace)
{
    size_t left = 0;
    for (size_t k = 0; k < n_resources; k++) {
        struct item_list l;
        if (!resources[k].namespaced)
            continue;
        registry_list(c->registry, &resources[k], namespace->name, &l);
        vec_each (i, &l)
            if (!(*i)->deleting)
                delete_one(c, *i);
        item_list_done(&l);
        registry_list(c->registry, &resources[k], namespace->name, &l);
        left += l.n;
        item_list_done(&l);
    }
    if (left)
        return;
    json_t *doc = item_doc(namespace);
    if (take_out(doc, "spec.finalizers", "kubernetes"))
        store(c, namespace, doc);
    else
        json_decref(doc);
}

static void check_namespace(struct collector *c, const char *name)
{
    struct item *i = registry_find(c->registry, c->namespaces, "", name);
    if (i && i->deleting)
        empty_namespace(c, i);
}

/* ---- events ---- */

static void on_event(void *ctx, const struct history_event *e)
{
    struct collector *c = ctx;
    struct item *i = e->now ? e->now : e->before;
    index_item(c, e->before, remove_dependent);
    index_item(c, e->now, add_dependent);
    /* An older event of an object that has changed again: the newer one is yet to come. */
    if (registry_find(c->registry, i->resource, i->namespace, i->name) != e->now)
        return;
    if (!e->now) {
        each_dependent(c, i->uid, NULL);
        check_waiting_owners(c, i);
        if (i->resource->namespaced)
            check_namespace(c, i->namespace);
        return;
    }
    if (!e->before && *i->owners)
        check_owners(c, i, NULL);
    else if (i->deleting && i->resource == c->namespaces)
        empty_namespace(c, i);
    else if (i->deleting &&
             (strstr(i->text, "\"orphan\"") || strstr(i->text, "\"foregroundDeletion\"")))
        work_off(c, i);
}

struct collector *collector_new(struct registry *r)
{
    struct collector *c = xcalloc(1, sizeof *c);
    c->registry = r;
    c->namespaces = resource_find("", "v1", "namespaces");
    c->listener = (struct registry_listener){ .event = on_event, .ctx = c };
    registry_listen(r, &c->listener);
    struct item_list all[RESOURCES_MAX];
    for (size_t k = 0; k < n_resources; k++) {
        registry_list(r, &resources[k], NULL, &all[k]);
        vec_each (i, &all[k])
            index_item(c, *i, add_dependent);
    }
    for (size_t k = 0; k < n_resources; k++) {
        vec_each (i, &all[k])
            if ((*i)->deleting && (*i)->resource == c->namespaces)
                empty_namespace(c, *i);
        item_list_done(&all[k]);
    }
    return c;
}

void collector_free(struct collector *c)
{
    if (!c)
        return;
    registry_unlisten(c->registry, &c->listener);
    ht_each (e, &c->dependents)
        keys_free(e->value);
    ht_done(&c->dependents);
    free(c);
}
