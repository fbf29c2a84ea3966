#include "registry/openapi.h"

#include "base/hash.h"
#include "base/str.h"
#include "base/vec.h"
#include "registry/describe.h"
#include "registry/discovery.h"

#include <string.h>

#define NAME_MAX_LEN 160
#define META_TYPES   "io.k8s.apimachinery.pkg.apis.meta.v1."

/* ---- names ---- */

static const char *type_name(const struct schema_type *t, char out[NAME_MAX_LEN])
{
    if (strncmp(t->name, "meta.", 5) == 0)
        (void)snprintf(out, NAME_MAX_LEN, META_TYPES "%s", schema_short(t));
    else
        (void)snprintf(out, NAME_MAX_LEN, "io.k8s.api.%.*s.v1.%s",
                       (int)(strchr(t->name, '.') - t->name), t->name, schema_short(t));
    return out;
}

static const char *list_name(const struct resource *r, char out[NAME_MAX_LEN])
{
    (void)type_name(resource_type(r), out);
    (void)strncat(out, "List", NAME_MAX_LEN - strlen(out) - 1);
    return out;
}

/* ---- schemas ---- */

static json_t *reference(const char *name, bool v3)
{
    char text[NAME_MAX_LEN + 32];
    (void)snprintf(text, sizeof text, v3 ? "#/components/schemas/%s" : "#/definitions/%s", name);
    return json_pack("{s:s}", "$ref", text);
}

/* Types of single values that have a name of their own. */
static const char *named_base(uint8_t base)
{
    switch ((enum schema_base)base) {
    case SCHEMA_QUANTITY:
        return "io.k8s.apimachinery.pkg.api.resource.Quantity";
    case SCHEMA_INT_OR_STRING:
        return "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    case SCHEMA_TIME:
        return META_TYPES "Time";
    case SCHEMA_MICRO_TIME:
        return META_TYPES "MicroTime";
    case SCHEMA_FIELDS:
        return META_TYPES "FieldsV1";
    case SCHEMA_RAW:
        return "io.k8s.apimachinery.pkg.runtime.RawExtension";
    default:
        return NULL;
    }
}

static json_t *plain(const char *type, const char *format)
{
    json_t *o = json_pack("{s:s}", "type", type);
    if (format)
        json_object_set_new(o, "format", json_string(format));
    return o;
}

static json_t *value_schema(const struct schema_field *f, bool v3)
{
    char name[NAME_MAX_LEN];
    if (f->base == SCHEMA_TYPE)
        return reference(type_name(f->type, name), v3);
    if (named_base(f->base))
        return reference(named_base(f->base), v3);
    switch ((enum schema_base)f->base) {
    case SCHEMA_INT32:
        return plain("integer", "int32");
    case SCHEMA_INT64:
        return plain("integer", "int64");
    case SCHEMA_BOOL:
        return plain("boolean", NULL);
    case SCHEMA_BYTES:
        return plain("string", "byte");
    case SCHEMA_DOUBLE:
        return plain("number", "double");
    default:
        return plain("string", NULL);
    }
}

static void add_marks(json_t *o, const struct schema_field *f)
{
    static const char *const kinds[] = {
        [APPLY_ATOMIC] = "atomic", [APPLY_SET] = "set", [APPLY_MAP] = "map"
    };
    json_t *keys = json_array();
    if (f->apply != APPLY_USUAL)
        json_object_set_new(
            o, f->shape == SCHEMA_LIST ? "x-kubernetes-list-type" : "x-kubernetes-map-type",
            json_string(kinds[f->apply]));
    for (unsigned i = 0; f->keys[i]; i++)
        json_array_append_new(keys, json_string(f->keys[i]));
    if (json_array_size(keys))
        json_object_set(o, "x-kubernetes-list-map-keys", keys);
    json_decref(keys);
    if (f->merge || f->retain)
        json_object_set_new(o, "x-kubernetes-patch-strategy",
                            json_string(f->merge && f->retain ? "merge,retainKeys"
                                        : f->merge            ? "merge"
                                                              : "retainKeys"));
    if (f->merge_key)
        json_object_set_new(o, "x-kubernetes-patch-merge-key", json_string(f->merge_key));
}

