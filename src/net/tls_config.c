/* Certificates, keys and authorities from files. Files are read whole and parsed from memory: then
 * an error can name the file, and nothing asks the terminal for a passphrase. */
#include "net/tls_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

const char *tls_reason(char *buf, size_t cap)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (code && ERR_SYSTEM_ERROR(code))
        (void)snprintf(buf, cap, "%s", strerror(ERR_GET_REASON(code)));
    else
        (void)snprintf(buf, cap, "%s", reason ? reason : "unknown error");
    ERR_clear_error();
    return buf;
}

static int ssl_fail(struct err *e, const char *path)
{
    char buf[TLS_ERROR_MAX];
    return err_set(e, ERR_INVALID, "%s: %s", path, tls_reason(buf, sizeof buf));
}

/* A file as a BIO; *ret_text is freed by the caller after the BIO. */
static int open_pem(const char *path, char **ret_text, BIO **ret, struct err *e)
{
    size_t len;
    int code = file_load(path, TLS_FILE_MAX, ret_text, &len, e);
    if (code < 0)
        return code;
    *ret = BIO_new_mem_buf(*ret_text, (int)len);
    return *ret ? 0 : err_set(e, -ENOMEM, "%s: out of memory", path);
}

/* True at the end of a PEM file: it ended, rather than broke. */
static bool is_pem_end(void)
{
    unsigned long code = ERR_peek_last_error();
    bool end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    return end;
}

/* Hands over each certificate of a PEM file; there must be one. fn: 0, or a negative code. */
static int each_certificate(struct tls_config *c, BIO *pem, const char *path,
                            int (*fn)(struct tls_config *, X509 *, unsigned, const char *,
                                      struct err *),
                            struct err *e)
{
    unsigned n = 0;
    ERR_clear_error();
    for (X509 *x; (x = PEM_read_bio_X509(pem, NULL, NULL, NULL)); n++) {
        int code = fn(c, x, n, path, e);
        X509_free(x);
        if (code < 0)
            return code;
    }
    if (!is_pem_end())
        return ssl_fail(e, path);
    return n ? 0 : err_set(e, ERR_INVALID, "%s: there is no certificate in PEM form in it", path);
}

static int add_link(struct tls_config *c, X509 *x, unsigned i, const char *path, struct err *e)
{
    if (i == TLS_CHAIN_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %d certificates", path, TLS_CHAIN_MAX);
    bool ok =
        i == 0 ? SSL_CTX_use_certificate(c->ctx, x) == 1 : SSL_CTX_add1_chain_cert(c->ctx, x) == 1;
    return ok ? 0 : ssl_fail(e, path);
}

static int add_chain(struct tls_config *c, BIO *pem, const char *path, struct err *e)
{
    return each_certificate(c, pem, path, add_link, e);
}

static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return 0;
}

static int add_key(struct tls_config *c, BIO *pem, const char *path, struct err *e)
{
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
    if (!key) {
        ERR_clear_error();
        return err_set(e, ERR_INVALID,
                       "%s: there is no private key in PEM form in it (without a "
                       "passphrase)",
                       path);
    }
    bool ok = SSL_CTX_use_PrivateKey(c->ctx, key) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : ssl_fail(e, path);
}

static int add_authority(struct tls_config *c, X509 *x, unsigned i, const char *path, struct err *e)
{
    (void)i;
    bool ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ctx), x) == 1 &&
              SSL_CTX_add_client_CA(c->ctx, x) == 1;
    return ok ? 0 : ssl_fail(e, path);
}

static int add_authorities(struct tls_config *c, BIO *pem, const char *path, struct err *e)
{
    return each_certificate(c, pem, path, add_authority, e);
}

static int with_file(struct tls_config *c, const char *path,
                     int (*fn)(struct tls_config *, BIO *, const char *, struct err *),
                     struct err *e)
{
    cleanup_free char *text = NULL;
    BIO *pem = NULL;
    int ret = open_pem(path, &text, &pem, e);
    if (ret == 0)
        ret = fn(c, pem, path, e);
    BIO_free(pem);
    if (text)
        OPENSSL_cleanse(text, strlen(text)); /* it may have been a key */
    return ret;
}

static int load_files(struct tls_config *c, const struct tls_options *o, struct err *e)
{
    int ret = 0;
    if (o->cert) {
        ret = with_file(c, o->cert, add_chain, e);
        if (ret == 0)
            ret = with_file(c, o->key, add_key, e);
        if (ret < 0)
            return err_wrap(e, "could not load TLS cert");
    }
    if (o->ca) {
        ret = with_file(c, o->ca, add_authorities, e);
        if (ret < 0) /* the words of the reference */
            return ret == ERR_INVALID ? err_wrap(e, "could not read root certs")
                                      : err_wrap(e, "error reading %s", o->ca);
        return 0;
    }
    SSL_CTX_set_default_verify_paths(c->ctx);
    ERR_clear_error();
    return 0;
}

