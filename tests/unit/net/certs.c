#include "certs.h"

#include <assert.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 64

static char folder[] = "/tmp/certs-XXXXXX";
static char files[FILES_MAX][32];
static unsigned n_files;

void certs_init(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder))
        abort();
    n_files = 0;
}

void certs_done(void)
{
    while (n_files)
        (void)unlink(certs_path(files[--n_files]));
    (void)rmdir(folder);
}

const char *certs_path(const char *name)
{
    static char paths[8][64];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static FILE *create(const char *name, const char *suffix)
{
    assert(n_files < FILES_MAX);
    (void)snprintf(files[n_files], sizeof files[0], "%s%s", name, suffix);
    FILE *f = fopen(certs_path(files[n_files++]), "w");
    if (!f)
        abort();
    return f;
}

void certs_write(const char *name, const char *text)
{
    FILE *f = create(name, "");
    fputs(text, f);
    fclose(f);
}

static void extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!ext)
        abort();
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
}

static X509 *certificate(const char *name, EVP_PKEY *key, long from, long to)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    return x;
}

static void write_cert(const char *name, X509 *x)
{
    FILE *f = create(name, ".pem");
    PEM_write_X509(f, x);
    fclose(f);
}

struct authority certs_authority(const char *name)
{
    struct authority a = { .key = EVP_EC_gen("P-256") };
    a.cert = certificate(name, a.key, -3600, 3600);
    X509_set_issuer_name(a.cert, X509_get_subject_name(a.cert));
    extend(a.cert, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(a.cert, a.key, EVP_sha256());
    write_cert(name, a.cert);
    return a;
}

void certs_authority_done(struct authority *a)
{
    EVP_PKEY_free(a->key);
    X509_free(a->cert);
}

void certs_leaf(const struct authority *a, const char *name, const char *alt, long from, long to)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = certificate(name, key, from, to);
    X509_set_issuer_name(x, X509_get_subject_name(a->cert));
    if (alt)
        extend(x, NID_subject_alt_name, alt);
    X509_sign(x, a->key, EVP_sha256());
    write_cert(name, x);
    FILE *f = create(name, ".key");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}
