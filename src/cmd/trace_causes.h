/* Why a request that was traced in a lab ended where it did, or took so long: by its packets, and
 * as far as the lab's objects and its node's rules say. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "explain/journey.h"

struct trace_causes {
    struct arena arena;
    VEC(struct journey_cause) items;
    const struct sightings *seen; /* while they are sought */
};

void trace_causes_init(struct trace_causes *c);
void trace_causes_done(struct trace_causes *c);
/* dir: of the lab, whose objects are read anew. from, to: as the request's, without a port: 80.
 * as: whose ways its look-up followed, or NULL. When the objects cannot be read, what was seen
 * stands for itself. A request that did well has no causes. */
void trace_causes_find(struct trace_causes *c, const struct sightings *s, const char *dir,
                       const char *from, const char *to, const char *as);
