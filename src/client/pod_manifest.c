#include "client/pod_manifest.h"

#include "client/textfile.h"
#include "config/tree.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define ITEMS_MAX 4096 /* of any list read here: far above what the API takes */

struct reader {
    struct arena *arena;
    const char *file;
    struct err *e;
};

static int wrong(struct reader *r, int line, const char *path, const char *want)
{
    return err_set(r->e, ERR_INVALID, "%s:%d: %s must be %s", r->file, line, path, want);
}

/* The scalar at path; untouched when absent or null. label: what it is called in an error. */
static int read_text_as(struct reader *r, const struct tree *t, const char *path, const char *label,
                        const char **ret)
{
    const struct tree *at = tree_path(t, path);
    if (!at || at->kind == TREE_NULL)
        return 0;
    if (at->kind != TREE_SCALAR)
        return wrong(r, at->line, label, "a string");
    *ret = at->text;
    return 0;
}

static int read_text(struct reader *r, const struct tree *t, const char *path, const char **ret)
{
    return read_text_as(r, t, path, path, ret);
}

/* The first element of the list at path, or NULL when there is none. */
static int read_list(struct reader *r, const struct tree *t, const char *path,
                     const struct tree **ret_first, size_t *ret_n)
{
    const struct tree *at = tree_path(t, path);
    *ret_first = NULL;
    *ret_n = 0;
    if (!at || at->kind == TREE_NULL)
        return 0;
    if (at->kind != TREE_SEQUENCE)
        return wrong(r, at->line, path, "a list");
    for (const struct tree *i = at->child; i; i = i->next)
        ++*ret_n;
    if (*ret_n > ITEMS_MAX)
        return err_set(r->e, ERR_LIMIT, "%s:%d: %s has %zu elements, more than %d", r->file,
                       at->line, path, *ret_n, ITEMS_MAX);
    *ret_first = at->child;
    return 0;
}

static int read_strings(struct reader *r, const struct tree *t, const char *path,
                        struct strlist *out)
{
    const struct tree *i;
    size_t n;
    int rc = read_list(r, t, path, &i, &n);
    for (; i; i = i->next) {
        if (i->kind != TREE_SCALAR)
            return wrong(r, i->line, path, "a list of strings");
        strlist_add(out, r->arena, i->text);
    }
    return rc;
}

static int read_options(struct reader *r, const struct tree *pod, struct pod_dns *p)
{
    const struct tree *i;
    size_t n, at = 0;
    int rc = read_list(r, pod, "spec.dnsConfig.options", &i, &n);
    struct dns_option *options = n ? arena_zalloc(r->arena, n * sizeof *options) : NULL;
    for (; i && rc == 0; i = i->next, at++) {
        rc = read_text_as(r, i, "name", "spec.dnsConfig.options[].name", &options[at].name);
        if (rc == 0)
            rc = read_text_as(r, i, "value", "spec.dnsConfig.options[].value", &options[at].value);
        if (rc == 0 && !text_given(options[at].name))
            rc = wrong(r, i->line, "spec.dnsConfig.options[].name", "given");
    }
    p->options = options;
    p->n_options = n;
    return rc;
}

static int read_aliases(struct reader *r, const struct tree *pod, struct pod_dns *p)
{
    const struct tree *i;
    size_t n, at = 0;
    int rc = read_list(r, pod, "spec.hostAliases", &i, &n);
    struct host_alias *aliases = n ? arena_zalloc(r->arena, n * sizeof *aliases) : NULL;
    for (; i && rc == 0; i = i->next, at++) {
        rc = read_text_as(r, i, "ip", "spec.hostAliases[].ip", &aliases[at].ip);
        if (rc == 0)
            rc = read_strings(r, i, "hostnames", &aliases[at].names);
        if (rc == 0 && !text_given(aliases[at].ip))
            rc = wrong(r, i->line, "spec.hostAliases[].ip", "given");
    }
    p->aliases = aliases;
    p->n_aliases = n;
    return rc;
}

