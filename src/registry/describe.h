/* Sentences on types and fields for `kubectl explain`, from descriptions.txt: those that people
 * look up; the rest has none. Control thread only. */
#pragma once

#include "registry/schema.h"

/* field NULL: of the type itself. NULL: there is none. */
const char *describe(const struct schema_type *t, const struct schema_field *field);
