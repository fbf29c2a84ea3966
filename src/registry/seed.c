#include "registry/seed.h"

#include "base/file.h"
#include "base/ht.h"
#include "base/log.h"
#include "base/str.h"
#include "config/tree.h"
#include "registry/managed.h"
#include "registry/meta.h"
#include "registry/path.h"
#include "registry/rest.h"
#include "registry/yaml_scalar.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS 1000

/* A file as it was when it was read last, and which objects it held. */
struct manifest {
    struct timespec changed;
    off_t size;
    ino_t inode;
    bool seen; /* in the look that is under way */
    struct ht objects;
};

struct seed {
    struct registry *registry;
    uv_timer_t timer;
    char **folders;
    size_t n;
    struct ht files; /* path -> struct manifest * */
};

/* ---- applying one object ---- */

static void log_fault(const char *file, const json_t *doc, const struct fault *f)
{
    const char *kind = path_text(doc, "kind");
    log_warning("%s: %s %s/%s: %s", file, kind ? kind : "object", meta_namespace(doc),
                meta_name(doc), f->message);
}

/* A request as if a client had sent it. */
static struct call *call_for(struct registry *r, const struct resource *of, const char *namespace,
                             const char *name, const char *sub)
{
    struct call *c = call_inside(r);
    c->request = (struct request){ .method = "PATCH",
                                   .path = "",
                                   .group = of->group,
                                   .version = of->version,
                                   .resource = of,
                                   .sub = sub };
    c->request.namespace = arena_strdup(&c->arena, namespace);
    c->request.name = arena_strdup(&c->arena, name);
    c->request.query[0] = (struct request_parameter){ "fieldManager", SEED_MANAGER };
    c->request.query[1] = (struct request_parameter){ "force", "true" };
    c->request.n_query = 2;
    return c;
}

static int apply_as(struct registry *r, const struct resource *of, const char *namespace,
                    const json_t *doc, const char *sub, const char *file)
{
    struct call *c = call_for(r, of, namespace, meta_name(doc), sub);
    cleanup_free char *text = json_dumps(doc, JSON_COMPACT);
    c->given = text;
    c->given_len = strlen(text);
    int code = managed_apply(c);
    if (code == 0)
        return 0;
    log_fault(file, doc, &c->fault);
    call_free(c);
    return code;
}

static void need_namespace(struct registry *r, const char *name, const char *file)
{
    const struct resource *of = resource_find("", "v1", "namespaces");
    if (registry_find(r, of, "", name))
        return;
    json_t *doc = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace",
                            "metadata", "name", name);
    (void)apply_as(r, of, "", doc, "", file);
    json_decref(doc);
}

/* A file may say what a kubelet or a load balancer would: addresses of Pods, Nodes, Services. One
 * that does not any more takes it back. */
static int apply_status(struct registry *r, const struct resource *of, const char *namespace,
                        const json_t *doc, const char *file)
{
    const json_t *status = json_object_get(doc, "status");
    const struct item *i = registry_find(r, of, namespace, meta_name(doc));
    bool said = json_object_size(status) > 0;
    if (!of->has_status || !i || (!said && !strstr(i->text, "\"subresource\":\"status\"")))
        return 0;
    json_t *part = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", resource_api_version(of), "kind",
                             of->kind, "metadata", "name", meta_name(doc));
    if (said)
        json_object_set_new(part, "status", json_deep_copy(status));
    int code = apply_as(r, of, namespace, part, "status", file);
    json_decref(part);
    return code;
}

static void note(struct manifest *m, const struct resource *of, const char *namespace,
                 const char *name)
{
    char key[640];
    int n = snprintf(key, sizeof key, "%zu/%s/%s", (size_t)(of - resources), namespace, name);
    ht_put(&m->objects, key, MIN((size_t)n, sizeof key - 1), m);
}

