/* The lab's objects in the form in which an API server takes them. Pure: JSON in, JSON out (new
 * values, owned by the caller).
 *
 * Source: Kubernetes API concepts (resource URIs, subresources); RFC 7386 (JSON merge patch). */
#pragma once

#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>

/* "/api/v1/namespaces/NS/pods", the collection that an object of this kind is in; false: a kind
 * that the lab does not publish. */
bool api_object_path(const char *kind, const char *namespace, struct strbuf *out);
/* Whether a kind has to be there before others: smaller numbers first. */
unsigned api_object_rank(const char *kind);
/* Whether its status is written for itself, to ".../NAME/status". */
bool api_object_has_status(const char *kind);

/* The object without its status and without what only the server says. */
json_t *api_object_body(json_t *object);
/* What changes `before` into `after`, as a merge patch; NULL when they are equal. */
json_t *api_object_patch(json_t *before, json_t *after);
