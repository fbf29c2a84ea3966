/* The metadata that all objects have: what the API fills in, what may not change, what is checked.
 * Source: Kubernetes API conventions, "Metadata"; object names and IDs; labels and selectors. */
#pragma once

#include "registry/fault.h"
#include "registry/resource.h"

#include <jansson.h>

#define META_NAME_MAX         253
#define META_ANNOTATION_BYTES (256 << 10) /* of all annotations together */
#define META_UID_TEXT         37

void meta_uid(char out[META_UID_TEXT]);
char *meta_now(char out[48]); /* as a Time, malloc-free; returns out */

/* For a create: name from generateName, uid, creationTimestamp, generation; what only the API sets
 * is cleared. namespace: of the request. */
void meta_fill_new(const struct resource *r, json_t *doc, const char *namespace);
/* For an update: what only the API sets comes from the old object. */
void meta_fill_old(const struct resource *r, json_t *doc, const json_t *old);
/* Adds causes. old NULL: a create. */
void meta_check(const struct resource *r, const json_t *doc, const json_t *old, struct fault *f);
/* Are the specs, all but metadata and status, different? */
bool meta_spec_differs(const json_t *a, const json_t *b);
/* The text of a document's name, namespace, uid; "" for none. */
const char *meta_name(const json_t *doc);
const char *meta_namespace(const json_t *doc);
const char *meta_uid_of(const json_t *doc);
/* Is metadata.deletionTimestamp set? */
bool meta_deleting(const json_t *doc);
/* Labels of a map: keys and values by their grammar. */
void meta_check_labels(const json_t *labels, const char *path, struct fault *f);
