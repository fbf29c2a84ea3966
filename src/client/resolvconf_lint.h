/* What is wrong, or costly, with a resolv.conf, for each of the resolvers that may read it: glibc,
 * musl and Go. Each finding says where, what, why and how to mend it.
 * Sources: resolv.conf(5), musl's and Go's documented behaviour, "DNS for Services and Pods". */
#pragma once

#include "base/arena.h"

#include <stdbool.h>

struct resolvconf_finding {
    int line;    /* from 1; 0: the file as a whole */
    bool breaks; /* names do not resolve as meant; else it is slow, or differs between resolvers */
    const char *text; /* one sentence or two, in the arena or static */
};

typedef void resolvconf_finding_fn(void *ctx, const struct resolvconf_finding *f);

/* Tells the findings in the order of the lines, those of the whole file last. */
void resolvconf_lint(const char *text, struct arena *a, resolvconf_finding_fn *fn, void *ctx);
