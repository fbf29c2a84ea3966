/* What the parts of a request share. Private to lab/request*.c. */
#pragma once

#include "lab/request.h"

/* Where it was sent on to, as far as it is known; else what the client asked for. Only with a syn.
 */
const struct ip *request_end(const struct request *r);
/* request_client.c: what is around the client. */
size_t request_search_bytes(const struct request *r);
/* Does a process of the client's node listen at that address, over UDP? */
bool request_is_bound(const struct request *r, const struct ip *ip, uint16_t port);
unsigned long request_insert_failed(const struct request *r); /* since the node is there */
/* Did the request's connection attempt meet this? */
bool request_met(const struct request *r, const struct nft_trace *t);
/* As observer_flow() does. */
bool request_flow_of_query(const struct request *r, const struct dns_seen *q, struct flow *ret,
                           bool *ret_began);
/* Of what the client asks: did this packet leave it, or come back to it? */
bool request_is_asked(const struct request *r, const struct packet *p);
bool request_is_answer(const struct request *r, const struct packet *p);
