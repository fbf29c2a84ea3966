/* The defaults that the table of types holds (schema.txt, "=TEXT"), filled in wherever a struct is
 * there and its field is not. */
#pragma once

#include "registry/schema.h"

#include <jansson.h>

void defaults_fill(const struct schema_type *t, json_t *doc);
