/* Answers from one zone (RFC 1034 section 4.3.2, RFC 4592, RFC 6672; signatures and NSEC of a zone
 * that was signed beforehand, RFC 4035 section 3.1). */
#pragma once

#include "dns/plugin.h"
#include "dns/zone_data.h"

#define ZONE_CHASE 9 /* CNAMEs in a row inside the zone, as in the reference */

/* A plugin's step for a question inside the zone. z must stay until the batch ends. What falls
 * through (fallthrough may be NULL) is STEP_NEXT. resume: has zone_answer_looked_up() called with
 * the zone as it is then, NULL when it has gone. */
enum step zone_step(struct query *q, const struct zone_data *z, const struct zone_set *fallthrough,
                    resume_fn *resume, void *conf);
enum step zone_answer_looked_up(struct query *q, const struct zone_data *z,
                                const struct query *sub);
