/* Names of slices that no API server names. */
#pragma once

#include "base/arena.h"

/* "<service>-<5 hex digits>" of a counter, not of the content: endpoints come and go, names stay,
 * and processes that read the same objects mostly agree. In the arena. */
const char *slice_name(struct arena *a, const char *ns, const char *service, unsigned counter);
