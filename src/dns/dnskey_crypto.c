/* libcrypto's side of keys. */
#include "dns/dnskey_private.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#define KEY_AT       4   /* of the public key in DNSKEY rdata */
#define RSA_BITS_MIN 512 /* RFC 3110 section 3 */
#define DER_MAX      160 /* of an ECDSA signature with two numbers of 48 bytes */

static const struct dnskey_algorithm algorithms[] = {
    { 5, DNSKEY_RSA, "SHA1", NULL, 0 },       { 7, DNSKEY_RSA, "SHA1", NULL, 0 },
    { 8, DNSKEY_RSA, "SHA256", NULL, 0 },     { 10, DNSKEY_RSA, "SHA512", NULL, 0 },
    { 13, DNSKEY_EC, "SHA256", "P-256", 32 }, { 14, DNSKEY_EC, "SHA384", "P-384", 48 },
    { 15, DNSKEY_ED, NULL, SN_ED25519, 32 },
};

const struct dnskey_algorithm *dnskey_algorithm_find(uint8_t number)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].number == number)
            return &algorithms[i];
    return NULL;
}

/* ---- making keys ---- */

/* Parameters of a key, and the numbers that they point to. */
struct draft {
    OSSL_PARAM_BLD *params;
    BIGNUM *numbers[FIELD_COUNT];
    int n;
    bool bad;
};

static void draft_number(struct draft *d, const char *name, const uint8_t *p, size_t len)
{
    BIGNUM *bn = BN_bin2bn(p, (int)len, NULL);
    d->numbers[d->n++] = bn;
    d->bad |= !bn || BN_is_zero(bn) || !OSSL_PARAM_BLD_push_BN(d->params, name, bn);
}

/* Frees the draft. NULL: no key. */
static EVP_PKEY *draft_end(struct draft *d, const char *type, bool is_private)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = d->bad ? NULL : OSSL_PARAM_BLD_to_param(d->params);
    if (params && ctx && EVP_PKEY_fromdata_init(ctx) > 0 &&
        EVP_PKEY_fromdata(ctx, &key, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) <=
            0)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(d->params);
    EVP_PKEY_CTX_free(ctx);
    for (int i = 0; i < d->n; i++)
        BN_clear_free(d->numbers[i]);
    return key;
}

/* Exponent and modulus as they lie in the record: RFC 3110 section 2. */
static bool rsa_public(const struct dnskey *k, struct draft *d)
{
    struct cursor c = cursor_of(k->rdata + KEY_AT, k->rdlen - KEY_AT);
    size_t exponent_len = cursor_u8(&c);
    if (exponent_len == 0)
        exponent_len = cursor_u16(&c);
    const uint8_t *exponent = cursor_take(&c, exponent_len);
    size_t n = cursor_left(&c);
    const uint8_t *modulus = cursor_take(&c, n);
    if (c.bad || exponent_len == 0 || n < RSA_BITS_MIN / 8 || n > DNSKEY_SIG_MAX)
        return false;
    draft_number(d, OSSL_PKEY_PARAM_RSA_E, exponent, exponent_len);
    draft_number(d, OSSL_PKEY_PARAM_RSA_N, modulus, n);
    return true;
}

static EVP_PKEY *make_rsa(const struct dnskey *k, const struct dnskey_secret *s)
{
    static const char *const names[FIELD_COUNT] = {
        [FIELD_PRIVATE_EXPONENT] = OSSL_PKEY_PARAM_RSA_D,
        [FIELD_PRIME1] = OSSL_PKEY_PARAM_RSA_FACTOR1,
        [FIELD_PRIME2] = OSSL_PKEY_PARAM_RSA_FACTOR2,
        [FIELD_EXPONENT1] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
        [FIELD_EXPONENT2] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
        [FIELD_COEFFICIENT] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
    };
    struct draft d = { .params = OSSL_PARAM_BLD_new() };
    d.bad = !d.params || !rsa_public(k, &d);
    for (int i = 0; s && i < FIELD_COUNT && !d.bad; i++) {
        if (!names[i])
            continue;
        d.bad |= !s->field[i].len;
        draft_number(&d, names[i], s->field[i].bytes, s->field[i].len);
    }
    return draft_end(&d, "RSA", s);
}

