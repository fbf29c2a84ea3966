/* The catalogue of failures that a lab can be given on purpose: src/lab/failures.yaml, which
 * travels inside the program. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "config/tree.h"

struct failure {
    const char *name, *summary;
    const char *from, *to;    /* of the request that shows it, as `signpost trace` takes them */
    const char *as;           /* whose ways its look-up follows (`trace --as`), or NULL */
    const char *outcome;      /* of that request: a word of explain/outcome.h */
    const char *cost;         /* words of what it cost, or NULL */
    const struct tree *rules; /* sequence of {node or pod, nft}, or NULL */
    /* Sequence of {in: POD, run: [...], until: WORDS, rules: ...}, or NULL: what has to happen
     * before the objects labelled "lab: later" come, each under rules that are there no longer than
     * it. */
    const struct tree *first;
    const struct tree **objects;
    size_t n_objects;
};

struct failures {
    struct arena arena;
    struct failure *items;
    size_t n;
};

void failures_read(struct failures *ret);
void failures_done(struct failures *f);
/* ERR_NOT_FOUND with the names that there are. */
int failures_find(const struct failures *f, const char *name, const struct failure **ret,
                  struct err *e);
