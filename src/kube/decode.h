/* From a YAML or JSON tree to an object, with the API server's defaults filled in. */
#pragma once

#include "config/tree.h"
#include "kube/object.h"

/* For many objects that come one by one. name: where they come from, for errors; kept by reference.
 */
struct decoder;
struct decoder *decoder_new(const char *name, unsigned without);
void decoder_free(struct decoder *d); /* NULL is fine */
/* One object of a kind that its text need not tell; otherwise as below. *ret NULL: a kind that is
 * not read. */
int decoder_read(struct decoder *d, const struct tree *t, const char *api_version, const char *kind,
                 struct object **ret, struct err *e);

/* Decodes one document. name: the file, for origins and errors ("NAME:LINE: Service shop/web:
 * spec.ports[0].port: ..."), or a List of any kind: calls fn with each object, which fn then owns.
 * Kinds that the project does not read (Deployment, ...) are passed over. Items that fail to decode
 * are reported through bad() and skipped. without: enum object_part. Returns how many failed. */
size_t object_decode_each(const struct tree *doc, const char *name, unsigned without,
                          void (*fn)(void *ctx, struct object *o),
                          void (*bad)(void *ctx, const struct err *e), void *ctx);
/* The namespace that an object of the kind lies in, for one that is known by its name only: "" when
 * the kind has none, "default" when the object does not say. */
const char *decode_namespace_of(enum kind kind, const struct tree *object);
