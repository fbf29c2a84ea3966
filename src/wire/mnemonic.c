/* Mnemonics of certificates (RFC 4398 section 2.1) and DNSSEC algorithms (IANA registry). */
#include "base/cleanup.h"
#include "wire/rdata_special.h"

#include <string.h>
#include <strings.h>

struct mnemonic {
    const char *name;
    uint16_t value;
};

static const struct mnemonic certs[] = {
    { "PKIX", 1 }, { "SPKI", 2 },   { "PGP", 3 },     { "IPKIX", 4 }, { "ISPKI", 5 },
    { "IPGP", 6 }, { "ACPKIX", 7 }, { "IACPKIX", 8 }, { "URI", 253 }, { "OID", 254 },
};

static const struct mnemonic algorithms[] = {
    { "RSAMD5", 1 },
    { "DH", 2 },
    { "DSA", 3 },
    { "RSASHA1", 5 },
    { "DSA-NSEC3-SHA1", 6 },
    { "RSASHA1-NSEC3-SHA1", 7 },
    { "RSASHA256", 8 },
    { "RSASHA512", 10 },
    { "ECC-GOST", 12 },
    { "ECDSAP256SHA256", 13 },
    { "ECDSAP384SHA384", 14 },
    { "ED25519", 15 },
    { "ED448", 16 },
    { "INDIRECT", 252 },
    { "PRIVATEDNS", 253 },
    { "PRIVATEOID", 254 },
};

static bool find(const struct mnemonic *table, size_t count, const char *p, size_t n, uint64_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) == n && strncasecmp(table[i].name, p, n) == 0) {
            *ret = table[i].value;
            return true;
        }
    }
    return false;
}

const char *cert_type_text(uint16_t value)
{
    for (size_t i = 0; i < ARRAY_SIZE(certs); i++) {
        if (certs[i].value == value)
            return certs[i].name;
    }
    return NULL;
}

bool cert_type_from_text(const char *p, size_t n, uint64_t *ret)
{
    return find(certs, ARRAY_SIZE(certs), p, n, ret);
}

bool algorithm_from_text(const char *p, size_t n, uint64_t *ret)
{
    return find(algorithms, ARRAY_SIZE(algorithms), p, n, ret);
}
