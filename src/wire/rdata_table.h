/* The table of record types (private to wire/): a name and a string of field kinds for each. One
 * letter is one field; whatever reads, writes, prints or parses rdata goes along that string.
 *
 *   n  name that may be compressed          N  name that may not (RFC 3597 section 4)
 *   1  8-bit number   2  16-bit   4  32-bit   8  48-bit
 *   d  32-bit duration   t  32-bit date (RFC 4034 section 3.2)   T  record type   e  error code
 *   a  IPv4 address   6  IPv6 address   u  48-bit EUI   U  64-bit EUI
 *   s  character-string   S  character-strings up to the end   q  quoted text up to the end
 *   c  tag of a CAA record   h  hexadecimal up to the end   b  base64 up to the end   o  b or
 * nothing H  salt: length byte, hexadecimal   3  hash: length byte, base32hex m  16-bit length,
 * base64   w  type bitmap   p  service parameters (RFC 9460) C  certificate type   K  DNSSEC
 * algorithm   l  LOC   L  APL g  gateway of IPSECKEY   I  identity of HIP   R  names up to the end
 * O  EDNS options */
#pragma once

#include "wire/rr.h"

enum rr_names { NAMES_NONE, NAMES_PLAIN, NAMES_COMPRESSED };

struct rr_row {
    const char *name;   /* "MX"; NULL: not in the table */
    const char *fields; /* NULL: opaque bytes */
    uint8_t names;      /* enum rr_names: what kind of names the fields have */
    uint8_t n_names;    /* how many fields may be names, a list of them counted once */
};

#define RR_ROWS (RR_CAA + 1)

extern const struct rr_row rr_rows[RR_ROWS];

/* Never NULL; an unknown type gives a row without name and fields. */
static inline const struct rr_row *rr_row(uint16_t type)
{
    return &rr_rows[type < RR_ROWS ? type : 0];
}

/* What a field other than n, N and R holds: its bytes. Checks its form. False: malformed, or more
 * than the cursor has. `c` must cover the whole rdata from its start (g looks back). */
bool field_take(char kind, struct cursor *c, const uint8_t **ret_p, size_t *ret_n);

/* Walks over the names of expanded rdata. */
struct rdata_names {
    struct cursor c;
    const char *field;
    uint8_t left; /* name fields still to come */
};

struct rdata_names rdata_names_of(uint16_t type, const uint8_t *rdata, size_t len);
/* The next name; *ret_off counts from the start of the rdata. False: no more. */
bool rdata_names_next(struct rdata_names *it, size_t *ret_off, bool *ret_compressible);

/* Like rdata_expand(), only looking. */
bool rdata_check(struct cursor *c, uint16_t type, uint16_t rdlen);
/* Whether expanded rdata is well-formed. */
bool rdata_check_plain(uint16_t type, const uint8_t *rdata, size_t len);
