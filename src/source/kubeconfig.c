#include "source/kubeconfig.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/tree.h"
#include "wire/radix.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXEC_LIST_MAX  256 /* arguments and variables of a credential program */
#define EXEC_EXTENSION "client.authentication.k8s.io/exec"

/* One file; its name is for errors and relative paths. */
struct file {
    const char *path;
    const struct tree *root;
};

struct reader {
    struct arena *a;
    struct err *e;
    struct file files[KUBECONFIG_FILES_MAX];
    size_t n;
};

static int fail(const struct reader *r, const struct file *f, const struct tree *at,
                const char *fmt, ...) printf_like(4, 5);

static int fail(const struct reader *r, const struct file *f, const struct tree *at,
                const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, ERR_INVALID, "%s:%d: %s", f->path, at ? at->line : 1, text);
}

/* ---- files ---- */

static int read_file(struct reader *r, const char *path)
{
    cleanup_free char *text = NULL;
    struct tree_doc doc;
    size_t len = 0;
    int code = file_load(path, KUBECONFIG_BYTES_MAX, &text, &len, r->e);
    if (code == 0)
        code = tree_parse(text, len, path, r->a, &doc, r->e);
    if (code < 0)
        return code;
    struct file *f = &r->files[r->n++];
    *f = (struct file){ .path = path, .root = doc.n ? doc.documents[0] : NULL };
    if (doc.n > 1 || (doc.n && doc.documents[0]->kind != TREE_MAPPING))
        return fail(r, f, NULL, "a kubeconfig file is one mapping");
    const char *kind = tree_str(f->root, "kind");
    return kind && strcmp(kind, "Config") != 0
               ? fail(r, f, tree_get(f->root, "kind"), "kind \"%s\" is no kubeconfig", kind)
               : 0;
}

static int read_files(struct reader *r, const char *const *files, size_t n)
{
    if (n > KUBECONFIG_FILES_MAX)
        return err_set(r->e, ERR_LIMIT, "more than %d kubeconfig files", KUBECONFIG_FILES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (n > 1 && access(files[i], F_OK) < 0)
            continue;
        int code = read_file(r, files[i]);
        if (code < 0)
            return code;
    }
    return r->n
               ? 0
               : err_set(r->e, -ENOENT, "no kubeconfig file is there; name one, or set KUBECONFIG");
}

/* {name: NAME, <what>: {...}} in the list; the first file that has it counts. */
static const struct tree *find_entry(const struct reader *r, const char *list, const char *what,
                                     const char *name, const struct file **ret)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct tree *l = tree_get(r->files[i].root, list);
        for (const struct tree *t = l ? l->child : NULL; t; t = t->next) {
            if (!str_eq(tree_str(t, "name"), name))
                continue;
            *ret = &r->files[i];
            const struct tree *entry = tree_get(t, what);
            return entry ? entry : t;
        }
    }
    return NULL;
}

static const char *current_context(const struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *name = tree_str(r->files[i].root, "current-context");
        if (name && *name)
            return name;
    }
    return NULL;
}

/* ---- values ---- */

static const char *text(const struct reader *r, const struct tree *t, const char *key)
{
    const char *s = tree_str(t, key);
    return s && *s ? arena_strdup(r->a, s) : NULL;
}

/* Relative to the folder of the file that says so. */
static const char *path(const struct reader *r, const struct file *f, const struct tree *t,
                        const char *key)
{
    const char *s = text(r, t, key), *slash = strrchr(f->path, '/');
    if (!s || *s == '/' || !slash)
        return s;
    return arena_printf(r->a, "%.*s/%s", (int)(slash - f->path), f->path, s);
}

static int data(const struct reader *r, const struct file *f, const struct tree *t, const char *key,
                const char **ret)
{
    const char *s = tree_str(t, key);
    *ret = NULL;
    if (!s || !*s)
        return 0;
    size_t cap = strlen(s) / 4 * 3 + 4;
    struct wbuf out = wbuf_of(arena_zalloc(r->a, cap + 1), cap);
    struct radix_reader bits = { .r = &radix_64 };
    bool good = true;
    for (size_t n; good && *s; s += n) { /* in lines, perhaps */
        s += strspn(s, " \t\r\n");
        n = strcspn(s, " \t\r\n");
        good = radix_read(&bits, s, n, &out);
    }
    if (!good || !radix_end(&bits) || out.bad || memchr(out.base, 0, out.pos))
        return fail(r, f, tree_get(t, key), "%s is not base64 of a text", key);
    *ret = (const char *)out.base;
    return 0;
}

static bool is_true(const struct tree *t, const char *key)
{
    return str_eq(tree_str(t, key), "true");
}

/* ---- cluster ---- */

