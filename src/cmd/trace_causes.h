/* Why a request that was traced in a lab ended where it did, as far as the lab's objects say. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "explain/journey.h"

struct trace_causes {
    struct arena arena;
    VEC(struct journey_cause) items;
};

void trace_causes_init(struct trace_causes *c);
void trace_causes_done(struct trace_causes *c);
/* dir: of the lab, whose objects are read anew. from, to: as the request's, without a port: 80.
 * Nothing is found when they cannot be read: what was seen stands for itself. */
void trace_causes_find(struct trace_causes *c, const char *dir, const char *from, const char *to);
