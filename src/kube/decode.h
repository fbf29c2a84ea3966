/* From a YAML or JSON tree to an object, with the API server's defaults filled in. */
#pragma once

#include "config/tree.h"
#include "kube/object.h"

/* Decodes one document. name: the file, for origins and errors ("NAME:LINE: Service shop/web:
 * spec.ports[0].port: ..."), or a List of any kind: calls fn with each object, which fn then owns.
 * Kinds that the project does not read (Deployment, ...) are passed over. Items that fail to decode
 * are reported through bad() and skipped. without: enum object_part. Returns how many failed. */
size_t object_decode_each(const struct tree *doc, const char *name, unsigned without,
                          void (*fn)(void *ctx, struct object *o),
                          void (*bad)(void *ctx, const struct err *e), void *ctx);
