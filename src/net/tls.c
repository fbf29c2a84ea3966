#include "net/tls_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

struct tls {
    SSL *ssl; /* owns both BIOs */
    BIO *in, *out;
    struct tls_config *config;
    struct tls_ticket *ticket;
    bool ready, failed;
    char name[TLS_NAME_MAX];
    char error[TLS_ERROR_MAX];
};

/* ---- sessions that are resumed ---- */

int tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);
    if (!t->ticket)
        return 0;
    SSL_SESSION_free(t->ticket->session);
    t->ticket->session = session;
    return 1; /* it is ours now */
}

void tls_ticket_done(struct tls_ticket *t)
{
    SSL_SESSION_free(t->session);
    t->session = NULL;
}

/* Used once, so that who listens cannot tell connections of one client (RFC 8446 C.4). */
static void resume(struct tls *t)
{
    if (!t->ticket || !t->ticket->session)
        return;
    SSL_set_session(t->ssl, t->ticket->session);
    tls_ticket_done(t->ticket);
}

/* ---- beginning and end ---- */

static bool expect_name(struct tls *t, const char *name)
{
    struct ip ip;
    size_t len = strlen(name);
    if (len == 0 || len >= sizeof t->name)
        return false;
    memcpy(t->name, name, len + 1);
    if (ip_parse(name, &ip) == 0)
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(t->ssl), ip.bytes, ip_len(&ip)) == 1;
    if (name[len - 1] == '.') /* the root's dot has no place in either */
        t->name[len - 1] = 0;
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(t->ssl, t->name) == 1 && SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
}

struct tls *tls_new(struct tls_config *c, const char *server_name, struct tls_ticket *ticket)
{
    struct tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->config = tls_config_ref(c);
    t->ticket = ticket;
    t->ssl = SSL_new(c->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        tls_config_free(t->config);
        free(t);
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1); /* nothing there is no end */
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    if (c->server) {
        SSL_set_accept_state(t->ssl);
    } else if (server_name && expect_name(t, server_name)) {
        SSL_set_connect_state(t->ssl);
        resume(t);
    } else {
        tls_free(t);
        return NULL;
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    /* OpenSSL takes the session of a connection that ends without ceremony for spoilt. */
    SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    ERR_clear_error();
    tls_config_free(t->config);
    free(t);
}

/* ---- errors ---- */

/* "certificate verify failed: hostname mismatch: it is not for dns.example" */
static void describe(struct tls *t)
{
    long verify = SSL_get_verify_result(t->ssl);
    bool is_verify = ERR_GET_REASON(ERR_peek_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    bool is_name =
        verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH;
    char reason[TLS_ERROR_MAX];
    tls_reason(reason, sizeof reason);
    if (!is_verify)
        (void)snprintf(t->error, sizeof t->error, "%s", reason);
    else
        (void)snprintf(t->error, sizeof t->error, "%s: %s%s%s", reason,
                       X509_verify_cert_error_string(verify), is_name ? ": it is not for " : "",
                       is_name ? t->name : "");
}

/* What an SSL call returned as one of ours: 0 to wait for more bytes. */
static int outcome(struct tls *t, int ret)
{
    int what = SSL_get_error(t->ssl, ret);
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
        return 0;
    if (what == SSL_ERROR_ZERO_RETURN)
        return -ENOTCONN;
    t->failed = true;
    describe(t);
    return -EPROTO;
}

const char *tls_error(const struct tls *t)
{
    return t->error;
}

/* ---- bytes ---- */

int tls_handshake(struct tls *t)
{
    if (t->failed)
        return -EPROTO;
    if (t->ready)
        return 0;
    ERR_clear_error();
    int ret = SSL_do_handshake(t->ssl);
    if (ret != 1)
        return outcome(t, ret);
    t->ready = true;
    return 0;
}

int tls_feed(struct tls *t, const uint8_t *data, size_t len)
{
    if (t->failed)
        return -EPROTO;
    if (len && BIO_write(t->in, data, (int)len) != (int)len) {
        (void)snprintf(t->error, sizeof t->error, "out of memory");
        t->failed = true;
        return -ENOMEM;
    }
    return tls_handshake(t);
}

bool tls_is_ready(const struct tls *t)
{
    return t->ready && !t->failed;
}

ssize_t tls_read(struct tls *t, uint8_t *buf, size_t cap)
{
    size_t n = 0;
    if (!t->ready)
        return 0;
    if (t->failed)
        return -EPROTO;
    ERR_clear_error();
    int ret = SSL_read_ex(t->ssl, buf, cap, &n);
    return ret == 1 ? (ssize_t)n : outcome(t, ret);
}

int tls_write(struct tls *t, const uint8_t *data, size_t len)
{
    size_t n = 0;
    if (!tls_is_ready(t))
        return -ENOTCONN;
    ERR_clear_error();
    int ret = SSL_write_ex(t->ssl, data, len, &n);
    if (ret == 1 && n == len)
        return 0;
    int code = outcome(t, ret);
    return code < 0 ? code : -EPROTO; /* memory takes all that is written to it */
}

void tls_goodbye(struct tls *t)
{
    ERR_clear_error();
    if (tls_is_ready(t))
        (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

size_t tls_out(const struct tls *t, const uint8_t **ret)
{
    char *at = NULL;
    long n = BIO_get_mem_data(t->out, &at);
    *ret = (const uint8_t *)at;
    return n > 0 ? (size_t)n : 0;
}

void tls_out_done(struct tls *t, size_t n)
{
    uint8_t sink[4096];
    while (n) {
        int k = BIO_read(t->out, sink, (int)MIN(n, sizeof sink));
        if (k <= 0)
            break;
        n -= (size_t)k;
    }
}

void tls_alpn(const struct tls *t, char ret[TLS_ALPN_MAX])
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(t->ssl, &name, &len);
    len = MIN(len, (unsigned)TLS_ALPN_MAX - 1);
    if (len)
        memcpy(ret, name, len);
    ret[len] = 0;
}

/* The n-th entry of that kind; false: there is none that fits. */
static bool subject_entry(X509_NAME *name, int nid, int *at, char ret[TLS_NAME_MAX])
{
    *at = X509_NAME_get_index_by_NID(name, nid, *at);
    if (*at < 0)
        return false;
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, *at)));
    bool fits = len > 0 && len < TLS_NAME_MAX && !memchr(text, 0, (size_t)len);
    if (fits) {
        memcpy(ret, text, (size_t)len);
        ret[len] = 0;
    }
    OPENSSL_free(text);
    return fits;
}

bool tls_subject(const struct tls *t, struct tls_subject *ret)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    int at = -1;
    ret->n_groups = 0;
    if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return false;
    X509_NAME *name = X509_get_subject_name(cert);
    if (!subject_entry(name, NID_commonName, &at, ret->name))
        return false;
    at = -1;
    while (ret->n_groups < TLS_GROUPS_MAX &&
           subject_entry(name, NID_organizationName, &at, ret->groups[ret->n_groups]))
        ret->n_groups++;
    return true;
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}
