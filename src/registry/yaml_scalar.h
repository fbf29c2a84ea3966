/* Plain scalars of YAML as the original's reader takes them: YAML 1.1, with y, n, yes, no, on and
 * off, numbers with signs, underscores and the prefixes 0x, 0o, 0b and 0. As texts they stand in
 * JSON then, keys too. Source: the YAML 1.1 type repository (bool, int, float, null); Kubernetes,
 * sigs.k8s.io/yaml. */
#pragma once

#include "base/err.h"
#include "config/tree.h"

#include <jansson.h>

/* A value for the caller; NULL with an error for what JSON cannot say (.inf, .nan). */
json_t *yaml_scalar(const char *text, struct err *e);
/* Whether the text, unquoted, would be read as that text. */
bool yaml_is_text(const char *text);
/* All of a document, or NULL with an error. */
json_t *yaml_document(const struct tree *t, struct err *e);
