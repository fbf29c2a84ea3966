#include "source/identity.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "source/exec_plugin.h"

#include <string.h>
#include <sys/stat.h>

#define FILE_AGE_NS     60000000000LL /* as long as the originals' clients believe a file */
#define TOKEN_BYTES_MAX 65536

/* A file of certificates: its text, and what it was when it was read. */
struct pem_file {
    const char *path; /* NULL: none */
    char *text;
    struct timespec changed;
    ino_t inode;
    off_t size;
};

struct identity {
    uv_loop_t *loop;
    uv_timer_t *soon; /* on the heap: it outlives us until the loop has closed it */
    void (*changed)(void *ctx);
    void *ctx;
    struct arena arena;
    struct api_config config;  /* without what the following hold */
    struct http_tls base, tls; /* without what may change; what was last put into a request */
    struct pem_file ca, cert, key;
    int64_t files_ns; /* when they were looked at */
    char *token;      /* from its file */
    int64_t token_ns;
    struct exec_plugin *plugin; /* or NULL */
    struct exec_waiter waiter;
    int failed; /* what the plugin told, until somebody has heard it */
    struct err why;
};

/* ---- files of certificates ---- */

/* Has it changed since it was read? A file that is not there has not. */
static bool is_other(const struct pem_file *f, struct stat *ret)
{
    return f->path && stat(f->path, ret) == 0 &&
           (!f->text || ret->st_ino != f->inode || ret->st_size != f->size ||
            ret->st_mtim.tv_sec != f->changed.tv_sec || ret->st_mtim.tv_nsec != f->changed.tv_nsec);
}

static int load(struct pem_file *f, const struct stat *st, struct err *e)
{
    char *text;
    size_t len;
    int code = file_load(f->path, HTTP_CLIENT_TLS_FILE_MAX, &text, &len, e);
    if (code < 0)
        return code;
    free(f->text);
    f->text = text;
    f->changed = st->st_mtim;
    f->inode = st->st_ino;
    f->size = st->st_size;
    return 0;
}

static int check(const struct identity *i, struct err *e)
{
    const struct http_tls files = { .ca = i->ca.path, .cert = i->cert.path, .key = i->key.path };
    return http_tls_check(&files, e);
}

/* All of them or none: a key must fit its certificate. */
static int load_changed(struct identity *i, struct err *e)
{
    struct pem_file *const all[] = { &i->ca, &i->cert, &i->key };
    struct stat st[ARRAY_SIZE(all)];
    bool other[ARRAY_SIZE(all)], any = false;
    for (size_t k = 0; k < ARRAY_SIZE(all); k++)
        any |= other[k] = is_other(all[k], &st[k]);
    int code = any ? check(i, e) : 0;
    for (size_t k = 0; code == 0 && k < ARRAY_SIZE(all); k++)
        if (other[k])
            code = load(all[k], &st[k], e);
    return code;
}

/* Connections are known by the certificates that they were made with: new ones get new ones. */
static void look_at_files(struct identity *i)
{
    struct err e;
    int64_t now = clock_ns();
    if (now - i->files_ns < FILE_AGE_NS)
        return;
    i->files_ns = now;
    if (load_changed(i, &e) < 0)
        log_warning("source/apiserver: %s: %s; going on with what was read before",
                    i->config.origin, e.text);
}

/* ---- tokens ---- */

/* A token that cannot be read just now: the one that was read before goes on being used. */
static const char *token_of(struct identity *i)
{
    int64_t now = clock_ns();
    char *text;
    size_t len;
    if (!i->config.token_file)
        return i->config.token;
    if (i->token && now - i->token_ns < FILE_AGE_NS)
        return i->token;
    if (file_load(i->config.token_file, TOKEN_BYTES_MAX, &text, &len, NULL) == 0) {
        text[strcspn(text, "\r\n")] = 0;
        free(i->token);
        i->token = text;
        i->token_ns = now;
    }
    return i->token ? i->token : i->config.token;
}

/* ---- programs ---- */

static void on_soon(uv_timer_t *t)
{
    struct identity *i = t->data;
    i->changed(i->ctx);
}

/* It may be called from within a request of ours. */
static void on_told(void *ctx, const struct err *e)
{
    struct identity *i = ctx;
    i->failed = e ? e->code : 0;
    if (e)
        i->why = *e;
    uv_timer_start(i->soon, on_soon, 0, 0);
}

int identity_ready(struct identity *i, struct err *e)
{
    if (!i->plugin || exec_plugin_credential(i->plugin))
        return 1;
    if (i->failed) {
        int code = i->failed;
        i->failed = 0;
        *e = i->why;
        return code;
    }
    exec_plugin_ask(i->plugin, i->loop, &i->waiter);
    return 0;
}

