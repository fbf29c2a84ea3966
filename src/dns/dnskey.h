/* Keys that sign zones (RFC 4034 section 2, RFC 8624): read from the pair of files that
 * dnssec-keygen writes, and what is computed with them. The only place that speaks to libcrypto
 * about signatures.
 *
 * Algorithms: RSASHA1 (5, 7), RSASHA256 (8), RSASHA512 (10), ECDSAP256SHA256 (13),
 * ECDSAP384SHA384 (14), ED25519 (15). RSA keys have 512 to 4096 bits. */
#pragma once

#include "base/err.h"
#include "wire/name.h"

#include <openssl/types.h>

#define DNSKEY_FILE_MAX  65536 /* bytes of one file */
#define DNSKEY_SIG_MAX   512   /* bytes of a signature: RSA with 4096 bits */
#define DNSKEY_RDATA_MAX (4 + 3 + 2 * DNSKEY_SIG_MAX)
#define DNSKEY_TTL       3600 /* of a record without one */
#define DNSKEY_DS_MAX    (4 + 32)

struct dnskey {
    uint8_t owner[NAME_MAX_WIRE]; /* lower case */
    uint32_t ttl;
    uint16_t flags, tag, rdlen;
    uint8_t algorithm;
    uint8_t rdata[DNSKEY_RDATA_MAX];
    EVP_PKEY *key; /* only read once it is made: signing needs no lock */
};

/* A zone key with and without the bit that says "secure entry point" (RFC 4034 section 2.1.1). */
static inline bool dnskey_is_ksk(const struct dnskey *k)
{
    return k->flags & 0x100 && k->flags & 1;
}

static inline bool dnskey_is_zsk(const struct dnskey *k)
{
    return k->flags & 0x100 && !(k->flags & 1);
}

/* "Kname.+013+12345", also with ".key" or ".private" behind it: both files are read, and must
 * belong together. Returns 0 or a negative code. */
int dnskey_load(const char *path, struct dnskey **ret, struct err *e) must_check;

/* The two files as text, and their names for errors. */
struct dnskey_text {
    const char *public_name, *public_text;
    size_t public_len;
    const char *private_name, *private_text;
    size_t private_len;
};
int dnskey_parse(const struct dnskey_text *t, struct dnskey **ret, struct err *e) must_check;
void dnskey_free(struct dnskey *k); /* NULL is fine */

/* Of DNSKEY rdata: RFC 4034 appendix B. */
uint16_t dnskey_tag(const uint8_t *rdata, size_t len);
/* DS (or CDS) rdata with a SHA-256 digest; owner: lower case. */
void dnskey_ds(const struct dnskey *k, const uint8_t *owner, uint8_t out[DNSKEY_DS_MAX]);

/* Signature of data in the form of RRSIG records. False: libcrypto would not. */
bool dnskey_sign(const struct dnskey *k, const uint8_t *data, size_t len,
                 uint8_t sig[DNSKEY_SIG_MAX], size_t *ret_len);
/* With nothing but the public part of k's rdata. */
bool dnskey_verify(const struct dnskey *k, const uint8_t *data, size_t len, const uint8_t *sig,
                   size_t sig_len);
