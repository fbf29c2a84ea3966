/* Who owns which fields: metadata.managedFields, and server-side apply, which lives by it. Source:
 * Kubernetes, "Server-Side Apply". */
#pragma once

#include "registry/call.h"

/* Brings managedFields up to date for a write that is no apply. -1: the fault is set. */
int managed_update(struct call *c, struct write *w);
/* Do both say the same, times aside? */
bool managed_same(const json_t *a, const json_t *b);
/* A PATCH of the type application/apply-patch+yaml. */
int managed_apply(struct call *c);