static int read_server(const struct reader *r, const struct file *f, const struct tree *t,
                       struct api_config *c)
{
    const char *s = tree_str(t, "server");
    if (!s || !*s)
        return fail(r, f, t, "the cluster has no server");
    if (!str_starts(s, "https://") && !str_starts(s, "http://"))
        s = arena_printf(r->a, "http://%s", s);
    size_t n = strlen(s);
    while (n && s[n - 1] == '/')
        n--;
    c->server = arena_strndup(r->a, s, n);
    return 0;
}

static int read_cluster(const struct reader *r, const char *name, struct api_config *c)
{
    const struct file *f = &r->files[0];
    const struct tree *t = find_entry(r, "clusters", "cluster", name, &f);
    if (!t)
        return fail(r, f, NULL, "cluster \"%s\" does not exist", name);
    c->ca = path(r, f, t, "certificate-authority");
    c->server_name = text(r, t, "tls-server-name");
    c->insecure = is_true(t, "insecure-skip-tls-verify");
    c->proxy = text(r, t, "proxy-url");
    int code = read_server(r, f, t, c);
    if (code == 0)
        code = data(r, f, t, "certificate-authority-data", &c->ca_pem);
    if (code == 0 && c->insecure && (c->ca || c->ca_pem))
        code = fail(r, f, t,
                    "insecure-skip-tls-verify and a certificate authority exclude each other");
    return code;
}

/* ---- user ---- */

static int read_exec_args(const struct reader *r, const struct file *f, const struct tree *t,
                          struct api_exec *x)
{
    const struct tree *args = tree_get(t, "args"), *env = tree_get(t, "env");
    const char **a = arena_alloc(r->a, EXEC_LIST_MAX * sizeof *a);
    const char **v = arena_alloc(r->a, EXEC_LIST_MAX * sizeof *v);
    for (const struct tree *i = args ? args->child : NULL; i; i = i->next) {
        if (x->n_args == EXEC_LIST_MAX || !tree_text(i))
            return fail(r, f, i, "exec.args is a list of at most %d texts", EXEC_LIST_MAX);
        a[x->n_args++] = arena_strdup(r->a, tree_text(i));
    }
    for (const struct tree *i = env ? env->child : NULL; i; i = i->next) {
        const char *name = tree_str(i, "name"), *value = tree_str(i, "value");
        if (x->n_env == EXEC_LIST_MAX || !name)
            return fail(r, f, i, "exec.env is a list of at most %d entries with name and value",
                        EXEC_LIST_MAX);
        v[x->n_env++] = arena_printf(r->a, "%s=%s", name, value ? value : "");
    }
    x->args = a;
    x->env = v;
    return 0;
}

static int check_interactive(const struct reader *r, const struct file *f, const struct tree *t,
                             const struct api_exec *x)
{
    const char *mode = tree_str(t, "interactiveMode");
    const struct tree *at = mode ? tree_get(t, "interactiveMode") : t;
    if (str_eq(mode, "Never") || str_eq(mode, "IfAvailable"))
        return 0;
    if (str_eq(mode, "Always"))
        return fail(r, f, at, "exec.interactiveMode Always: there is no terminal to ask at");
    if (mode && *mode)
        return fail(r, f, at, "exec.interactiveMode \"%s\": must be Never, IfAvailable or Always",
                    mode);
    return str_eq(x->api_version, "client.authentication.k8s.io/v1beta1")
               ? 0
               : fail(r, f, at, "exec.interactiveMode must be given with %s", x->api_version);
}

/* What the cluster's extension has for credential programs. */
static const char *exec_config(const struct reader *r, const char *cluster)
{
    const struct file *f;
    const struct tree *t = find_entry(r, "clusters", "cluster", cluster, &f),
                      *list = tree_get(t, "extensions");
    for (t = list ? list->child : NULL; t; t = t->next) {
        struct strbuf b = { 0 };
        if (!str_eq(tree_str(t, "name"), EXEC_EXTENSION) || !tree_get(t, "extension"))
            continue;
        tree_print_json(&b, tree_get(t, "extension"));
        const char *text = arena_strdup(r->a, b.p);
        strbuf_done(&b);
        return text;
    }
    return NULL;
}

static int read_exec(const struct reader *r, const struct file *f, const struct tree *t,
                     struct api_config *c)
{
    struct api_exec *x = arena_zalloc(r->a, sizeof *x);
    x->command = text(r, t, "command");
    x->api_version = text(r, t, "apiVersion");
    x->install_hint = text(r, t, "installHint");
    x->cluster_info = is_true(t, "provideClusterInfo");
    if (!x->command)
        return fail(r, f, t, "exec has no command");
    if (strchr(x->command, '/'))
        x->command = path(r, f, t, "command");
    if (!str_eq(x->api_version, "client.authentication.k8s.io/v1") &&
        !str_eq(x->api_version, "client.authentication.k8s.io/v1beta1"))
        return fail(r, f, t,
                    "exec.apiVersion \"%s\" is not supported; use client.authentication.k8s.io/v1",
                    x->api_version ? x->api_version : "");
    c->exec = x;
    int code = check_interactive(r, f, t, x);
    return code < 0 ? code : read_exec_args(r, f, t, x);
}