/* ---- requests ---- */

void identity_fill(struct identity *i, bool tls, struct http_request *r)
{
    const struct exec_credential *c = i->plugin ? exec_plugin_credential(i->plugin) : NULL;
    look_at_files(i);
    i->tls = i->base;
    if (i->ca.text)
        i->tls.ca_pem = i->ca.text;
    if (i->cert.text && i->key.text) {
        i->tls.cert_pem = i->cert.text;
        i->tls.key_pem = i->key.text;
    }
    if (c && c->cert_pem) {
        i->tls.cert_pem = c->cert_pem;
        i->tls.key_pem = c->key_pem;
    }
    r->tls = tls ? &i->tls : NULL;
    r->bearer = token_of(i);
    if (!r->bearer && c)
        r->bearer = c->token;
    r->user = i->config.user;
    r->password = i->config.password;
}

void identity_look_again(struct identity *i)
{
    i->files_ns = clock_ns() - FILE_AGE_NS;
}

void identity_refused(struct identity *i)
{
    i->token_ns = clock_ns() - FILE_AGE_NS;
    identity_look_again(i);
    if (i->plugin)
        exec_plugin_refused(i->plugin);
}

/* ---- life ---- */

static const char *copy(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static void copy_config(struct identity *i, const struct api_config *c)
{
    struct arena *a = &i->arena;
    bool has_pair = (c->cert || c->cert_pem) && (c->key || c->key_pem);
    i->config = (struct api_config){ .token = copy(a, c->token),
                                     .token_file = copy(a, c->token_file),
                                     .user = copy(a, c->user),
                                     .password = copy(a, c->password),
                                     .origin = copy(a, c->origin) };
    i->base = (struct http_tls){ .ca_pem = copy(a, c->ca_pem),
                                 .cert_pem = has_pair ? copy(a, c->cert_pem) : NULL,
                                 .key_pem = has_pair ? copy(a, c->key_pem) : NULL,
                                 .server_name = copy(a, c->server_name),
                                 .insecure = c->insecure };
    i->ca.path = c->ca_pem ? NULL : copy(a, c->ca);
}

/* Of a certificate and its key one may be a file and the other a text. */
static int take_pair(struct identity *i, const struct api_config *c, struct err *e)
{
    bool cert = c->cert && !c->cert_pem, key = c->key && !c->key_pem;
    if (cert && key) {
        i->cert.path = arena_strdup(&i->arena, c->cert);
        i->key.path = arena_strdup(&i->arena, c->key);
        return 0;
    }
    char *text;
    size_t len;
    if ((!cert && !key) || !(c->cert || c->cert_pem) || !(c->key || c->key_pem))
        return 0;
    int code = file_load(cert ? c->cert : c->key, HTTP_CLIENT_TLS_FILE_MAX, &text, &len, e);
    if (code < 0)
        return code;
    *(cert ? &i->base.cert_pem : &i->base.key_pem) = arena_strdup(&i->arena, text);
    free(text);
    return 0;
}

int identity_new(uv_loop_t *loop, const struct api_config *c, void (*changed)(void *ctx), void *ctx,
                 struct identity **ret, struct err *e)
{
    struct identity *i = xcalloc(1, sizeof *i);
    i->loop = loop;
    i->changed = changed;
    i->ctx = ctx;
    i->waiter = (struct exec_waiter){ .told = on_told, .ctx = i };
    i->soon = xcalloc(1, sizeof *i->soon);
    uv_timer_init(loop, i->soon);
    i->soon->data = i;
    arena_init(&i->arena, 4096);
    copy_config(i, c);
    int code = take_pair(i, c, e);
    if (code == 0)
        code = check(i, e);
    if (code == 0)
        code = load_changed(i, e);
    i->files_ns = clock_ns();
    if (code == 0 && c->exec)
        code = exec_plugin_get(c, &i->plugin, e);
    if (code < 0) {
        identity_free(i);
        return code;
    }
    *ret = i;
    return 0;
}

static void timer_closed(uv_handle_t *h)
{
    free(h);
}

void identity_free(struct identity *i)
{
    struct pem_file *files[] = { i ? &i->ca : NULL, i ? &i->cert : NULL, i ? &i->key : NULL };
    if (!i)
        return;
    exec_plugin_leave(i->plugin, &i->waiter);
    uv_close((uv_handle_t *)i->soon, timer_closed);
    for (size_t k = 0; k < ARRAY_SIZE(files); k++)
        free(files[k]->text);
    free(i->token);
    arena_done(&i->arena);
    free(i);
}
