/* What the files of fieldset.h share. */
#pragma once

#include "registry/fieldset.h"

#define FIELDSET_SELF "."

bool fieldset_is_in(const json_t *node);
bool fieldset_has_children(const json_t *node);
/* Is the field one value for those who apply it? NULL: an unknown one is. */
bool fieldset_is_whole(const struct schema_field *f);
/* An element's member of a set: "k:{...}" with the keys' defaults where it leaves them out, or
 * "v:...". */
void fieldset_key(const struct schema_field *f, const json_t *e, struct strbuf *out);
/* The first element of a list with that key, or NULL. */
json_t *fieldset_find(const struct schema_field *f, const json_t *list, const char *key,
                      size_t *ret_at);
/* The field for the values of a map, or the elements of a list. */
struct schema_field fieldset_inner(const struct schema_field *f);
