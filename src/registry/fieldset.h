/* Sets of fields of documents, in the form in which managedFields has them ("FieldsV1"): an object
 * whose members are "f:NAME" for a field, "k:{...}" for a list's element by its keys, "v:..." for
 * one by its value; a member without members is in the set, one with members is when "." is among
 * them. Source: Kubernetes API reference, FieldsV1; "Server-Side Apply". */
#pragma once

#include "base/str.h"
#include "registry/schema.h"

#include <jansson.h>
#include <stdbool.h>

/* All results are new references, all arguments borrowed. NULL is the empty set. */
json_t *fieldset_union(const json_t *a, const json_t *b);
json_t *fieldset_minus(const json_t *a, const json_t *b);
json_t *fieldset_common(const json_t *a, const json_t *b);

/* What a document that is applied speaks of. */
json_t *fieldset_of(const struct schema_type *t, const json_t *doc);
/* Does a list that is applied as a map or set hold an element twice? Then which one, as
 * ".spec.ports: duplicate entries for key [port=80,protocol="TCP"]". */
bool fieldset_duplicate(const struct schema_type *t, const json_t *doc, struct strbuf *ret);
/* What changed between two documents: what is new or another value; what is gone. */
void fieldset_compare(const struct schema_type *t, const json_t *old, const json_t *now,
                      json_t **ret_changed, json_t **ret_removed);
/* Without what nobody owns: kind, name, uid and the like. */
json_t *fieldset_strip(const json_t *set);
/* Takes what is in the set out of a document, but for what is held, too. A field goes with all that
 * is in it when nothing in it is held. */
void fieldset_remove(const struct schema_type *t, json_t *doc, const json_t *set,
                     const json_t *held);
/* Writes a document that is applied into one that is there. */
void fieldset_merge(const struct schema_type *t, json_t *doc, const json_t *applied);
/* Hands over each path in the set as a text: .spec.ports[port=80,protocol="TCP"].name */
void fieldset_each(const json_t *set, void (*fn)(void *ctx, const char *path), void *ctx);
