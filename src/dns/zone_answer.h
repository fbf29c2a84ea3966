/* Answers from one zone (RFC 1034 section 4.3.2, RFC 4592, RFC 6672; signatures and NSEC of a zone that was
 * signed beforehand, RFC 4035 section 3.1). */
#pragma once

#include "dns/query.h"
#include "dns/zone_data.h"

#define ZONE_CHASE 9 /* CNAMEs in a row inside the zone, as in the reference */

enum zone_outcome {
    ZONE_DONE,
    ZONE_NO_NAME, /* the reply says so already, but the query may fall through */
    ZONE_LOOKUP,  /* *ret_target is to be looked up, then zone_answer_looked_up() */
};

/* Fills q->reply. *ret_target: plain wire in the zone or q->arena. z must stay until the batch ends. */
enum zone_outcome zone_answer(struct query *q, const struct zone_data *z, const uint8_t **ret_target);
/* The end of a CNAME chain has been asked for; z: the zone as it is now, or NULL. */
enum step zone_answer_looked_up(struct query *q, const struct zone_data *z, const struct query *sub);