static int read_ips(struct reader *r, const struct tree *pod, struct pod_dns *p)
{
    const struct tree *i;
    size_t n;
    int rc = read_list(r, pod, "status.podIPs", &i, &n);
    const char *ip = NULL;
    for (; i && rc == 0; i = i->next) {
        ip = NULL;
        rc = read_text_as(r, i, "ip", "status.podIPs[].ip", &ip);
        if (rc == 0 && text_given(ip))
            strlist_add(&p->ips, r->arena, ip);
    }
    if (rc < 0 || p->ips.n)
        return rc;
    rc = read_text(r, pod, "status.podIP", &ip);
    if (rc == 0 && text_given(ip))
        strlist_add(&p->ips, r->arena, ip);
    return rc;
}

static int read_containers(struct reader *r, const struct tree *pod, const char *list,
                           struct pod_dns *p)
{
    const struct tree *c, *m;
    size_t n;
    int rc = read_list(r, pod, list, &c, &n);
    for (; c && rc == 0; c = c->next) {
        const char *name = "";
        rc = read_text_as(r, c, "name", "spec.containers[].name", &name);
        if (rc == 0)
            rc = read_list(r, c, "volumeMounts", &m, &n);
        for (; rc == 0 && m; m = m->next) {
            if (str_eq(tree_str(m, "mountPath"), "/etc/hosts"))
                strlist_add(&p->own_hosts, r->arena, name);
        }
    }
    return rc;
}

static int read_flag(struct reader *r, const struct tree *t, const char *path, bool *ret)
{
    int rc = tree_bool(t, path, ret, r->e);
    if (rc < 0)
        return err_wrap(r->e, "%s:%d: %s", r->file, tree_path(t, path)->line, path);
    return 0;
}

static int read_spec(struct reader *r, const struct tree *pod, struct pod_dns *p)
{
    const struct tree *config = tree_path(pod, "spec.dnsConfig");
    struct {
        const char *path;
        const char **to;
    } texts[] = {
        { "spec.dnsPolicy", &p->policy },
        { "spec.hostname", &p->hostname },
        { "spec.subdomain", &p->subdomain },
        { "spec.hostnameOverride", &p->hostname_override },
    };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_SIZE(texts) && rc == 0; i++)
        rc = read_text(r, pod, texts[i].path, texts[i].to);
    if (rc == 0)
        rc = read_flag(r, pod, "spec.hostNetwork", &p->host_network);
    if (rc == 0)
        rc = read_flag(r, pod, "spec.setHostnameAsFQDN", &p->hostname_as_fqdn);
    if (rc == 0 && config && config->kind != TREE_NULL && config->kind != TREE_MAPPING)
        rc = wrong(r, config->line, "spec.dnsConfig", "a mapping");
    p->has_config = config && config->kind == TREE_MAPPING;
    if (rc == 0)
        rc = read_strings(r, pod, "spec.dnsConfig.nameservers", &p->servers);
    if (rc == 0)
        rc = read_strings(r, pod, "spec.dnsConfig.searches", &p->searches);
    if (rc == 0)
        rc = read_options(r, pod, p);
    if (rc == 0)
        rc = read_aliases(r, pod, p);
    return rc;
}

int pod_manifest_read(const struct tree *pod, const char *file, struct arena *a,
                      struct pod_dns *ret, struct err *e)
{
    struct reader r = { .arena = a, .file = file, .e = e };
    struct pod_dns p = { .namespace = "default" };

    int rc = read_text(&r, pod, "metadata.name", &p.name);
    if (rc == 0)
        rc = read_text(&r, pod, "metadata.namespace", &p.namespace);
    if (rc == 0)
        rc = read_text(&r, pod, "metadata.uid", &p.uid);
    if (rc == 0 && !text_given(p.name))
        rc = wrong(&r, pod ? pod->line : 0, "metadata.name", "given");
    if (rc == 0)
        rc = read_spec(&r, pod, &p);
    if (rc == 0)
        rc = read_ips(&r, pod, &p);
    if (rc == 0)
        rc = read_containers(&r, pod, "spec.initContainers", &p);
    if (rc == 0)
        rc = read_containers(&r, pod, "spec.containers", &p);
    if (rc == 0)
        *ret = p;
    return rc;
}

