/* DNS as it passed by: each query that left the client, with what came back. Texts lie in the
 * observer's arena, until its next collection. */
#pragma once

#include "lab/observer.h"
#include "wire/msg.h"

struct dns_seen {
    int64_t asked_ns, answered_ns; /* CLOCK_REALTIME; answered_ns 0: no answer was seen */
    struct ip client, server;
    uint16_t client_port, id, type, rcode;
    bool tcp;
    const char *name;   /* as it left, with its final dot */
    const char *answer; /* "A 10.96.0.20", "CNAME api.example.com., A 203.0.113.10", "" */
    unsigned n_answers;
    uint32_t ttl;      /* of the first record */
    struct ip address; /* the first A or AAAA record; family 0: none */
};

struct dns_seen_list {
    VEC(struct dns_seen) items;
};

/* From the packets of the last collection. Over TCP only messages that fit one segment are read.
 * ports: those of the client whose messages are meant, when others ask in its network as well;
 * NULL: all. */
struct dns_ports {
    VEC(uint16_t) items;
};
void dns_seen_read(struct observer *o, const struct dns_ports *ports, struct dns_seen_list *ret);
void dns_seen_done(struct dns_seen_list *l);
/* The first query whose answer has an address (or any record, with `any`), or NULL. */
const struct dns_seen *dns_seen_winner(const struct dns_seen_list *l, bool any);
const char *dns_seen_rcode(const struct dns_seen *q, char buf[24]); /* "NXDOMAIN", "NODATA", ... */
