#include "source/exec_credential.h"

#include "base/file.h"
#include "base/mem.h"
#include "config/tree.h"
#include "kube/timestamp.h"
#include "net/http_client.h"
#include "wire/radix.h"

#include <string.h>

/* ---- the question ---- */

static void put(struct strbuf *out, const char *key, const char *text)
{
    if (!text)
        return;
    strbuf_printf(out, ",\"%s\":", key);
    strbuf_json(out, text);
}

static int put_authority(const struct api_config *c, struct strbuf *out, struct err *e)
{
    cleanup_free char *file = NULL;
    size_t len = 0;
    if (!c->ca_pem && !c->ca)
        return 0;
    int code = c->ca_pem ? 0 : file_load(c->ca, HTTP_CLIENT_TLS_FILE_MAX, &file, &len, e);
    if (code < 0)
        return code;
    const char *pem = c->ca_pem ? c->ca_pem : file;
    strbuf_puts(out, ",\"certificate-authority-data\":\"");
    radix_put(out, &radix_64, (const uint8_t *)pem, strlen(pem));
    strbuf_putc(out, '"');
    return 0;
}

static int put_cluster(const struct api_config *c, struct strbuf *out, struct err *e)
{
    strbuf_puts(out, ",\"cluster\":{\"server\":");
    strbuf_json(out, c->server);
    put(out, "tls-server-name", c->server_name);
    if (c->insecure)
        strbuf_puts(out, ",\"insecure-skip-tls-verify\":true");
    int code = put_authority(c, out, e);
    put(out, "proxy-url", c->proxy);
    if (c->exec->cluster_config)
        strbuf_printf(out, ",\"config\":%s", c->exec->cluster_config);
    strbuf_putc(out, '}');
    return code;
}

int exec_credential_ask(const struct api_config *c, struct strbuf *out, struct err *e)
{
    strbuf_printf(out,
                  "KUBERNETES_EXEC_INFO={\"kind\":\"ExecCredential\",\"apiVersion\":\"%s\","
                  "\"spec\":{\"interactive\":false",
                  c->exec->api_version);
    int code = c->exec->cluster_info ? put_cluster(c, out, e) : 0;
    strbuf_puts(out, "}}");
    return code;
}

/* ---- the answer ---- */

static int check_status(const struct tree *root, const char *api_version, struct err *e)
{
    const char *kind = tree_str(root, "kind"), *version = tree_str(root, "apiVersion");
    if (!str_eq(kind, "ExecCredential"))
        return err_set(e, ERR_PARSE, "it printed no ExecCredential");
    if (!str_eq(version, api_version))
        return err_set(e, ERR_PARSE, "it printed apiVersion \"%.60s\" where exec.apiVersion is %s",
                       version ? version : "", api_version);
    const struct tree *status = tree_get(root, "status");
    if (!status || status->kind != TREE_MAPPING)
        return err_set(e, ERR_PARSE, "its ExecCredential has no status");
    bool cert = tree_str(status, "clientCertificateData"), key = tree_str(status, "clientKeyData");
    if (cert != key)
        return err_set(e, ERR_PARSE,
                       "clientCertificateData and clientKeyData come together or not at all");
    if (!cert && !tree_str(status, "token"))
        return err_set(e, ERR_PARSE, "its status has neither a token nor a client certificate");
    return 0;
}

static char *copy(const struct tree *t, const char *key)
{
    const char *s = tree_str(t, key);
    return s && *s ? xstrdup(s) : NULL;
}

int exec_credential_parse(const char *text, size_t len, const char *api_version,
                          struct exec_credential *ret, struct err *e)
{
    cleanup(arena_done) struct arena a;
    struct tree_doc doc;
    int64_t expires = 0;
    arena_init(&a, 4096);
    size_t blank = strspn(text, " \t\r\n");
    if (text[blank] != '{' || tree_parse(text + blank, len - blank, "", &a, &doc, NULL) < 0 ||
        doc.n != 1)
        return err_set(e, ERR_PARSE, "what it printed is not one JSON object");
    int code = check_status(doc.documents[0], api_version, e);
    if (code < 0)
        return code;
    const struct tree *status = tree_get(doc.documents[0], "status");
    const char *when = tree_str(status, "expirationTimestamp");
    if (when && timestamp_parse(when, &expires) < 0)
        return err_set(e, ERR_PARSE, "expirationTimestamp \"%.60s\" is no RFC 3339 time", when);
    *ret = (struct exec_credential){ .token = copy(status, "token"),
                                     .cert_pem = copy(status, "clientCertificateData"),
                                     .key_pem = copy(status, "clientKeyData"),
                                     .expires_ns = expires };
    return 0;
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void exec_credential_done(struct exec_credential *c)
{
    wipe(c->token);
    wipe(c->cert_pem);
    wipe(c->key_pem);
    *c = (struct exec_credential){ 0 };
}
