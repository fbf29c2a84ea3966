/* The queries to ask, as packets built once from a file of names.
 *
 * One query a line: NAME TYPE [EXPECT]. TYPE is A, AAAA, SRV, PTR, TXT, NS or SOA. EXPECT is
 * NXDOMAIN, NODATA, NOERROR (any answer), an IPv4 address that must be among the answers, or
 * OLD|NEW/N: N addresses, of them exactly one of these two, for a name that changes meanwhile;
 * without it the answer is only counted. '#' starts a comment. The encoder is the generator's own,
 * so that a fault of the server's wire code cannot hide from it. */
#pragma once

#include "base/err.h"
#include "base/vec.h"

#include <stdint.h>

#define QUERIES_MAX      (4 << 20)
#define QUERY_NAME_MAX   255 /* octets on the wire, RFC 1035 section 2.3.4 */
#define QUERY_HEADER_LEN 12
#define QUERY_LEN_MAX    (QUERY_HEADER_LEN + QUERY_NAME_MAX + 4 + 11)

enum expect {
    EXPECT_ANY,
    EXPECT_NXDOMAIN,
    EXPECT_NODATA,
    EXPECT_ANSWER,
    EXPECT_ADDRESS,
    EXPECT_EITHER
};

struct query {
    uint32_t offset; /* of the packet in queries.bytes */
    uint16_t len;
    uint16_t question_len; /* name, type and class, after the header */
    uint8_t expect;        /* enum expect */
    uint8_t address[4], other[4];
    uint16_t count; /* of addresses, with EXPECT_EITHER */
};

struct queries {
    VEC(uint8_t) bytes;
    VEC(struct query) list;
};

/* edns 0: no OPT record; otherwise its UDP size. */
int queries_read(const char *file, uint16_t edns, struct queries *ret, struct err *e);
void queries_done(struct queries *q);

static inline uint8_t *query_packet(const struct queries *all, const struct query *q)
{
    return all->bytes.items + q->offset;
}