static json_t *field_schema(const struct schema_field *f, bool v3)
{
    json_t *value = value_schema(f, v3), *o = value;
    if (f->shape == SCHEMA_LIST)
        o = json_pack("{s:s, s:o}", "type", "array", "items", value);
    else if (f->shape == SCHEMA_MAP)
        o = json_pack("{s:s, s:o}", "type", "object", "additionalProperties", value);
    else if (v3 && json_object_get(value, "$ref"))
        o = json_pack("{s:[o]}", "allOf", value);
    else if (json_object_get(value, "$ref"))
        return o; /* no mark may stand beside a reference */
    add_marks(o, f);
    return o;
}

static void add_description(json_t *o, const char *text)
{
    if (text)
        json_object_set_new(o, "description", json_string(text));
}

static const struct resource *resource_with(const struct schema_type *t)
{
    for (size_t i = 0; i < n_resources; i++)
        if (resource_type(&resources[i]) == t)
            return &resources[i];
    return NULL;
}

static void add_fields(const struct schema_type *t, json_t *properties, json_t *required, bool v3)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct schema_field *f = &t->fields[i];
        if (f->inlined) {
            add_fields(f->type, properties, required, v3);
            continue;
        }
        json_t *schema = field_schema(f, v3);
        bool meta = resource_with(t) && strcmp(f->name, "metadata") == 0;
        add_description(schema, meta ? "The name, labels and all else that every object has."
                                     : describe(t, f));
        json_object_set_new(properties, f->name, schema);
        if (f->required)
            json_array_append_new(required, json_string(f->name));
    }
}

static json_t *kind_of(const struct resource *r, bool list)
{
    char kind[96];
    (void)snprintf(kind, sizeof kind, "%s%s", r->kind, list ? "List" : "");
    return json_pack("{s:s, s:s, s:s}", "group", r->group, "kind", kind, "version", r->version);
}

static void add_head(json_t *properties)
{
    json_t *version = plain("string", NULL), *kind = plain("string", NULL);
    add_description(version, "The group and version of the kind, or the version alone.");
    add_description(kind, "What the object is.");
    json_object_set_new(properties, "apiVersion", version);
    json_object_set_new(properties, "kind", kind);
}

static json_t *type_schema(const struct schema_type *t, bool v3)
{
    const struct resource *r = resource_with(t);
    json_t *o = plain("object", NULL), *properties = json_object(), *required = json_array();
    add_description(o, describe(t, NULL));
    if (r)
        add_head(properties);
    add_fields(t, properties, required, v3);
    if (json_object_size(properties))
        json_object_set(o, "properties", properties);
    if (json_array_size(required))
        json_object_set(o, "required", required);
    if (t->atomic)
        json_object_set_new(o, "x-kubernetes-map-type", json_string("atomic"));
    if (r)
        json_object_set_new(o, "x-kubernetes-group-version-kind",
                            json_pack("[o]", kind_of(r, false)));
    json_decref(properties);
    json_decref(required);
    return o;
}

static json_t *list_schema(const struct resource *r, bool v3)
{
    char name[NAME_MAX_LEN];
    json_t *properties = json_object();
    add_head(properties);
    json_object_set_new(properties, "metadata", reference(META_TYPES "ListMeta", v3));
    json_object_set_new(properties, "items",
                        json_pack("{s:s, s:o}", "type", "array", "items",
                                  reference(type_name(resource_type(r), name), v3)));
    return json_pack("{s:s, s:o, s:[s], s:[o]}", "type", "object", "properties", properties,
                     "required", "items", "x-kubernetes-group-version-kind", kind_of(r, true));
}

