/* Why a request that was traced ended where it did, or took so long: by its packets, and
 * as far as the objects, and in a lab its node's rules, say. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "cmd/explain_source.h"
#include "explain/journey.h"

struct trace_causes {
    struct arena arena;
    VEC(struct journey_cause) items;
    const struct sightings *seen; /* while they are sought */
};

void trace_causes_init(struct trace_causes *c);
void trace_causes_done(struct trace_causes *c);
/* Where the request was made, and what for. */
struct trace_causes_of {
    const char *dir;                               /* of a lab, or NULL */
    const struct explain_objects_options *objects; /* else these, or NULL: none are known */
    const char *from, *to;                         /* to: without a port, 80 */
    const char *as;                                /* whose ways its look-up followed, or NULL */
    const char *protocol;                          /* "tcp", "udp" */
};
/* The objects are read anew. When they cannot be read, what was seen stands for itself. A request
 * that did well has no causes. */
void trace_causes_find(struct trace_causes *c, const struct sightings *s,
                       const struct trace_causes_of *of);
