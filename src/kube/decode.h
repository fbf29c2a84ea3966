/* From a YAML or JSON tree to an object, with the API server's defaults filled in. */
#pragma once

#include "config/tree.h"
#include "kube/object.h"

/* Decodes one document. name: the file, for origins and errors ("NAME:LINE: Service shop/web:
 * spec.ports[0].port: ..."). Kinds that the project does not read (Deployment, ...) give 0 and
 * *ret == NULL. `List` kinds are the caller's to unfold (object_decode_each() does). */
int object_decode(const struct tree *doc, const char *name, struct object **ret, struct err *e);

/* The same for a document that may be a List (of any kind): calls fn with each object, which fn
 * then owns. Items that fail to decode are reported through bad() and skipped. Returns how many
 * failed. */
size_t object_decode_each(const struct tree *doc, const char *name,
                          void (*fn)(void *ctx, struct object *o),
                          void (*bad)(void *ctx, const struct err *e), void *ctx);
