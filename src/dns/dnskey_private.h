/* The files of dnskey.c, among themselves. */
#pragma once

#include "dns/dnskey.h"

enum dnskey_kind { DNSKEY_RSA, DNSKEY_EC, DNSKEY_ED };

struct dnskey_algorithm {
    uint8_t number;
    enum dnskey_kind kind;
    const char *digest; /* NULL: the algorithm has its own */
    const char *group;
    uint16_t size; /* bytes of a coordinate, or of the raw key */
};

/* NULL: not offered. */
const struct dnskey_algorithm *dnskey_algorithm_find(uint8_t number);

/* clang-format off */
enum dnskey_field {
    FIELD_MODULUS, FIELD_PUBLIC_EXPONENT, FIELD_PRIVATE_EXPONENT, FIELD_PRIME1, FIELD_PRIME2,
    FIELD_EXPONENT1, FIELD_EXPONENT2, FIELD_COEFFICIENT, FIELD_PRIVATE_KEY, FIELD_COUNT,
};
/* clang-format on */

/* What a private key file says; len 0: nothing about that field. Secret: wiped by its owner. */
struct dnskey_secret {
    uint8_t algorithm;
    struct {
        uint8_t bytes[DNSKEY_SIG_MAX];
        size_t len;
    } field[FIELD_COUNT];
};

int dnskey_secret_parse(const char *text, size_t len, const char *file, struct dnskey_secret *ret,
                        struct err *e) must_check;

/* Key for signing, from both; key for verifying, from the record alone. NULL: they are no key. */
EVP_PKEY *dnskey_make_private(const struct dnskey *k, const struct dnskey_secret *s);
EVP_PKEY *dnskey_make_public(const struct dnskey *k);