static int read_user(const struct reader *r, const char *name, struct api_config *c)
{
    const struct file *f = &r->files[0];
    const struct tree *t = find_entry(r, "users", "user", name, &f), *other;
    if (!t)
        return fail(r, f, NULL, "user \"%s\" does not exist", name);
    if ((other = tree_get(t, "auth-provider")))
        return fail(r, f, other, "auth-provider is not supported; use exec");
    if ((other = tree_get(t, "as-groups")) || (other = tree_get(t, "as-user-extra")))
        return fail(r, f, other, "%s is not supported; take it out", other->key);
    c->cert = path(r, f, t, "client-certificate");
    c->key = path(r, f, t, "client-key");
    c->token = text(r, t, "token");
    c->token_file = path(r, f, t, "tokenFile");
    c->user = text(r, t, "username");
    c->password = text(r, t, "password");
    c->as = text(r, t, "as");
    int code = data(r, f, t, "client-certificate-data", &c->cert_pem);
    if (code == 0)
        code = data(r, f, t, "client-key-data", &c->key_pem);
    if (code == 0 && !(c->cert || c->cert_pem) != !(c->key || c->key_pem))
        code = fail(r, f, t, "a client certificate and its key come together");
    if (code == 0 && (other = tree_get(t, "exec")) && other->kind == TREE_MAPPING)
        code = read_exec(r, f, other, c);
    return code;
}

int kubeconfig_load(const char *const *files, size_t n, const char *context, struct arena *a,
                    struct api_config *ret, struct err *e)
{
    struct reader r = { .a = a, .e = e };
    struct api_config c = { .namespace = "default", .origin = n ? arena_strdup(a, files[0]) : "" };
    const struct file *f = &r.files[0];
    int code = read_files(&r, files, n);
    if (code < 0)
        return code;
    const char *name = context ? context : current_context(&r);
    if (!name)
        return fail(&r, f, NULL, "there is no current-context; name one");
    const struct tree *t = find_entry(&r, "contexts", "context", name, &f);
    if (!t)
        return fail(&r, f, NULL, "context \"%s\" does not exist", name);
    const char *cluster = tree_str(t, "cluster"), *user = tree_str(t, "user");
    if (!cluster)
        return fail(&r, f, t, "context \"%s\" names no cluster", name);
    code = read_cluster(&r, cluster, &c);
    if (code == 0 && user && *user)
        code = read_user(&r, user, &c);
    if (code == 0 && c.exec && c.exec->cluster_info)
        c.exec->cluster_config = exec_config(&r, cluster);
    if (code < 0)
        return code;
    if (text(&r, t, "namespace"))
        c.namespace = text(&r, t, "namespace");
    *ret = c;
    return 0;
}

size_t kubeconfig_files(struct arena *a, const char *files[KUBECONFIG_FILES_MAX])
{
    const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
    size_t n = 0;
    while (list && *list && n < KUBECONFIG_FILES_MAX) {
        size_t len = strcspn(list, ":");
        if (len)
            files[n++] = arena_strndup(a, list, len);
        list += len + (list[len] == ':');
    }
    if (!n && home)
        files[n++] = arena_printf(a, "%s/.kube/config", home);
    return n;
}

int api_config_in_cluster(const char *folder, struct arena *a, struct api_config *ret,
                          struct err *e)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    cleanup_free char *ns = NULL;
    size_t len;
    if (!host || !*host || !port || !*port)
        return err_set(e, ERR_NOT_FOUND,
                       "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and "
                       "KUBERNETES_SERVICE_PORT "
                       "must be defined");
    folder = folder ? folder : SERVICE_ACCOUNT;
    bool v6 = strchr(host, ':');
    struct api_config c = { .namespace = "default", .origin = "in-cluster configuration" };
    c.server = arena_printf(a, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    c.ca = arena_printf(a, "%s/ca.crt", folder);
    c.token_file = arena_printf(a, "%s/token", folder);
    if (access(c.token_file, R_OK) < 0)
        return err_set(e, -errno, "open %s: %s", c.token_file, strerror(errno));
    if (file_load(arena_printf(a, "%s/namespace", folder), 256, &ns, &len, NULL) == 0 && len)
        c.namespace = arena_strndup(a, ns, strcspn(ns, "\r\n"));
    *ret = c;
    return 0;
}
