/* v1 Event: something that people who look at an object may want to know. Source: Kubernetes API
 * reference, core/v1 Event. */
#pragma once

#include "base/str.h"
#include "kube/object.h"

#include <stdint.h>

struct event {
    const char *api_version, *kind; /* of the object it is about: "v1", "Service" */
    const struct meta *about;
    const char *version;   /* resourceVersion of that object, or NULL */
    const char *component; /* who says it: "endpoint-slice-controller" */
    const char *reason;    /* one word: "FailedToUpdateEndpointSlices" */
    const char *message;   /* a sentence */
    bool warning;          /* else it is normal */
};

/* As JSON for an API server, appended. name: the Event's own, unique in its namespace; said n times
 * between first and last, Unix seconds. */
void event_encode(const struct event *e, const char *name, int64_t first, int64_t last, unsigned n,
                  struct strbuf *out);
