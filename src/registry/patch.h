/* The three kinds of patches that need no memory of who owns what (apply.h is the fourth). They
 * change the document in place, and leave it undefined on failure. Sources: RFC 6902 (JSON Patch),
 * RFC 7386 (JSON Merge Patch), Kubernetes "Update API Objects in Place Using kubectl patch" for the
 * strategic one. */
#pragma once

#include "registry/fault.h"
#include "registry/schema.h"

#include <jansson.h>

#define PATCH_OPERATIONS_MAX 10000             /* of a JSON patch */
#define PATCH_COPIES_MAX     ((size_t)3 << 20) /* bytes that its operations copy, all in all */
#define PATCH_DEPTH_MAX      200               /* of the document that comes of it */

/* *doc may be exchanged as a whole. -1: the fault is set (400, 413 or 422). */
int patch_json(json_t **doc, const json_t *operations, struct fault *f);
void patch_merge(json_t *doc, const json_t *patch);
/* Lists are merged by their keys where the table of types says so; $patch, $retainKeys,
 * $setElementOrder/... and $deleteFromPrimitiveList/... are obeyed. */
int patch_strategic(const struct schema_type *t, json_t *doc, const json_t *patch, struct fault *f);
