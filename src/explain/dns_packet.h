/* DNS messages in packets that passed by. Over TCP only those that lie whole in one segment are
 * read. */
#pragma once

#include "base/arena.h"
#include "kernel/capture.h"
#include "wire/msg.h"

#define DNS_PACKET_PORT 53
#define DNS_PACKET_IPS  16 /* of an answer; further ones are not kept */

struct dns_answer {
    uint16_t id, rcode;
    bool has_question;
    uint16_t type; /* of the question */
    unsigned n_records;
    uint32_t ttl; /* of the first record */
    const char
        *text; /* "A 10.96.0.20", "CNAME api.example.com., A 203.0.113.10", ""; in the arena */
    struct ip ips[DNS_PACKET_IPS]; /* of A and AAAA records */
    unsigned n_ips;
};

/* False: it has none. The query points into the packet. */
bool dns_packet_query(const struct packet *p, struct query_msg *ret);
bool dns_packet_answer(const struct packet *p, struct arena *a, struct dns_answer *ret);
/* "NOERROR", "NODATA" without a record, "NXDOMAIN", ...; buf: for a number without a name. */
const char *dns_packet_rcode(uint16_t rcode, unsigned n_records, char buf[24]);
