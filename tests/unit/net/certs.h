/* Certificates and keys made in the test, as PEM files in a folder of its own. */
#pragma once

#include <openssl/x509v3.h>

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

/* A folder that certs_done() removes, with files in it. */
void certs_init(void);
void certs_done(void);
const char *certs_path(const char *name); /* valid until the eighth call after this one */
void certs_write(const char *name, const char *text);

/* An authority; its certificate becomes NAME.pem. */
struct authority certs_authority(const char *name);
void certs_authority_done(struct authority *a);
/* NAME.pem and NAME.key, signed by a, valid from now + from to now + to (seconds); alt: subject
 * alternative names as "DNS:dns.test,IP:127.0.0.1", or NULL. */
void certs_leaf(const struct authority *a, const char *name, const char *alt, long from, long to);