/* ---- client certificates ---- */

static int believe_all(X509_STORE_CTX *store, void *ctx)
{
    (void)store, (void)ctx;
    return 1;
}

static void set_verify(struct tls_config *c, const struct tls_options *o)
{
    static const int modes[TLS_CLIENT_AUTH_COUNT] = {
        [TLS_NO_CERT] = SSL_VERIFY_NONE,
        [TLS_REQUEST] = SSL_VERIFY_PEER,
        [TLS_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
        [TLS_VERIFY_IF_GIVEN] = SSL_VERIFY_PEER,
        [TLS_REQUIRE_AND_VERIFY] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    int client = o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    SSL_CTX_set_verify(c->ctx, o->server ? modes[o->client_auth] : client, NULL);
    if (o->server && (o->client_auth == TLS_REQUEST || o->client_auth == TLS_REQUIRE))
        SSL_CTX_set_cert_verify_callback(c->ctx, believe_all, NULL);
}

/* ---- ALPN ---- */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *ctx)
{
    const struct tls_config *c = ctx;
    unsigned char *chosen;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, c->alpn_len, in, in_len) ==
        OPENSSL_NPN_NEGOTIATED) {
        *out = chosen;
        return SSL_TLSEXT_ERR_OK;
    }
    return c->alpn_strict ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

static int set_alpn(struct tls_config *c, const struct tls_options *o, struct err *e)
{
    for (const char *const *p = o->alpn; *p; p++) {
        size_t len = strlen(*p);
        if (c->alpn_len + 1 + len > sizeof c->alpn)
            return err_set(e, ERR_LIMIT, "too many protocols for ALPN");
        c->alpn[c->alpn_len] = (uint8_t)len;
        memcpy(c->alpn + c->alpn_len + 1, *p, len);
        c->alpn_len += 1 + (unsigned)len;
    }
    c->alpn_strict = o->alpn_strict;
    if (o->server)
        SSL_CTX_set_alpn_select_cb(c->ctx, select_alpn, c);
    else
        SSL_CTX_set_alpn_protos(c->ctx, c->alpn, c->alpn_len);
    return 0;
}

/* ---- key log ---- */

/* One write a line: several workers append to one file. */
static void log_key(const SSL *ssl, const char *line)
{
    const struct tls_config *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    char text[1024];
    int len = snprintf(text, sizeof text, "%s\n", line);
    if (len > 0 && (size_t)len < sizeof text && write(c->keylog_fd, text, (size_t)len) < 0)
        return; /* nothing that a client should suffer from */
}

static int open_keylog(struct tls_config *c, const char *path, struct err *e)
{
    c->keylog_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (c->keylog_fd < 0)
        return err_set(e, -errno, "unable to write TLS Key Log to \"%s\": %s", path,
                       strerror(errno));
    SSL_CTX_set_keylog_callback(c->ctx, log_key);
    return 0;
}

/* ---- all of it ---- */

static void set_defaults(struct tls_config *c)
{
    SSL_CTX_set_app_data(c->ctx, c);
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    if (!c->server) {
        SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c->ctx, tls_keep_session);
        return;
    }
    /* Clients keep their sessions themselves, sealed with a key that dies with the configuration.
     */
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(c->ctx, (const unsigned char *)"signpost", 8);
    SSL_CTX_set_num_tickets(c->ctx, 1);
}

int tls_config_new(const struct tls_options *o, struct tls_config **ret, struct err *e)
{
    struct tls_config *c = xcalloc(1, sizeof *c);
    int code = 0;
    atomic_init(&c->refs, 1);
    c->keylog_fd = -1;
    c->server = o->server;
    c->ctx = SSL_CTX_new(o->server ? TLS_server_method() : TLS_client_method());
    if (!c->ctx) {
        tls_config_free(c);
        return err_set(e, -ENOMEM, "TLS cannot be set up: out of memory");
    }
    set_defaults(c);
    set_verify(c, o);
    code = load_files(c, o, e);
    if (code == 0 && o->alpn)
        code = set_alpn(c, o, e);
    if (code == 0 && o->keylog)
        code = open_keylog(c, o->keylog, e);
    if (code < 0) {
        tls_config_free(c);
        return code;
    }
    *ret = c;
    return 0;
}

struct tls_config *tls_config_ref(struct tls_config *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void tls_config_free(struct tls_config *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    SSL_CTX_free(c->ctx);
    if (c->keylog_fd >= 0)
        close(c->keylog_fd);
    free(c);
}
