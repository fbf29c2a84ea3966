#include "source/api_client.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/tree.h"
#include "kube/proto.h"

#include <string.h>

#define TOKEN_AGE_NS    60000000000LL /* as long as the originals' clients believe a file */
#define TOKEN_BYTES_MAX 65536

struct api_client {
    struct http_client *http;
    struct arena arena; /* of the configuration */
    struct api_config config;
    struct http_tls tls;
    char *token; /* from the file */
    int64_t token_ns;
    struct strbuf as; /* "Impersonate-User: ..." */
};

static const char *copy(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static void copy_config(struct api_client *c, const struct api_config *from)
{
    struct arena *a = &c->arena;
    c->config = (struct api_config){
        .server = copy(a, from->server),
        .insecure = from->insecure,
        .proxy = copy(a, from->proxy),
        .token = copy(a, from->token),
        .token_file = copy(a, from->token_file),
        .user = copy(a, from->user),
        .password = copy(a, from->password),
        .origin = copy(a, from->origin),
    };
    c->tls = (struct http_tls){
        .ca = from->ca_pem ? NULL : copy(a, from->ca),
        .cert = from->cert_pem ? NULL : copy(a, from->cert),
        .key = from->key_pem ? NULL : copy(a, from->key),
        .ca_pem = copy(a, from->ca_pem),
        .cert_pem = copy(a, from->cert_pem),
        .key_pem = copy(a, from->key_pem),
        .server_name = copy(a, from->server_name),
        .insecure = from->insecure,
    };
    if (from->as)
        strbuf_printf(&c->as, "Impersonate-User: %s", from->as);
}

int api_client_new(uv_loop_t *loop, const struct api_config *config, struct api_client **ret,
                   struct err *e)
{
    if (config->exec)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: credentials from a program (exec: %s) are not supported yet; use a "
                       "token or a certificate",
                       config->origin, config->exec->command);
    int code = http_url_check(config->server, e);
    if (code < 0)
        return err_wrap(e, "%s", config->origin);
    struct api_client *c = xcalloc(1, sizeof *c);
    arena_init(&c->arena, 4096);
    copy_config(c, config);
    struct http_tls files = { .ca = c->tls.ca,
                              .cert = c->tls.key ? c->tls.cert : NULL,
                              .key = c->tls.cert ? c->tls.key : NULL };
    code = http_tls_check(&files, e);
    if (code == 0)
        code = http_client_new(loop, &c->http, e);
    if (code < 0) {
        api_client_free(c);
        return code;
    }
    *ret = c;
    return 0;
}

void api_client_free(struct api_client *c)
{
    if (!c)
        return;
    http_client_free(c->http);
    arena_done(&c->arena);
    strbuf_done(&c->as);
    free(c->token);
    free(c);
}

const char *api_client_server(const struct api_client *c)
{
    return c->config.server;
}

/* ---- identity ---- */

/* A token that cannot be read just now: the one that was read before goes on being used. */
static const char *token_of(struct api_client *c)
{
    int64_t now = clock_ns();
    char *text;
    size_t len;
    if (!c->config.token_file)
        return c->config.token;
    if (c->token && now - c->token_ns < TOKEN_AGE_NS)
        return c->token;
    if (file_load(c->config.token_file, TOKEN_BYTES_MAX, &text, &len, NULL) == 0) {
        text[strcspn(text, "\r\n")] = 0;
        free(c->token);
        c->token = text;
        c->token_ns = now;
    }
    return c->token ? c->token : c->config.token;
}

void api_client_refused(struct api_client *c)
{
    c->token_ns = clock_ns() - TOKEN_AGE_NS;
}

int api_client_send(struct api_client *c, const struct api_request *r, struct http_call **ret,
                    struct err *e)
{
    struct strbuf url = { 0 }, accept = { 0 }, type = { 0 };
    const char *headers[3];
    size_t n = 0;
    strbuf_printf(&url, "%s%s", c->config.server, r->path);
    strbuf_printf(&accept, "Accept: %s", r->accept ? r->accept : "application/json");
    headers[n++] = accept.p;
    if (r->content_type) {
        strbuf_printf(&type, "Content-Type: %s", r->content_type);
        headers[n++] = type.p;
    }
    if (c->as.len)
        headers[n++] = c->as.p;
    struct http_request request = { .method = r->method,
                                    .url = url.p,
                                    .headers = headers,
                                    .n_headers = n,
                                    .body = r->body,
                                    .body_len = r->body_len,
                                    .tls = str_starts(url.p, "https://") ? &c->tls : NULL,
                                    .bearer = token_of(c),
                                    .user = c->config.user,
                                    .password = c->config.password,
                                    .total_ms = r->total_ms,
                                    .idle_ms = r->idle_ms,
                                    .proxy = c->config.proxy,
                                    .gzip = r->gzip,
                                    .fresh = r->fresh,
                                    .body_max = r->body_max,
                                    .chunk = r->chunk,
                                    .end = r->end,
                                    .ctx = r->ctx };
    int code = http_client_send(c->http, &request, ret, e);
    strbuf_done(&url);
    strbuf_done(&accept);
    strbuf_done(&type);
    return code;
}

/* ---- what the server says ---- */

static const struct tree *status_tree(const char *body, size_t len, struct arena *a)
{
    struct proto_object o;
    struct tree_doc doc;
    const struct tree *t;
    if (len >= 4 && memcmp(body, "k8s", 4) == 0)
        return proto_unwrap(body, len, a, &o, NULL) == 0 &&
                       proto_tree(proto_message_find("Status"), o.raw, o.len, a, &t, NULL) == 0
                   ? t
                   : NULL;
    return len && *body == '{' && tree_parse(body, len, "status", a, &doc, NULL) == 0 && doc.n
               ? doc.documents[0]
               : NULL;
}

const char *api_status_text(const struct http_result *r, const char *body, size_t len,
                            char text[API_STATUS_TEXT])
{
    struct arena a;
    arena_init(&a, 4096);
    const struct tree *t = body ? status_tree(body, len, &a) : NULL;
    const char *reason = tree_str(t, "reason"), *message = tree_str(t, "message");
    if (r->error && !r->status)
        (void)snprintf(text, API_STATUS_TEXT, "%s", r->text ? r->text : err_str(r->error));
    else if (r->error)
        (void)snprintf(text, API_STATUS_TEXT, "the reply broke off: %s",
                       r->text ? r->text : err_str(r->error));
    else
        (void)snprintf(text, API_STATUS_TEXT, "the server says %ld %s%s%s", r->status,
                       reason ? reason : "", message ? ": " : "", message ? message : "");
    arena_done(&a);
    return text;
}