static int apply(struct seed *s, struct manifest *m, const json_t *doc, const char *file)
{
    const char *version = path_text(doc, "apiVersion"), *kind = path_text(doc, "kind");
    const struct resource *of = version && kind ? resource_of_kind(version, kind) : NULL;
    const char *namespace = meta_namespace(doc);
    if (!of || !(of->verbs & VERB_CREATE)) {
        log_warning("%s: %s of %s is not offered by signpost registry", file,
                    kind ? kind : "an object without kind", version ? version : "no apiVersion");
        return -1;
    }
    namespace = !of->namespaced ? "" : *namespace ? namespace : "default";
    if (of->namespaced)
        need_namespace(s->registry, namespace, file);
    int r = apply_as(s->registry, of, namespace, doc, "", file);
    if (r == 0)
        r = apply_status(s->registry, of, namespace, doc, file);
    if (r == 0 || registry_find(s->registry, of, namespace, meta_name(doc)))
        note(m, of, namespace, meta_name(doc));
    return r;
}

/* ---- files ---- */

static bool is_list(const json_t *doc)
{
    const char *kind = path_text(doc, "kind");
    return kind && str_ends(kind, "List") && json_is_array(json_object_get(doc, "items"));
}

/* Elements of a typed list need not say what they are. */
static void apply_list(struct seed *s, struct manifest *m, json_t *doc, const char *file)
{
    char kind[128];
    json_t *list = json_object_get(doc, "items"), *item;
    size_t i, len = strlen(path_text(doc, "kind")) - strlen("List");
    (void)snprintf(kind, sizeof kind, "%.*s", (int)MIN(len, sizeof kind - 1),
                   path_text(doc, "kind"));
    json_array_foreach(list, i, item)
    {
        if (*kind && path_text(doc, "apiVersion")) {
            path_default_text(item, "kind", kind);
            path_default_text(item, "apiVersion", path_text(doc, "apiVersion"));
        }
        (void)apply(s, m, item, file);
    }
}

