/* Domain names (RFC 1035 section 3.1, RFC 4343 for case).
 *
 * Two forms: `struct name`, a parsed name with the place of each label, used for questions and
 * owners; and plain *wire*: uncompressed labels ending with the root label, as `const uint8_t *`
 * (at most NAME_MAX bytes), used for names at rest. Case is kept as typed; all comparisons ignore
 * ASCII case. Text is presentation form: "\." and "\DDD" escapes, always with the final dot. */
#pragma once

#include "base/cursor.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME_MAX_WIRE   255
#define NAME_MAX_LABELS 127
#define NAME_MAX_LABEL  63
#define NAME_TEXT_MAX   1025 /* 255 bytes all escaped as \DDD, and NUL */

struct name {
    uint8_t len;                      /* of wire[], with the root label; at least 1 */
    uint8_t n_labels;                 /* without the root label */
    uint8_t off[NAME_MAX_LABELS + 1]; /* off[i]: where label i starts; off[n_labels]: the root */
    uint8_t wire[NAME_MAX_WIRE];
};

/* Reads a name at the cursor, following compression pointers (only backwards, each strictly before
 * the last: loops are impossible). Returns 0, and the cursor then stands behind the name as it lies
 * in the message; or ERR_PARSE, with the cursor where it was and *ret_name undefined. Only
 * off[0..n_labels] and wire[0..len) are written. */
int name_parse(struct cursor *c, struct name *ret_name) __attribute__((warn_unused_result));
/* The same, but a compression pointer is an error: for questions and for plain wire at rest. */
int name_parse_plain(struct cursor *c, struct name *ret_name) __attribute__((warn_unused_result));
/* As name_parse_plain(), only checking and moving on. False: malformed. */
bool name_skip_plain(struct cursor *c) __attribute__((warn_unused_result));

/* From presentation text; a missing final dot is added. Returns 0 or ERR_PARSE. */
int name_from_text(const char *text, struct name *ret_name) __attribute__((warn_unused_result));
/* From n bytes of text of a zone file: "@" is the origin, and a name without a final dot gets the
 * origin appended (plain wire; NULL: the root). Returns 0 or ERR_PARSE. */
int name_from_text_at(const char *text, size_t n, const uint8_t *origin, struct name *ret_name)
    __attribute__((warn_unused_result));
/* From plain wire that is known to be valid (built by this program). */
void name_from_wire(const uint8_t *wire, struct name *ret_name);

char *name_to_text(const uint8_t *wire, char out[NAME_TEXT_MAX]); /* returns out */
uint8_t name_wire_len(const uint8_t *wire);                       /* with the root label */
uint8_t name_wire_labels(const uint8_t *wire);                    /* without the root label */
bool name_equal(const uint8_t *a, const uint8_t *b);
/* a is b or lies below it. */
bool name_is_below(const uint8_t *a, const uint8_t *b);
/* Does the name lie in a zone of so many labels and bytes? lower: the name's wire, lowered; zone:
 * lowered wire. Quick: for each packet and each zone. */
static inline bool name_lies_in(const struct name *n, const uint8_t *lower, const uint8_t *zone,
                                uint8_t zone_labels, uint8_t zone_len)
{
    if (zone_labels > n->n_labels)
        return false;
    uint8_t off = n->off[n->n_labels - zone_labels];
    return n->len - off == zone_len && (zone_len == 1 || memcmp(lower + off, zone, zone_len) == 0);
}
/* Canonical order of RFC 4034 section 6.1: <0, 0, >0. */
int name_compare(const uint8_t *a, const uint8_t *b);
/* Copies len bytes of wire, ASCII letters lowered; length bytes are below 'A', so they pass. */
void name_lower(uint8_t *out, const uint8_t *wire, size_t len);

/* "10.0.0.1" -> 1.0.0.10.in-addr.arpa. and back. name_to_ip() wants all four octets or 32 nibbles,
 * and returns 0 or ERR_NOT_FOUND. */
struct ip;
void name_from_ip(const struct ip *ip, struct name *ret_name);
int name_to_ip(const uint8_t *wire, struct ip *ret_ip) __attribute__((warn_unused_result));
