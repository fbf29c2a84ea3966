/* The files of http_client's TLS, looked at before they are used. */
#include "net/http_client.h"

#include "base/file.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static int load(const char *path, const char *what, BIO **ret, char **ret_text, struct err *e)
{
    size_t len;
    int code = file_load(path, HTTP_CLIENT_TLS_FILE_MAX, ret_text, &len, e);
    if (code < 0)
        return err_wrap(e, "%s", what);
    *ret = BIO_new_mem_buf(*ret_text, (int)len);
    return *ret ? 0 : err_set(e, ERR_INVALID, "%s: out of memory", what);
}

static int read_cert(const char *path, const char *what, X509 **ret, struct err *e)
{
    cleanup_free char *text = NULL;
    BIO *bio = NULL;
    int code = load(path, what, &bio, &text, e);
    if (code < 0)
        return code;
    *ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return *ret ? 0 : err_set(e, ERR_PARSE, "%s: %s holds no PEM certificate", what, path);
}

/* No terminal is ever asked for a pass phrase. */
static int no_phrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

static int read_key(const char *path, const char *what, EVP_PKEY **ret, struct err *e)
{
    cleanup_free char *text = NULL;
    BIO *bio = NULL;
    int code = load(path, what, &bio, &text, e);
    if (code < 0)
        return code;
    *ret = PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    return *ret ? 0 : err_set(e, ERR_PARSE, "%s: %s holds no PEM private key", what, path);
}

static int check_pair(const struct http_tls *t, struct err *e)
{
    static const char what[] = "could not load TLS cert";
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    int code = read_cert(t->cert, what, &cert, e);
    if (code == 0)
        code = read_key(t->key, what, &key, e);
    if (code == 0 && X509_check_private_key(cert, key) != 1)
        code = err_set(e, ERR_INVALID, "%s: the private key %s does not match the certificate %s",
                       what, t->key, t->cert);
    ERR_clear_error();
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}

int http_tls_check(const struct http_tls *t, struct err *e)
{
    X509 *ca = NULL;
    char what[1024];
    if (!t->cert != !t->key)
        return err_set(e, ERR_INVALID, "a client's certificate and key come together");
    int code = t->cert ? check_pair(t, e) : 0;
    if (code == 0 && t->ca) {
        (void)snprintf(what, sizeof what, "error reading %s", t->ca);
        code = read_cert(t->ca, what, &ca, e);
        X509_free(ca);
    }
    return code;
}
