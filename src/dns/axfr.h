/* A zone that comes in (AXFR, RFC 5936 section 2.2): the messages of one transfer, one after the
 * other, become records for a zone_record_fn. Pure: no sockets, no clock.
 *
 * Checked: id, that it is a response without TC, rcode, the question where there is one, class IN,
 * the zone's SOA first, the same serial in the SOA that closes, nothing behind that, no other SOA,
 * no records that cannot stand in a zone. Owners are handed on in lower case; rdata with its names
 * expanded. */
#pragma once

#include "dns/zone_file.h"

#define AXFR_BYTES_MAX (256u << 20) /* of all messages of a transfer */

struct axfr {
    const uint8_t *origin; /* lower-case wire; the caller's */
    uint16_t id;
    zone_record_fn *record; /* gets the SOA once */
    void *ctx;
    uint32_t serial; /* once the first record has been read */
    size_t records, bytes;
    /* --- the parser's own --- */
    bool begun, whole;
    uint8_t rdata[65535];
};

void axfr_init(struct axfr *a, const uint8_t *origin, uint16_t id, zone_record_fn *record,
               void *ctx);

/* Takes the next message. Returns 1 when it closed the transfer, 0 when more are to come, or a
 * negative code with e set; nothing may follow 1 or an error. */
int axfr_message(struct axfr *a, const uint8_t *p, size_t len, struct err *e);

/* Is serial a before b (RFC 1982)? Of two that are half the circle apart neither is. */
static inline bool serial_is_before(uint32_t a, uint32_t b)
{
    return a != b && b - a < 0x80000000u;
}

/* SERIAL, REFRESH, RETRY, EXPIRE and MINIMUM are the last 20 bytes of a SOA's rdata. */
struct soa_times {
    uint32_t serial, refresh, retry, expire;
};
/* rdata: expanded, at least 20 bytes. */
struct soa_times soa_times_of(const uint8_t *rdata, size_t len);
