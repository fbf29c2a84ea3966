#include "registry/defaults.h"

#include <stdlib.h>
#include <string.h>

static json_t *value_of(const struct schema_field *f)
{
    switch ((enum schema_base)f->base) {
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return json_integer(strtoll(f->fallback, NULL, 10));
    case SCHEMA_BOOL:
        return json_boolean(strcmp(f->fallback, "true") == 0);
    case SCHEMA_TYPE:
        return json_object();
    default:
        return json_string(f->fallback);
    }
}

static void fill_field(const struct schema_field *f, json_t *doc)
{
    json_t *v = json_object_get(doc, f->name), *element;
    const char *key;
    size_t i;
    bool given = v && !json_is_null(v) && !(json_is_string(v) && !*json_string_value(v));
    if (!given && f->fallback && *f->fallback)
        json_object_set_new(doc, f->name, value_of(f));
    v = json_object_get(doc, f->name);
    if (f->base != SCHEMA_TYPE || !v)
        return;
    if (f->shape == SCHEMA_LIST) {
        json_array_foreach(v, i, element) defaults_fill(f->type, element);
    } else if (f->shape == SCHEMA_MAP) {
        json_object_foreach(v, key, element) defaults_fill(f->type, element);
    } else {
        defaults_fill(f->type, v);
    }
}

void defaults_fill(const struct schema_type *t, json_t *doc)
{
    if (!json_is_object(doc))
        return;
    for (unsigned i = 0; i < t->n; i++) {
        if (t->fields[i].inlined)
            defaults_fill(t->fields[i].type, doc);
        else
            fill_field(&t->fields[i], doc);
    }
}