/* The point is the record's, without the byte in front that says "not compressed": RFC 6605. */
static EVP_PKEY *make_ec(const struct dnskey *k, const struct dnskey_algorithm *a,
                         const struct dnskey_secret *s)
{
    uint8_t point[1 + 2 * 48] = { POINT_CONVERSION_UNCOMPRESSED };
    struct draft d = { .params = OSSL_PARAM_BLD_new() };
    if (!d.params || k->rdlen != KEY_AT + 2 * a->size ||
        (s && s->field[FIELD_PRIVATE_KEY].len != a->size)) {
        OSSL_PARAM_BLD_free(d.params);
        return NULL;
    }
    memcpy(point + 1, k->rdata + KEY_AT, 2u * a->size);
    d.bad |= !OSSL_PARAM_BLD_push_utf8_string(d.params, OSSL_PKEY_PARAM_GROUP_NAME, a->group, 0);
    d.bad |= !OSSL_PARAM_BLD_push_octet_string(d.params, OSSL_PKEY_PARAM_PUB_KEY, point,
                                               1 + 2u * a->size);
    if (s)
        draft_number(&d, OSSL_PKEY_PARAM_PRIV_KEY, s->field[FIELD_PRIVATE_KEY].bytes, a->size);
    return draft_end(&d, "EC", s);
}

static EVP_PKEY *make_ed(const struct dnskey *k, const struct dnskey_algorithm *a,
                         const struct dnskey_secret *s)
{
    if (k->rdlen != KEY_AT + a->size || (s && s->field[FIELD_PRIVATE_KEY].len != a->size))
        return NULL;
    if (s)
        return EVP_PKEY_new_raw_private_key_ex(NULL, a->group, NULL,
                                               s->field[FIELD_PRIVATE_KEY].bytes, a->size);
    return EVP_PKEY_new_raw_public_key_ex(NULL, a->group, NULL, k->rdata + KEY_AT, a->size);
}

static EVP_PKEY *make(const struct dnskey *k, const struct dnskey_secret *s)
{
    const struct dnskey_algorithm *a = dnskey_algorithm_find(k->algorithm);
    EVP_PKEY *key = !a || k->rdlen < KEY_AT ? NULL
                    : a->kind == DNSKEY_RSA ? make_rsa(k, s)
                    : a->kind == DNSKEY_EC  ? make_ec(k, a, s)
                                            : make_ed(k, a, s);
    if (!key)
        ERR_clear_error();
    return key;
}

EVP_PKEY *dnskey_make_private(const struct dnskey *k, const struct dnskey_secret *s)
{
    return make(k, s);
}

EVP_PKEY *dnskey_make_public(const struct dnskey *k)
{
    return make(k, NULL);
}

/* ---- signatures ---- */

/* ECDSA in DNS is two numbers of fixed size, in libcrypto a DER structure. */
static bool from_der(const uint8_t *der, size_t len, size_t size, uint8_t *sig)
{
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good = s && BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, (int)size) >= 0 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + size, (int)size) >= 0;
    ECDSA_SIG_free(s);
    return good;
}

/* Returns the length; 0: no. */
static size_t to_der(const uint8_t *sig, size_t size, uint8_t der[DER_MAX])
{
    ECDSA_SIG *s = ECDSA_SIG_new();
    BIGNUM *x = BN_bin2bn(sig, (int)size, NULL), *y = BN_bin2bn(sig + size, (int)size, NULL);
    int len = 0;
    if (!s || !x || !y || !ECDSA_SIG_set0(s, x, y)) {
        BN_free(x);
        BN_free(y);
    } else if (i2d_ECDSA_SIG(s, NULL) <= DER_MAX) {
        len = i2d_ECDSA_SIG(s, &der);
    }
    ECDSA_SIG_free(s);
    return len > 0 ? (size_t)len : 0;
}

bool dnskey_sign(const struct dnskey *k, const uint8_t *data, size_t len,
                 uint8_t sig[DNSKEY_SIG_MAX], size_t *ret_len)
{
    const struct dnskey_algorithm *a = dnskey_algorithm_find(k->algorithm);
    uint8_t der[DER_MAX];
    bool ec = a->kind == DNSKEY_EC;
    size_t n = ec ? sizeof der : DNSKEY_SIG_MAX;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestSignInit_ex(ctx, NULL, a->digest, NULL, NULL, k->key, NULL) > 0 &&
                EVP_DigestSign(ctx, ec ? der : sig, &n, data, len) > 0 &&
                (!ec || from_der(der, n, a->size, sig));
    EVP_MD_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    *ret_len = ec ? 2u * a->size : n;
    return good;
}

bool dnskey_verify(const struct dnskey *k, const uint8_t *data, size_t len, const uint8_t *sig,
                   size_t sig_len)
{
    const struct dnskey_algorithm *a = dnskey_algorithm_find(k->algorithm);
    EVP_PKEY *key = dnskey_make_public(k);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[DER_MAX];
    if (key && a->kind == DNSKEY_EC) {
        sig_len = sig_len == 2u * a->size ? to_der(sig, a->size, der) : 0;
        sig = der;
    }
    bool good = key && ctx && sig_len &&
                EVP_DigestVerifyInit_ex(ctx, NULL, a->digest, NULL, NULL, key, NULL) > 0 &&
                EVP_DigestVerify(ctx, sig, sig_len, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!good)
        ERR_clear_error();
    return good;
}