/* Looks for the Pod that is wanted. */
struct search {
    const char *which; /* or NULL */
    const struct tree *found;
    const char *file; /* where it is */
    size_t n;         /* that match */
};

static bool is_wanted(const struct tree *pod, const char *which)
{
    const char *slash = which ? strchr(which, '/') : NULL;
    const char *namespace = tree_str(pod, "metadata.namespace");
    if (!which)
        return true;
    if (!namespace)
    namespace = "default";
    if (slash && (strlen(namespace) != (size_t)(slash - which) ||
                  strncmp(namespace, which, (size_t)(slash - which)) != 0))
        return false;
    return str_eq(tree_str(pod, "metadata.name"), slash ? slash + 1 : which);
}

static void search_document(struct search *s, const struct tree *t)
{
    const char *kind = tree_str(t, "kind");
    const struct tree *items = tree_get(t, "items");
    if (str_eq(kind, "Pod")) {
        if (is_wanted(t, s->which)) {
            s->found = t;
            s->n++;
        }
    } else if (kind && str_ends(kind, "List") && items) {
        for (const struct tree *i = items->child; i; i = i->next) {
            if ((str_eq(tree_str(i, "kind"), "Pod") || str_eq(kind, "PodList")) &&
                is_wanted(i, s->which)) {
                s->found = i;
                s->n++;
            }
        }
    }
}

static int search_file(struct search *s, const char *path, struct arena *a, struct err *e)
{
    struct tree_doc docs;
    const char *text;
    size_t len, before = s->n;
    int rc = textfile_read(path, POD_MANIFEST_MAX, a, &text, &len, e);
    if (rc == 0)
        rc = tree_parse(text, len, path, a, &docs, e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < docs.n; i++)
        search_document(s, docs.documents[i]);
    if (s->n > before)
        s->file = arena_strdup(a, path);
    return 0;
}

static bool is_manifest(const char *name)
{
    return str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json");
}

static int no_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* In the order of names; what is in a file that cannot be read might be the Pod, so that ends it.
 */
static int search_folder(struct search *s, const char *path, unsigned depth, struct arena *a,
                         struct err *e)
{
    struct dirent **entries = NULL;
    int rc = 0, n = scandir(path, &entries, no_hidden, alphasort);
    if (n < 0)
        return err_set(e, -errno, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        const char *child = arena_printf(a, "%s/%s", path, entries[i]->d_name);
        struct stat st;
        bool there = rc == 0 && stat(child, &st) == 0;
        if (there && S_ISDIR(st.st_mode) && depth < POD_FOLDER_DEPTH_MAX)
            rc = search_folder(s, child, depth + 1, a, e);
        else if (there && S_ISREG(st.st_mode) && is_manifest(child))
            rc = search_file(s, child, a, e);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int pod_manifest_load(const char *path, const char *which, struct arena *a, struct pod_dns *ret,
                      struct err *e)
{
    struct search s = { .which = which };
    struct stat st;
    bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    int rc = folder ? search_folder(&s, path, 0, a, e) : search_file(&s, path, a, e);
    if (rc < 0)
        return rc;
    if (s.n == 0)
        return err_set(e, ERR_NOT_FOUND, "%s: no Pod%s%s in it", path, which ? " " : "",
                       which ? which : "");
    if (s.n > 1)
        return err_set(e, ERR_INVALID, "%s: %zu Pods%s%s; say which one as NAMESPACE/NAME", path,
                       s.n, which ? " named " : "", which ? which : "");
    return pod_manifest_read(s.found, s.file, a, ret, e);
}
