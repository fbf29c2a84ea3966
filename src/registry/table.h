/* Objects as a Table: a list of columns and a row for each object, as `kubectl get` asks for it.
 * Source: Kubernetes API concepts, "Receiving resources as Tables". */
#pragma once

#include "registry/negotiate.h"
#include "registry/resource.h"

#include <jansson.h>

enum include { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT };

/* Without rows. */
json_t *table_new(const struct resource *r, const struct wish *w);
/* Adds the object's row; doc is borrowed. */
void table_add(json_t *table, const struct resource *r, const json_t *doc, enum include include);
/* Its metadata alone, as a PartialObjectMetadata; a new reference. */
json_t *partial_metadata(const json_t *doc, const struct wish *w);
