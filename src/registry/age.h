/* How long ago something was, about as exact as people want it: "5m3s", "3d". */
#pragma once

#include <jansson.h>

/* A text; "<unknown>" when the time (RFC 3339, or NULL) cannot be read. */
json_t *age_since(const char *stamp);
