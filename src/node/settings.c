#include "node/settings.h"

#include "base/file.h"
#include "base/ip.h"
#include "base/str.h"
#include "config/tree.h"
#include "kube/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct reading {
    struct node_settings *s;
    const char *path;
    struct err *e;
};

static bool is_utf8(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i++];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
        if (c >= 0xf5 || (c >= 0x80 && c < 0xc2))
            return false;
        for (; more; more--, i++)
            if (i >= len || ((unsigned char)text[i] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* The file's JSON; *ret NULL: it is empty. */
static int read_json(struct reading *r, const char *name, const struct tree **ret)
{
    cleanup_free char *text = NULL;
    struct tree_doc doc = { 0 };
    size_t len;
    int code = file_load(r->path, SETTINGS_FILE_MAX, &text, &len, r->e);
    if (code == 0 && !is_utf8(text, len))
        code = err_set(r->e, ERR_PARSE, "%s: this is not UTF-8", r->path);
    if (code == 0)
        code = tree_parse(arena_strndup(&r->s->arena, text, len), len, r->path, &r->s->arena, &doc,
                          r->e);
    if (code == 0 && doc.n > 1)
        code = err_set(r->e, ERR_INVALID, "%s: %s has one JSON value", r->path, name);
    if (code == 0)
        *ret = doc.n ? doc.documents[0] : NULL;
    return code;
}

/* The list as words with blanks between them. */
static int read_servers(struct reading *r, const struct tree *list, const char *of, size_t max,
                        const char **ret)
{
    cleanup(strbuf_done) struct strbuf words = { 0 };
    size_t n = 0;
    if (list->kind != TREE_SEQUENCE)
        return err_set(r->e, ERR_INVALID, "%s: %s: give a list of \"IP\" or \"IP:PORT\"", r->path,
                       of);
    for (const struct tree *t = list->child; t; t = t->next, n++) {
        struct ip ip;
        uint16_t port;
        const char *text = tree_text(t);
        if (!text || ip_port_parse(text, 53, &ip, &port) < 0)
            return err_set(r->e, ERR_INVALID, "%s: %s: %s is no IP address, with :PORT or without",
                           r->path, of, text ? text : "a list or object");
        strbuf_printf(&words, "%s%s", n ? " " : "", text);
    }
    if (n > max)
        return err_set(r->e, ERR_LIMIT, "%s: %s: %zu name servers; at most %zu", r->path, of, n,
                       max);
    *ret = n ? arena_strdup(&r->s->arena, words.p) : NULL;
    return 0;
}

static int read_upstreams(struct reading *r)
{
    const struct tree *t = NULL;
    int code = read_json(r, "upstreamNameservers", &t);
    if (code < 0 || !t || t->kind == TREE_NULL)
        return code;
    return read_servers(r, t, "upstreamNameservers", SETTINGS_UPSTREAMS_MAX, &r->s->upstreams);
}

static int compare_stubs(const void *a, const void *b)
{
    return strcmp(((const struct stub_domain *)a)->domain, ((const struct stub_domain *)b)->domain);
}

static int read_stub(struct reading *r, const struct tree *t, struct stub_domain *ret)
{
    char of[300];
    if (check_dns_subdomain(t->key)) /* nothing that a Corefile could take for more */
        return err_set(r->e, ERR_INVALID, "%s: stubDomains: '%.100s' is no DNS subdomain", r->path,
                       t->key);
    (void)snprintf(of, sizeof of, "stubDomains: %s", t->key);
    ret->domain = arena_strdup(&r->s->arena, t->key);
    int code = read_servers(r, t, of, SETTINGS_SERVERS_MAX, &ret->servers);
    if (code == 0 && !ret->servers)
        code = err_set(r->e, ERR_INVALID, "%s: %s: without a name server", r->path, of);
    return code;
}

static int read_stubs(struct reading *r)
{
    const struct tree *t = NULL;
    size_t n = 0;
    int code = read_json(r, "stubDomains", &t);
    if (code < 0 || !t || t->kind == TREE_NULL)
        return code;
    if (t->kind != TREE_MAPPING)
        return err_set(r->e, ERR_INVALID,
                       "%s: stubDomains: give an object of lists: {\"DOMAIN\": [\"IP\"]}", r->path);
    for (const struct tree *c = t->child; c; c = c->next)
        n++;
    if (n > SETTINGS_STUBS_MAX)
        return err_set(r->e, ERR_LIMIT, "%s: %zu stub domains; at most %d", r->path, n,
                       SETTINGS_STUBS_MAX);
    struct stub_domain *stubs = arena_zalloc(&r->s->arena, MAX(n, 1) * sizeof *stubs);
    n = 0;
    for (const struct tree *c = t->child; c && code == 0; c = c->next)
        code = read_stub(r, c, &stubs[n++]);
    if (code < 0)
        return code;
    qsort(stubs, n, sizeof *stubs, compare_stubs);
    r->s->stubs = stubs;
    r->s->n_stubs = n;
    return 0;
}

static int read_key(struct reading *r, const char *name)
{
    if (str_eq(name, "upstreamNameservers"))
        return read_upstreams(r);
    if (str_eq(name, "stubDomains"))
        return read_stubs(r);
    const char *before = r->s->passed_over;
    cleanup(strbuf_done) struct strbuf all = { 0 };
    strbuf_printf(&all, "%s%s%s", before ? before : "", before ? ", " : "", name);
    r->s->passed_over = arena_strdup(&r->s->arena, all.p);
    return 0;
}

static int read_folder(DIR *d, const char *dir, struct node_settings *s, struct err *e)
{
    const struct dirent *entry;
    int code = 0;
    while (code == 0 && (entry = readdir(d))) {
        cleanup(strbuf_done) struct strbuf path = { 0 };
        if (entry->d_name[0] == '.') /* a mounted ConfigMap's own links */
            continue;
        strbuf_printf(&path, "%s/%s", dir, entry->d_name);
        struct reading r = { .s = s, .path = path.p, .e = e };
        code = read_key(&r, entry->d_name);
    }
    return code;
}

int settings_read(const char *dir, struct node_settings *ret, struct err *e)
{
    struct node_settings s = { 0 };
    DIR *d = dir ? opendir(dir) : NULL;
    if (!d && dir && errno != ENOENT)
        return err_set(e, -errno, "%s: %s", dir, strerror(errno));
    arena_init(&s.arena, 4096);
    int code = d ? read_folder(d, dir, &s, e) : 0;
    if (d)
        closedir(d);
    if (code < 0)
        settings_done(&s);
    else
        *ret = s;
    return code;
}

void settings_done(struct node_settings *s)
{
    arena_done(&s->arena);
    *s = (struct node_settings){ 0 };
}
