#include "lab/manifest.h"

#include "base/str.h"
#include "config/tree.h"
#include "lab/place.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

static json_t *plain_scalar(const char *text)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    const char *digits = text + (*text == '-');
    if (*digits && !*end && !errno && (digits[0] != '0' || !digits[1]))
        return json_integer(n);
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return json_boolean(text[0] == 't');
    return json_string(text);
}

json_t *manifest_json(const struct tree *t)
{
    json_t *json;
    switch (t ? t->kind : TREE_NULL) {
    case TREE_SCALAR:
        json = t->quoted ? json_string(t->text) : plain_scalar(t->text);
        return json ? json : json_string(""); /* text that is not UTF-8 */
    case TREE_SEQUENCE:
        json = json_array();
        for (const struct tree *c = t->child; c; c = c->next)
            json_array_append_new(json, manifest_json(c));
        return json;
    case TREE_MAPPING:
        json = json_object();
        for (const struct tree *c = t->child; c; c = c->next)
            json_object_set_new(json, c->key, manifest_json(c));
        return json;
    default:
        return json_null();
    }
}

json_t *json_at(json_t *json, const char *path)
{
    while (json && *path) {
        size_t n = strcspn(path, ".");
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        json = json_object_get(json, key);
        path += n + (path[n] == '.');
    }
    return json;
}

const char *json_text(json_t *json, const char *path)
{
    return json_string_value(json_at(json, path));
}

static void printf_like(2, 3) problem(struct manifests *m, const char *fmt, ...)
{
    struct strbuf b = { 0 };
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    strbuf_puts(&b, text);
    vec_push(&m->problems, strbuf_steal(&b));
}

static bool is_cluster_scoped(const char *kind)
{
    return str_eq(kind, "Node") || str_eq(kind, "Namespace") || str_eq(kind, "ClusterRole") ||
           str_eq(kind, "ClusterRoleBinding");
}

/* The places where the other fields of the struct point into. */
static void fill_names(struct manifest *d)
{
    json_t *meta = json_object_get(d->json, "metadata");
    d->kind = json_text(d->json, "kind");
    d->name = json_text(meta, "name");
    d->namespace = "";
    if (meta && d->kind && !is_cluster_scoped(d->kind)) {
        if (!json_text(meta, "namespace"))
            json_object_set_new(meta, "namespace", json_string("default"));
        d->namespace = json_text(meta, "namespace");
    }
}

/* Takes the JSON value over. */
static void add_document(struct manifests *m, json_t *json, const char *path, int line)
{
    struct manifest d = { .json = json };
    struct strbuf origin = { 0 };
    fill_names(&d);
    const struct manifest *other;
    if (!d.kind || !d.name) {
        problem(m, "%s:%d: no kind or metadata.name: not a Kubernetes object", path, line);
        json_decref(json);
    } else if ((other = manifests_find(m, d.kind, d.namespace, d.name))) {
        problem(m, "%s:%d: %s %s/%s is already in %s: this one is left out", path, line, d.kind,
                d.namespace, d.name, other->origin);
        json_decref(json);
    } else {
        strbuf_printf(&origin, "%s:%d", path, line);
        d.origin = strbuf_steal(&origin);
        vec_push(&m->items, d);
    }
}

static void add_tree(struct manifests *m, const struct tree *doc, const char *path)
{
    const char *kind = tree_str(doc, "kind");
    const struct tree *items = tree_get(doc, "items");
    if (!kind || !str_ends(kind, "List") || !items) {
        add_document(m, manifest_json(doc), path, doc->line);
        return;
    }
    for (const struct tree *c = items->child; c; c = c->next)
        add_document(m, manifest_json(c), path, c->line);
}

static void keep_from(struct manifests *m, const struct manifests *before, const char *path)
{
    size_t len = strlen(path);
    vec_each (d, &before->items) {
        if (!strncmp(d->origin, path, len) && d->origin[len] == ':')
            add_document(m, json_incref(d->json), path, atoi(d->origin + len + 1));
    }
}

static void read_file(struct manifests *m, const struct manifests *before, const char *path)
{
    struct arena arena;
    struct tree_doc docs;
    struct err e = { 0 };
    cleanup_free char *text = place_read(path, MANIFEST_FILE_MAX);
    if (!text) {
        /* Files may go between listing and reading. */
        if (errno != ENOENT)
            problem(m, "%s: %s", path, strerror(errno));
        return;
    }
    arena_init(&arena, 65536);
    if (tree_parse(text, strlen(text), path, &arena, &docs, &e) < 0) {
        problem(m, "%s", e.text);
        keep_from(m, before, path);
    } else {
        for (size_t i = 0; i < docs.n; i++)
            add_tree(m, docs.documents[i], path);
    }
    arena_done(&arena);
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static bool is_manifest_name(const char *name)
{
    return str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json");
}

static int read_folder(struct manifests *m, const struct manifests *before, const char *dir)
{
    struct dirent **names;
    int n = scandir(dir, &names, is_visible, alphasort);
    if (n < 0)
        return -errno;
    vec_push(&m->folders, xstrdup(dir));
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        struct stat st;
        place_path(path, dir, "%s", names[i]->d_name);
        free(names[i]);
        if (stat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && m->folders.n < MANIFEST_FILES_MAX)
            read_folder(m, before, path);
        else if (S_ISREG(st.st_mode) && is_manifest_name(path))
            read_file(m, before, path);
    }
    free(names);
    return 0;
}

int manifests_add(const char *dir, const struct manifests *before, struct manifests *m,
                  struct err *e)
{
    int code = read_folder(m, before, dir);
    return code < 0 ? err_set(e, code, "%s: %s", dir, strerror(-code)) : 0;
}

int manifests_read(const char *dir, const struct manifests *before, struct manifests *ret,
                   struct err *e)
{
    struct manifests m = { 0 };
    int code = manifests_add(dir, before, &m, e);
    if (code == 0)
        *ret = m;
    return code;
}

void manifests_done(struct manifests *m)
{
    vec_each (d, &m->items) {
        json_decref(d->json);
        free(d->origin);
    }
    vec_each (p, &m->problems)
        free(*p);
    vec_each (p, &m->folders)
        free(*p);
    vec_done(&m->items);
    vec_done(&m->problems);
    vec_done(&m->folders);
}

const struct manifest *manifests_find(const struct manifests *m, const char *kind,
                                      const char *namespace, const char *name)
{
    vec_each (d, &m->items) {
        if (str_eq(d->name, name) && str_eq(d->kind, kind) && str_eq(d->namespace, namespace))
            return d;
    }
    return NULL;
}
