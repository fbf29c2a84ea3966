#include "registry/table.h"

#include "registry/columns.h"
#include "registry/meta.h"
#include "registry/path.h"

#include <string.h>

static json_t *definition(const struct column *c)
{
    json_t *d = json_object();
    json_object_set_new(d, "name", json_string(c->name));
    json_object_set_new(d, "type", json_string(c->type));
    json_object_set_new(d, "format", json_string(c->format));
    json_object_set_new(d, "description", json_string(""));
    json_object_set_new(d, "priority", json_integer(c->priority));
    return d;
}

static void set_kind(json_t *doc, const char *kind, const struct wish *w)
{
    json_object_set_new(doc, "kind", json_string(kind));
    json_object_set_new(doc, "apiVersion",
                        json_string(w->v1beta1 ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1"));
}

json_t *table_new(const struct resource *r, const struct wish *w)
{
    json_t *t = json_object(), *list = json_array();
    set_kind(t, "Table", w);
    json_object_set_new(t, "metadata", json_object());
    for (const struct column *c = r->columns; c->name; c++)
        json_array_append_new(list, definition(c));
    json_object_set_new(t, "columnDefinitions", list);
    json_object_set_new(t, "rows", json_array());
    return t;
}

json_t *partial_metadata(const json_t *doc, const struct wish *w)
{
    json_t *o = json_object();
    set_kind(o, "PartialObjectMetadata", w);
    json_object_set(o, "metadata", json_object_get(doc, "metadata"));
    return o;
}

void table_add(json_t *table, const struct resource *r, const json_t *doc, enum include include)
{
    static const struct wish plain = { 0 };
    json_t *row = json_object(), *cells = json_array();
    for (const struct column *c = r->columns; c->name; c++)
        json_array_append_new(cells, c->cell(doc));
    json_object_set_new(row, "cells", cells);
    if (include == INCLUDE_METADATA)
        json_object_set_new(row, "object", partial_metadata(doc, &plain));
    else if (include == INCLUDE_OBJECT)
        json_object_set(row, "object", (json_t *)(uintptr_t)doc);
    json_array_append_new(json_object_get(table, "rows"), row);
}
