#include "net/authority.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_S         86400L
#define RENEW_DAYS    30
#define ALT_NAMES_MAX 2048

static void free_key(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

static void free_cert(X509 **x)
{
    X509_free(*x);
}

/* ---- files ---- */

/* Into a file beside it first: there is never half a key. */
static int write_pem(const char *path, mode_t mode, X509 *cert, EVP_PKEY *key, struct err *e)
{
    char part[4096];
    if (snprintf(part, sizeof part, "%s.new", path) >= (int)sizeof part)
        return err_set(e, -ENAMETOOLONG, "%s: the name is too long", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return err_set(e, -errno, "write %s: %s", part, strerror(errno));
    bool ok = cert ? PEM_write_X509(f, cert) == 1
                   : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
    ok &= fflush(f) == 0 && fsync(fd) == 0;
    ok &= fclose(f) == 0;
    if (ok && rename(part, path) == 0)
        return 0;
    return err_set(e, -EIO, "write %s: %s", path, strerror(errno ? errno : EIO));
}

static X509 *read_cert(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    return f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
}

static EVP_PKEY *read_key(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    return f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
}

/* ---- certificates ---- */

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_name(X509_NAME *n, const char *field, const char *text)
{
    return X509_NAME_add_entry_by_txt(n, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1,
                                      0) == 1;
}

static bool set_serial(X509 *x)
{
    unsigned char bytes[16];
    BIGNUM *n = RAND_bytes(bytes, sizeof bytes) == 1 ? BN_bin2bn(bytes, sizeof bytes, NULL) : NULL;
    bool ok = n && BN_clear_bit(n, 127) >= 0 && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

/* Everything but the extensions and the signature. */
static X509 *cert_new(EVP_PKEY *key, const struct authority_subject *s)
{
    X509 *x = X509_new();
    X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
    bool ok = x && X509_set_version(x, 2) == 1 && set_serial(x) &&
              X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
              X509_gmtime_adj(X509_getm_notAfter(x), AUTHORITY_DAYS * DAY_S) &&
              X509_set_pubkey(x, key) == 1;
    for (unsigned i = 0; ok && i < AUTHORITY_GROUP_MAX && s->groups[i]; i++)
        ok = add_name(name, "O", s->groups[i]);
    if (ok && add_name(name, "CN", s->name))
        return x;
    X509_free(x);
    return NULL;
}

static bool sign(X509 *x, X509 *issuer, EVP_PKEY *key)
{
    return X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

static int failed(struct err *e, const char *what)
{
    return err_set(e, ERR_REFUSED, "%s cannot be made: the TLS library refuses", what);
}

int authority_make(const char *cert, const char *key, const char *name, struct err *e)
{
    if (access(cert, R_OK) == 0 && access(key, R_OK) == 0)
        return 0;
    const struct authority_subject s = { .name = name };
    cleanup(free_key) EVP_PKEY *k = EVP_EC_gen("P-256");
    cleanup(free_cert) X509 *x = k ? cert_new(k, &s) : NULL;
    if (!x || !extend(x, x, NID_basic_constraints, "critical,CA:TRUE") ||
        !extend(x, x, NID_key_usage, "critical,keyCertSign,digitalSignature") ||
        !extend(x, x, NID_subject_key_identifier, "hash") || !sign(x, x, k))
        return failed(e, cert);
    int r = write_pem(key, 0600, NULL, k, e);
    return r < 0 ? r : write_pem(cert, 0644, x, NULL, e);
}

/* "DNS:localhost,IP:127.0.0.1" */
static void alternatives(const struct authority_subject *s, char out[ALT_NAMES_MAX])
{
    char text[IP_TEXT_MAX];
    size_t n = 0;
    out[0] = 0;
    for (const char *const *d = s->dns; d && *d && n < ALT_NAMES_MAX - 300; d++)
        n += (size_t)snprintf(out + n, ALT_NAMES_MAX - n, "%sDNS:%.253s", n ? "," : "", *d);
    for (size_t i = 0; i < s->n_ips && n < ALT_NAMES_MAX - 300; i++)
        n += (size_t)snprintf(out + n, ALT_NAMES_MAX - n, "%sIP:%s", n ? "," : "",
                              ip_text(&s->ips[i], text));
}

int authority_issue(const char *ca_cert, const char *ca_key, const struct authority_subject *s,
                    const char *cert, const char *key, struct err *e)
{
    char names[ALT_NAMES_MAX];
    cleanup(free_cert) X509 *issuer = read_cert(ca_cert);
    cleanup(free_key) EVP_PKEY *issuer_key = read_key(ca_key);
    if (!issuer || !issuer_key)
        return err_set(e, ERR_INVALID, "%s, %s: no certificate and key of an authority", ca_cert,
                       ca_key);
    cleanup(free_key) EVP_PKEY *k = EVP_EC_gen("P-256");
    cleanup(free_cert) X509 *x = k ? cert_new(k, s) : NULL;
    alternatives(s, names);
    if (!x || !extend(x, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
        !extend(x, issuer, NID_key_usage, "critical,digitalSignature") ||
        !extend(x, issuer, NID_ext_key_usage, s->server ? "serverAuth" : "clientAuth") ||
        !extend(x, issuer, NID_authority_key_identifier, "keyid") ||
        (*names && !extend(x, issuer, NID_subject_alt_name, names)) || !sign(x, issuer, issuer_key))
        return failed(e, cert);
    int r = write_pem(key, 0600, NULL, k, e);
    return r < 0 ? r : write_pem(cert, 0644, x, NULL, e);
}

bool authority_covers(const char *cert, const struct ip *ip)
{
    time_t then = time(NULL) + RENEW_DAYS * DAY_S;
    cleanup(free_cert) X509 *x = read_cert(cert);
    return x && X509_check_ip(x, ip->bytes, ip_len(ip), 0) == 1 &&
           X509_cmp_time(X509_get0_notAfter(x), &then) > 0;
}
