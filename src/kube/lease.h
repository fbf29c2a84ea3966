/* coordination.k8s.io/v1 Lease: who leads, and until when. Not an object of the store: whoever
 * wants to lead reads and writes the one Lease itself. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "config/tree.h"

#include <stdint.h>

struct lease {
    const char *namespace, *name;
    const char *version;             /* resourceVersion, "" for a new one */
    const char *holder;              /* "": nobody */
    int64_t acquired_us, renewed_us; /* Unix microseconds; 0: never */
    int32_t seconds;                 /* leaseDurationSeconds */
    int32_t transitions;
};

/* Texts lie in the tree. What is missing is zero; returns 0 or ERR_PARSE. */
int lease_read(const struct tree *t, struct lease *ret);
void lease_encode(const struct lease *l, struct strbuf *out);