/* Version 2 has no way to say that a value is of one of two types. */
static json_t *base_schema(uint8_t base, bool v3)
{
    bool object = base == SCHEMA_FIELDS || base == SCHEMA_RAW;
    bool time = base == SCHEMA_TIME || base == SCHEMA_MICRO_TIME;
    bool mixed = base == SCHEMA_INT_OR_STRING;
    if (v3 && (mixed || base == SCHEMA_QUANTITY)) {
        json_t *o = json_pack("{s:[{s:s}, {s:s}]}", "oneOf", "type", mixed ? "integer" : "number",
                              "type", "string");
        if (mixed)
            json_object_set_new(o, "format", json_string("int-or-string"));
        return o;
    }
    return plain(object ? "object" : "string", time ? "date-time" : mixed ? "int-or-string" : NULL);
}

/* group NULL: of all groups. */
static json_t *all_schemas(const char *group, bool v3)
{
    size_t n;
    char name[NAME_MAX_LEN];
    const struct schema_type *types = schema_all(&n);
    json_t *all = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(all, type_name(&types[i], name), type_schema(&types[i], v3));
    for (size_t i = 0; i < n_resources; i++)
        if (!group || strcmp(resources[i].group, group) == 0)
            json_object_set_new(all, list_name(&resources[i], name),
                                list_schema(&resources[i], v3));
    for (uint8_t b = 0; b < SCHEMA_TYPE; b++)
        if (named_base(b))
            json_object_set_new(all, named_base(b), base_schema(b, v3));
    return all;
}

/* ---- paths ---- */

static json_t *parameters(bool v3)
{
    static const char *const names[] = { "dryRun", "fieldManager", "fieldValidation", "pretty" };
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_t *p = json_pack("{s:s, s:s}", "name", names[i], "in", "query");
        if (v3)
            json_object_set_new(p, "schema", plain("string", NULL));
        else
            json_object_set_new(p, "type", json_string("string"));
        json_array_append_new(list, p);
    }
    return list;
}

static json_t *operation(const struct resource *r, const char *action, bool v3)
{
    char name[NAME_MAX_LEN];
    json_t *answer = json_pack("{s:s}", "description", "OK");
    json_t *schema = reference(type_name(resource_type(r), name), v3);
    if (v3)
        json_object_set_new(answer, "content",
                            json_pack("{s:{s:o}}", "application/json", "schema", schema));
    else
        json_object_set_new(answer, "schema", schema);
    return json_pack("{s:o, s:{s:o}, s:s, s:o}", "parameters", parameters(v3), "responses", "200",
                     answer, "x-kubernetes-action", action, "x-kubernetes-group-version-kind",
                     kind_of(r, false));
}

static void add_paths(json_t *paths, const struct resource *r, bool v3)
{
    char path[256], one[288];
    int n =
        snprintf(path, sizeof path, "/%s%s/%s/", *r->group ? "apis/" : "api", r->group, r->version);
    (void)snprintf(path + n, sizeof path - (size_t)n, "%s%s",
                   r->namespaced ? "namespaces/{namespace}/" : "", r->name);
    (void)snprintf(one, sizeof one, "%s/{name}", path);
    json_t *all = json_pack("{s:o}", "get", operation(r, "list", v3));
    json_t *single = json_pack("{s:o}", "get", operation(r, "get", v3));
    if (r->verbs & VERB_CREATE)
        json_object_set_new(all, "post", operation(r, "post", v3));
    if (r->verbs & VERB_PATCH) {
        json_object_set_new(single, "patch", operation(r, "patch", v3));
        json_object_set_new(single, "put", operation(r, "put", v3));
        json_object_set_new(single, "delete", operation(r, "delete", v3));
    }
    json_object_set_new(paths, path, all);
    json_object_set_new(paths, one, single);
}

