/* What the parts of a request share. Private to lab/request*.c. */
#pragma once

#include "lab/request.h"

/* Where it was sent on to, as far as it is known; else what the client asked for. Only with a syn.
 */
const struct ip *request_end(const struct request *r);
bool request_flow_of_query(const struct request *r, const struct dns_seen *q, struct flow *ret);
/* Of what the client asks: did this packet leave it, or come back to it? */
bool request_is_asked(const struct request *r, const struct packet *p);
bool request_is_answer(const struct request *r, const struct packet *p);
