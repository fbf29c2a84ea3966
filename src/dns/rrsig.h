/* Signatures over RRsets (RFC 4034 section 3.1.8.1, RFC 4035 section 5.3.2). */
#pragma once

#include "base/arena.h"
#include "dns/dnskey.h"
#include "wire/rr.h"

#define RRSIG_FIXED     18 /* bytes of rdata before the signer's name */
#define RRSIG_RDATA_MAX (RRSIG_FIXED + NAME_MAX_WIRE + DNSKEY_SIG_MAX)

/* One RRset as it is signed: its records in canonical form and order, none twice. */
struct rrsig_image {
    uint8_t *records; /* with room for the signature's own rdata in front */
    size_t len;
    uint16_t type;
    uint8_t labels; /* of the owner, a "*" in front not counted */
    uint32_t ttl;   /* the original TTL that is signed */
};

/* Unix seconds, modulo 2^32. */
struct rrsig_times {
    uint32_t inception, expiration;
};

/* Records of one owner (plain wire), type and class, in n pieces. All memory is the arena's,
 * nothing else is allocated. */
void rrsig_image_make(struct arena *a, const uint8_t *owner, const struct rrset *const *sets,
                      size_t n, uint32_t ttl, struct rrsig_image *ret);

/* RRSIG rdata by one key, signer being the zone's name in lower case. Returns its length; 0:
 * libcrypto would not. Not for two threads with the same image. */
size_t rrsig_make(const struct dnskey *k, const struct rrsig_image *image, const uint8_t *signer,
                  const struct rrsig_times *t, uint8_t out[RRSIG_RDATA_MAX]);