static json_t *all_paths(const char *group, bool v3)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < n_resources; i++)
        if (!group || strcmp(resources[i].group, group) == 0)
            add_paths(paths, &resources[i], v3);
    return paths;
}

/* ---- documents, kept as texts once they were built ---- */

static json_t *info(void)
{
    return json_pack("{s:s, s:s}", "title", "Kubernetes", "version", VERSION_GIT);
}

static json_t *document_v2(void)
{
    return json_pack("{s:s, s:o, s:o, s:o}", "swagger", "2.0", "info", info(), "paths",
                     all_paths(NULL, false), "definitions", all_schemas(NULL, false));
}

static json_t *document_v3(const char *group)
{
    return json_pack("{s:s, s:o, s:o, s:{s:o}}", "openapi", "3.0.0", "info", info(), "paths",
                     all_paths(group, true), "components", "schemas", all_schemas(group, true));
}

static void put_text(json_t *doc, struct strbuf *out)
{
    cleanup_free char *text = json_dumps(doc, JSON_COMPACT);
    strbuf_puts(out, text ? text : "{}");
    json_decref(doc);
}

static const struct strbuf *text_v2(bool proto)
{
    static struct strbuf texts[2];
    struct strbuf *b = &texts[proto];
    if (b->len)
        return b;
    json_t *doc = document_v2();
    if (proto) {
        openapi_proto(doc, b);
        json_decref(doc);
    } else {
        put_text(doc, b);
    }
    return b;
}

static const struct strbuf *text_v3(size_t group)
{
    static struct strbuf texts[RESOURCES_MAX];
    size_t n;
    if (!texts[group].len)
        put_text(document_v3(resource_groups(&n)[group]), &texts[group]);
    return &texts[group];
}

static void answer_text(struct call *c, const char *type, const struct strbuf *text)
{
    struct strbuf copy = { 0 };
    strbuf_add(&copy, text->p, text->len);
    call_answer_text(c, 200, type, &copy);
}

/* ---- the door ---- */

static void group_path(const char *group, char out[96])
{
    (void)snprintf(out, 96, *group ? "apis/%s/v1" : "api%s/v1", group);
}

static void answer_index(struct call *c)
{
    size_t n;
    char path[96], url[192];
    const char *const *groups = resource_groups(&n);
    json_t *paths = json_object();
    for (size_t i = 0; i < n; i++) {
        const struct strbuf *b = text_v3(i);
        group_path(groups[i], path);
        (void)snprintf(url, sizeof url, "/openapi/v3/%s?hash=%016llX", path,
                       (unsigned long long)hash_stable(b->p, b->len));
        json_object_set_new(paths, path, json_pack("{s:s}", "serverRelativeURL", url));
    }
    call_answer(c, 200, json_pack("{s:o}", "paths", paths));
}

static bool answer_group(struct call *c)
{
    size_t n;
    char path[96];
    const char *const *groups = resource_groups(&n);
    for (size_t i = 0; i < n; i++) {
        group_path(groups[i], path);
        if (strcmp(c->request.path + strlen("/openapi/v3/"), path) != 0)
            continue;
        answer_text(c, "application/json", text_v3(i));
        return true;
    }
    return false;
}

bool openapi_answer(struct call *c)
{
    static const char asked[] = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    static const char proto[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    char **p = c->request.parts;
    unsigned n = c->request.n_parts;
    const char *accept = call_header(c, "accept");
    if (n < 2 || strcmp(p[0], "openapi") != 0)
        return false;
    if (n == 2 && strcmp(p[1], "v2") == 0) {
        bool wanted = accept && (strstr(accept, asked) || strstr(accept, proto));
        answer_text(c, wanted ? proto : "application/json", text_v2(wanted));
        return true;
    }
    if (strcmp(p[1], "v3") != 0)
        return false;
    if (n > 2)
        return answer_group(c);
    answer_index(c);
    return true;
}
