/* Record types, classes, rcodes and opcodes; RRsets as the project holds them; rdata by table.
 *
 * Each record type is one row of a table that says which fields its rdata has (names that may be
 * compressed, names that may not, integers, addresses, character strings, ...). From that row come
 * reading from a message, writing, text form and parsing of text form; a type without a row is
 * opaque bytes and prints as RFC 3597 says. */
#pragma once

#include "base/cursor.h"
#include "base/str.h"
#include "wire/name.h"

/* clang-format off */
enum rr_type {
    RR_A = 1, RR_NS = 2, RR_MD = 3, RR_MF = 4, RR_CNAME = 5, RR_SOA = 6, RR_MB = 7, RR_MG = 8,
    RR_MR = 9, RR_NULL = 10, RR_PTR = 12, RR_HINFO = 13, RR_MINFO = 14, RR_MX = 15, RR_TXT = 16,
    RR_RP = 17, RR_AFSDB = 18, RR_RT = 21, RR_SIG = 24, RR_KEY = 25, RR_PX = 26, RR_AAAA = 28,
    RR_LOC = 29, RR_SRV = 33, RR_NAPTR = 35, RR_KX = 36, RR_CERT = 37, RR_DNAME = 39, RR_OPT = 41,
    RR_APL = 42, RR_DS = 43, RR_SSHFP = 44, RR_IPSECKEY = 45, RR_RRSIG = 46, RR_NSEC = 47,
    RR_DNSKEY = 48, RR_DHCID = 49, RR_NSEC3 = 50, RR_NSEC3PARAM = 51, RR_TLSA = 52, RR_SMIMEA = 53,
    RR_HIP = 55, RR_CDS = 59, RR_CDNSKEY = 60, RR_OPENPGPKEY = 61, RR_CSYNC = 62, RR_ZONEMD = 63,
    RR_SVCB = 64, RR_HTTPS = 65, RR_SPF = 99, RR_EUI48 = 108, RR_EUI64 = 109, RR_TKEY = 249,
    RR_TSIG = 250, RR_IXFR = 251, RR_AXFR = 252, RR_MAILB = 253, RR_MAILA = 254, RR_ANY = 255,
    RR_URI = 256, RR_CAA = 257,
};

enum rr_class { CLASS_IN = 1, CLASS_CH = 3, CLASS_HS = 4, CLASS_NONE = 254, CLASS_ANY = 255 };

enum rcode {
    RCODE_NOERROR, RCODE_FORMERR, RCODE_SERVFAIL, RCODE_NXDOMAIN, RCODE_NOTIMP, RCODE_REFUSED,
    RCODE_YXDOMAIN, RCODE_YXRRSET, RCODE_NXRRSET, RCODE_NOTAUTH, RCODE_NOTZONE,
    RCODE_BADVERS = 16, RCODE_BADKEY = 17, RCODE_BADTIME = 18, RCODE_BADCOOKIE = 23,
};
/* clang-format on */

enum opcode { OPCODE_QUERY, OPCODE_IQUERY, OPCODE_STATUS, OPCODE_NOTIFY = 4, OPCODE_UPDATE = 5 };

/* An RRset, its rdata ready for the wire (names inside uncompressed). Small and copied freely; the
 * bytes it points to belong to a snapshot, an arena or static data, and must live until the reply
 * is encoded. */
struct rrset {
    const uint8_t *owner; /* plain wire; NULL: the question's name, as the client typed it */
    const uint8_t *rdata;
    uint32_t ttl;
    uint16_t type, class;
    uint16_t count;
    uint16_t rdlen; /* > 0: every rdata has this length and they lie back to back;
                     * 0: each is preceded by its own length, 16 bits in network order */
};

/* Types that are questions or travel in messages, but never stand in a zone. */
static inline bool rr_type_is_meta(uint16_t type)
{
    return type == 0 || type == RR_OPT || (type >= 128 && type <= 255);
}

/* The next rdata of an RRset and its length: *at begins as rr->rdata and moves behind it; at most
 * rr->count times. */
static inline const uint8_t *rrset_next(const struct rrset *rr, const uint8_t **at, size_t *ret_len)
{
    const uint8_t *p = *at;
    *ret_len = rr->rdlen;
    if (!rr->rdlen) {
        *ret_len = get_u16(p);
        p += 2;
    }
    *at = p + *ret_len;
    return p;
}
/* All bytes at rr->rdata, the lengths in front included. */
size_t rrset_bytes(const struct rrset *rr);
/* A name (plain wire) as the rdata of NS, CNAME, PTR or DNAME: its length in front, in the arena.
 */
struct arena;
uint8_t *rdata_of_name(struct arena *a, const uint8_t *name);

/* Text of a number, or "TYPE65280" / "CLASS5" / "RCODE99" written into buf (at least 16 bytes). */
const char *rr_type_text(uint16_t type, char buf[16]);
const char *rr_class_text(uint16_t class, char buf[16]);
const char *rcode_text(uint16_t rcode, char buf[16]);
/* From text, letter case ignored; "TYPE65280" too. Returns 0 or ERR_PARSE. */
int rr_type_from_text(const char *text, uint16_t *ret) __attribute__((warn_unused_result));
int rr_class_from_text(const char *text, uint16_t *ret) __attribute__((warn_unused_result));
int rcode_from_text(const char *text, uint16_t *ret) __attribute__((warn_unused_result));

/* Reads rdlen bytes of rdata of a message at the cursor and writes them to out with every name
 * expanded. Checks the form of known types. Returns 0 or ERR_PARSE. */
int rdata_expand(struct cursor *c, uint16_t type, uint16_t rdlen, struct wbuf *out)
    __attribute__((warn_unused_result));
/* Presentation form of expanded rdata. */
void rdata_to_text(uint16_t type, const uint8_t *rdata, size_t len, struct strbuf *out);
/* From presentation form ("10 5 5060 sip.example."; "\# 4 0a000001" for any type). Names without a
 * final dot get origin appended (plain wire; NULL: the root). Returns 0 or a negative code. */
struct err;
int rdata_from_text(uint16_t type, const char *text, const uint8_t *origin, struct wbuf *out,
                    struct err *e) __attribute__((warn_unused_result));
/* "owner ttl class type rdata", the form of zone files. */
void rr_to_text(const uint8_t *owner, uint32_t ttl, uint16_t class, uint16_t type,
                const uint8_t *rdata, size_t rdlen, struct strbuf *out);
/* One line "owner [ttl] [class] type rdata"; default_ttl when it has none. *ret_rr's owner and
 * rdata (with its length in front: rdlen is 0, count 1) lie in `a`. */
int rr_from_text(const char *text, const uint8_t *origin, uint32_t default_ttl, struct arena *a,
                 struct rrset *ret_rr, struct err *e) __attribute__((warn_unused_result));

/* Names inside rdata, for encoders and rewriters: calls fn for each name field of expanded rdata
 * with its offset and whether RFC 3597 section 4 lets it be compressed. */
void rdata_each_name(uint16_t type, const uint8_t *rdata, size_t len,
                     void (*fn)(void *ctx, size_t off, bool compressible), void *ctx);
