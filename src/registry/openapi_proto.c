/* OpenAPI 2 in protocol buffers: the fields of OpenAPIv2.proto that our documents have. */
#include "registry/openapi.h"

#include "base/str.h"
#include "registry/path.h"
#include "registry/proto_put.h"

#include <string.h>

/* {1: name, 2: value} */
static void put_named(struct strbuf *b, unsigned number, const char *name, struct strbuf *value)
{
    struct strbuf entry = { 0 };
    proto_put_text(&entry, 1, name);
    proto_put_message(&entry, 2, value);
    proto_put_message(b, number, &entry);
}

/* ---- what all have ---- */

/* Every member that begins with "x-": its value as YAML, of which JSON is a part. */
static void put_extensions(struct strbuf *b, unsigned number, const json_t *o)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        if (strncmp(key, "x-", 2) != 0)
            continue;
        struct strbuf any = { 0 };
        cleanup_free char *text = json_dumps(value, JSON_ENCODE_ANY);
        proto_put_text(&any, 2, text);
        put_named(b, number, key, &any);
    }
}

/* ---- schemas ---- */

static void put_schema(struct strbuf *out, const json_t *s);

static void put_properties(struct strbuf *out, const json_t *properties)
{
    struct strbuf list = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)properties, key, value)
    {
        struct strbuf schema = { 0 };
        put_schema(&schema, value);
        put_named(&list, 1, key, &schema);
    }
    proto_put_message(out, 25, &list);
}

static void put_inner(struct strbuf *out, unsigned number, const json_t *s)
{
    struct strbuf schema = { 0 }, item = { 0 };
    put_schema(&schema, s);
    proto_put_message(&item, 1, &schema);
    proto_put_message(out, number, &item);
}

static void put_schema(struct strbuf *out, const json_t *s)
{
    const json_t *required = json_object_get(s, "required");
    proto_put_text(out, 1, path_text(s, "$ref"));
    proto_put_text(out, 2, path_text(s, "format"));
    proto_put_text(out, 4, path_text(s, "description"));
    for (size_t i = 0; i < json_array_size(required); i++)
        proto_put_text(out, 19, json_string_value(json_array_get(required, i)));
    if (json_object_get(s, "additionalProperties"))
        put_inner(out, 21, json_object_get(s, "additionalProperties"));
    if (json_object_get(s, "type")) {
        struct strbuf type = { 0 };
        proto_put_text(&type, 1, path_text(s, "type"));
        proto_put_message(out, 22, &type);
    }
    if (json_object_get(s, "items"))
        put_inner(out, 23, json_object_get(s, "items"));
    if (json_object_get(s, "properties"))
        put_properties(out, json_object_get(s, "properties"));
    put_extensions(out, 31, s);
}

static void put_definitions(struct strbuf *out, const json_t *definitions)
{
    struct strbuf list = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)definitions, key, value)
    {
        struct strbuf schema = { 0 };
        put_schema(&schema, value);
        put_named(&list, 1, key, &schema);
    }
    proto_put_message(out, 9, &list);
}

/* ---- paths ---- */

static void put_parameter(struct strbuf *out, const json_t *p)
{
    struct strbuf query = { 0 }, other = { 0 }, parameter = { 0 }, item = { 0 };
    proto_put_text(&query, 2, path_text(p, "in"));
    proto_put_text(&query, 4, path_text(p, "name"));
    proto_put_text(&query, 6, path_text(p, "type"));
    proto_put_message(&other, 3, &query);
    proto_put_message(&parameter, 2, &other);
    proto_put_message(&item, 1, &parameter);
    proto_put_message(out, 8, &item);
}

static void put_operation(struct strbuf *out, unsigned number, const json_t *o)
{
    struct strbuf operation = { 0 };
    const json_t *list = json_object_get(o, "parameters");
    if (!o)
        return;
    for (size_t i = 0; i < json_array_size(list); i++)
        put_parameter(&operation, json_array_get(list, i));
    put_extensions(&operation, 13, o);
    proto_put_message(out, number, &operation);
}

static void put_paths(struct strbuf *out, const json_t *paths)
{
    struct strbuf list = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)paths, key, value)
    {
        struct strbuf item = { 0 };
        put_operation(&item, 2, json_object_get(value, "get"));
        put_operation(&item, 3, json_object_get(value, "put"));
        put_operation(&item, 4, json_object_get(value, "post"));
        put_operation(&item, 5, json_object_get(value, "delete"));
        put_operation(&item, 8, json_object_get(value, "patch"));
        put_named(&list, 2, key, &item);
    }
    proto_put_message(out, 8, &list);
}

void openapi_proto(const json_t *document, struct strbuf *out)
{
    struct strbuf info = { 0 };
    proto_put_text(&info, 1, path_text(document, "info.title"));
    proto_put_text(&info, 2, path_text(document, "info.version"));
    proto_put_text(out, 1, path_text(document, "swagger"));
    proto_put_message(out, 2, &info);
    put_paths(out, json_object_get(document, "paths"));
    put_definitions(out, json_object_get(document, "definitions"));
}
