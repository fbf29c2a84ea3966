/* Signing a zone file as a whole (RFC 4035 section 2): keys, CDS and CDNSKEY at the apex, a chain
 * of NSEC records, and a signature over each set that the zone has authority for.
 *
 * Records of that kind in the file are left out, as are records outside the zone. Runs for as long
 * as the zone is large; no thread of the server's may wait for it. */
#pragma once

#include "dns/rrsig.h"
#include "dns/zone_data.h"

#include <stdatomic.h>
#include <stdio.h>

struct zone_signing {
    struct dnskey *const *keys;
    size_t n_keys; /* 1 to 31; each signs everything */
    struct rrsig_times times;
    uint32_t serial;          /* that the signed zone is to have */
    const _Atomic bool *stop; /* true: give up */
};

/* Reads the file at path and writes the signed zone as text. Returns 0 or a negative code. */
int zone_sign(const char *path, const uint8_t *origin, const struct zone_signing *s, FILE *out,
              struct err *e) must_check;

/* How old signatures may become; seconds. */
struct zone_sign_limits {
    int64_t age;  /* since their inception */
    int64_t left; /* at least, before they expire */
};

/* Is the signed zone at path good for a while? Looks at the signatures of the SOA record. Returns
 * 0, or a negative code and in e why it should be signed anew. now: unix seconds. */
int zone_sign_check(const char *path, const uint8_t *origin, const struct zone_signing *s,
                    const struct zone_sign_limits *limits, int64_t now, struct err *e) must_check;