static int read_manifest(struct seed *s, struct manifest *m, const char *path, struct err *e)
{
    cleanup_free char *text = NULL;
    size_t len;
    struct arena a;
    struct tree_doc docs;
    int r = file_load(path, SEED_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    arena_init(&a, 65536);
    r = tree_parse(text, len, path, &a, &docs, e);
    for (size_t i = 0; r == 0 && i < docs.n; i++) {
        json_t *doc = yaml_document(docs.documents[i], e);
        if (!doc)
            r = err_wrap(e, "%s", path);
        else if (is_list(doc))
            apply_list(s, m, doc, path);
        else
            (void)apply(s, m, doc, path);
        json_decref(doc);
    }
    arena_done(&a);
    return r;
}

static void manifest_free(struct manifest *m)
{
    if (!m)
        return;
    ht_done(&m->objects);
    free(m);
}

/* A file that cannot be read keeps the objects that it had. */
static void look_at_file(struct seed *s, const char *path, const struct stat *st, bool *ret_changed)
{
    struct err e = { 0 };
    struct manifest *m = ht_get_str(&s->files, path);
    if (!m && s->files.n >= SEED_FILES_MAX) {
        log_warning("%s: more than %d files: it is left out", path, SEED_FILES_MAX);
        return;
    }
    if (!m) {
        m = xcalloc(1, sizeof *m);
        ht_put_str(&s->files, path, m);
    }
    m->seen = true;
    if (m->size == st->st_size && m->inode == st->st_ino &&
        m->changed.tv_sec == st->st_mtim.tv_sec && m->changed.tv_nsec == st->st_mtim.tv_nsec)
        return;
    m->size = st->st_size;
    m->inode = st->st_ino;
    m->changed = st->st_mtim;
    struct ht before = m->objects;
    m->objects = (struct ht){ 0 };
    if (read_manifest(s, m, path, &e) < 0) {
        log_warning("%s; its objects stay as they were", e.text);
        ht_done(&m->objects);
        m->objects = before;
        return;
    }
    ht_done(&before);
    *ret_changed = true;
}

static bool is_manifest(const char *name)
{
    return *name != '.' &&
           (str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json"));
}

static int look_at_folder(struct seed *s, const char *folder, unsigned depth, bool *ret_changed,
                          struct err *e)
{
    struct dirent **list;
    char path[4096];
    struct stat st;
    int n = depth < SEED_DEPTH_MAX ? scandir(folder, &list, NULL, alphasort) : 0;
    if (n < 0)
        return err_set(e, -errno, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name;
        bool fits = snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path;
        if (fits && *name != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                (void)look_at_folder(s, path, depth + 1, ret_changed, e);
            else if (S_ISREG(st.st_mode) && is_manifest(name))
                look_at_file(s, path, &st, ret_changed);
        }
        free(list[i]);
    }
    if (depth < SEED_DEPTH_MAX)
        free(list);
    return 0;
}

/* ---- what no file holds any more ---- */

static bool is_held(const struct seed *s, const struct item *i)
{
    char key[640];
    int n = snprintf(key, sizeof key, "%zu/%s/%s", (size_t)(i->resource - resources), i->namespace,
                     i->name);
    ht_each (e, &s->files) {
        const struct manifest *m = e->value;
        if (ht_get(&m->objects, key, MIN((size_t)n, sizeof key - 1)))
            return true;
    }
    return false;
}

/* A namespace that was only made because objects needed it goes with the last file that did. */
static void sweep(struct seed *s)
{
    static const struct delete_options options = { .grace = -1 };
    for (size_t k = 0; k < n_resources; k++) {
        struct item_list l;
        if (strcmp(resources[k].kind, "Namespace") == 0)
            continue;
        registry_list(s->registry, &resources[k], NULL, &l);
        vec_each (i, &l) {
            struct fault f = { 0 };
            struct item *last = NULL;
            bool gone;
            if ((*i)->deleting || !strstr((*i)->text, "\"manager\":\"" SEED_MANAGER "\"") ||
                is_held(s, *i))
                continue;
            if (delete_item(s->registry, *i, &options, &last, &gone, &f) == 0)
                item_unref(last);
            fault_done(&f);
        }
        item_list_done(&l);
    }
}

static void forget_files(struct seed *s, bool *ret_changed)
{
    VEC(const char *) gone = { 0 };
    ht_each (e, &s->files)
        if (!((struct manifest *)e->value)->seen)
            vec_push(&gone, e->key);
    vec_each (path, &gone) {
        manifest_free(ht_del_str(&s->files, *path));
        *ret_changed = true;
    }
    vec_done(&gone);
}

/* A folder that is away for a moment takes nothing along. */
static int look(struct seed *s, bool first, struct err *e)
{
    bool changed = first;
    int r = 0;
    ht_each (f, &s->files)
        ((struct manifest *)f->value)->seen = false;
    for (size_t i = 0; i < s->n && r == 0; i++)
        r = look_at_folder(s, s->folders[i], 0, &changed, e);
    if (r < 0)
        return r;
    forget_files(s, &changed);
    if (changed)
        sweep(s);
    return 0;
}

static void on_look(uv_timer_t *t)
{
    struct err e = { 0 };
    if (look(t->data, false, &e) < 0)
        log_warning("%s; what it held stays", e.text);
}

/* ---- life ---- */

static void on_closed(uv_handle_t *h)
{
    struct seed *s = h->data;
    for (size_t i = 0; i < s->n; i++)
        free(s->folders[i]);
    free(s->folders);
    ht_each (e, &s->files)
        manifest_free(e->value);
    ht_done(&s->files);
    free(s);
}

int seed_open(uv_loop_t *loop, struct registry *r, const char *const *folders, size_t n,
              struct seed **ret, struct err *e)
{
    struct seed *s = xcalloc(1, sizeof *s);
    s->registry = r;
    s->folders = xcalloc(n, sizeof *s->folders);
    for (s->n = 0; s->n < n; s->n++)
        s->folders[s->n] = xstrdup(folders[s->n]);
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    int code = look(s, true, e);
    if (code < 0) {
        seed_close(s);
        return err_wrap(e, "--manifests");
    }
    uv_timer_start(&s->timer, on_look, LOOK_MS, LOOK_MS);
    *ret = s;
    return 0;
}

void seed_close(struct seed *s)
{
    if (s)
        uv_close((uv_handle_t *)&s->timer, on_closed);
}
