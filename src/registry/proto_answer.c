#include "registry/proto_answer.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "kube/timestamp.h"
#include "registry/path.h"
#include "registry/proto_put.h"
#include "registry/resource.h"

#include <stdlib.h>
#include <string.h>

/* ---- plain values ---- */

static void put_time(const json_t *v, bool micro, uint32_t number, struct strbuf *out)
{
    struct strbuf time = { 0 };
    int64_t ns;
    if (json_is_string(v) && timestamp_parse(json_string_value(v), &ns) == 0) {
        proto_put_number(&time, 1, (uint64_t)(ns / 1000000000));
        proto_put_number(&time, 2, micro ? (uint64_t)(ns % 1000000000 / 1000 * 1000) : 0);
    }
    proto_put_message(out, number, &time);
}

/* {1: is it a text, 2: number, 3: text} */
static void put_int_or_string(const json_t *v, uint32_t number, struct strbuf *out)
{
    struct strbuf inner = { 0 };
    bool is_text = json_is_string(v);
    proto_put_number(&inner, 1, is_text);
    proto_put_number(&inner, 2, (uint64_t)json_integer_value(v));
    proto_put_text(&inner, 3, is_text ? json_string_value(v) : "");
    proto_put_message(out, number, &inner);
}

/* {1: any JSON}; none at all is an empty message. */
static void put_json(const json_t *v, uint32_t number, struct strbuf *out)
{
    struct strbuf inner = { 0 };
    cleanup_free char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    proto_put_text(&inner, 1, text);
    proto_put_message(out, number, &inner);
}

static void put_quantity(const json_t *v, uint32_t number, struct strbuf *out)
{
    struct strbuf inner = { 0 };
    proto_put_text(&inner, 1, json_is_string(v) ? json_string_value(v) : "0");
    proto_put_message(out, number, &inner);
}

static unsigned sextet_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (unsigned)(at - digits) : 0;
}

/* The text was checked when it was taken in. */
static void put_base64(const json_t *v, uint32_t number, struct strbuf *out)
{
    struct strbuf bytes = { 0 };
    const char *p = json_is_string(v) ? json_string_value(v) : "";
    for (size_t n = strlen(p); n >= 4; n -= 4, p += 4) {
        unsigned bits =
            sextet_of(p[0]) << 18 | sextet_of(p[1]) << 12 | sextet_of(p[2]) << 6 | sextet_of(p[3]);
        strbuf_putc(&bytes, (char)(bits >> 16));
        if (p[2] != '=')
            strbuf_putc(&bytes, (char)(bits >> 8));
        if (p[3] != '=')
            strbuf_putc(&bytes, (char)bits);
    }
    proto_put_message(out, number, &bytes);
}

static void put_double(const json_t *v, uint32_t number, struct strbuf *out)
{
    double d = json_number_value(v);
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    proto_put_varint(out, (uint64_t)number << 3 | 1);
    for (unsigned i = 0; i < 8; i++)
        strbuf_putc(out, (char)(bits >> (8 * i)));
}

/* v NULL: its zero value. */
static void put_value(const struct schema_field *f, const json_t *v, uint32_t number,
                      struct strbuf *out)
{
    struct strbuf message = { 0 };
    switch ((enum schema_base)f->base) {
    case SCHEMA_STRING:
        proto_put_text(out, number, json_is_string(v) ? json_string_value(v) : "");
        return;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        proto_put_number(out, number, (uint64_t)json_integer_value(v));
        return;
    case SCHEMA_BOOL:
        proto_put_number(out, number, json_is_true(v));
        return;
    case SCHEMA_DOUBLE:
        put_double(v, number, out);
        return;
    case SCHEMA_BYTES:
        put_base64(v, number, out);
        return;
    case SCHEMA_QUANTITY:
        put_quantity(v, number, out);
        return;
    case SCHEMA_INT_OR_STRING:
        put_int_or_string(v, number, out);
        return;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        put_time(v, f->base == SCHEMA_MICRO_TIME, number, out);
        return;
    case SCHEMA_FIELDS:
    case SCHEMA_RAW:
        put_json(v, number, out);
        return;
    case SCHEMA_TYPE:
        proto_message_put(f->type, v, &message);
        proto_put_message(out, number, &message);
        return;
    }
}

/* ---- messages ---- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Entries {1: key, 2: value} by their keys' order. */
static void put_map(const struct schema_field *f, const json_t *map, struct strbuf *out)
{
    size_t n = 0, count = json_object_size(map);
    cleanup_free const char **keys = xcalloc(count + 1, sizeof *keys);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) {
        struct strbuf entry = { 0 };
        proto_put_text(&entry, 1, keys[i]);
        put_value(f, json_object_get(map, keys[i]), 2, &entry);
        proto_put_message(out, f->number, &entry);
    }
}

static void put_field(const struct schema_field *f, const json_t *doc, struct strbuf *out)
{
    const json_t *v = f->inlined ? doc : json_object_get(doc, f->name);
    if (json_is_null(v))
        v = NULL;
    if (f->shape == SCHEMA_LIST) {
        for (size_t i = 0; i < json_array_size(v); i++)
            put_value(f, json_array_get(v, i), f->number, out);
    } else if (f->shape == SCHEMA_MAP) {
        put_map(f, v, out);
    } else if (v || !f->pointer) {
        put_value(f, v, f->number, out);
    }
}

void proto_message_put(const struct schema_type *t, const json_t *doc, struct strbuf *out)
{
    for (unsigned i = 0; i < t->n; i++)
        put_field(&t->fields[t->by_number[i]], doc, out);
}

/* ---- documents ---- */

void proto_envelope_put(const char *api_version, const char *kind, const struct strbuf *message,
                        struct strbuf *out)
{
    struct strbuf type = { 0 };
    proto_put_text(&type, 1, api_version);
    proto_put_text(&type, 2, kind);
    strbuf_add(out, "k8s", 4);
    proto_put_message(out, 1, &type);
    proto_put_bytes(out, 2, message->p, message->len);
    proto_put_text(out, 3, ""); /* no coding, no type of the content */
    proto_put_text(out, 4, "");
}

/* A list's kind is that of its elements with "List" behind it. */
static const struct schema_type *type_of(const char *version, const char *kind, bool *ret_list)
{
    static const char *const others[][2] = {
        { "Status", "meta.Status" },
        { "PartialObjectMetadata", "meta.PartialObjectMetadata" },
        { "APIVersions", "meta.APIVersions" },
        { "APIGroup", "meta.APIGroup" },
        { "APIGroupList", "meta.APIGroupList" },
        { "APIResourceList", "meta.APIResourceList" },
        { "APIGroupDiscovery", "apidiscovery.APIGroupDiscovery" },
    };
    char element[64];
    size_t n = strlen(kind);
    const struct resource *r = resource_of_kind(version, kind);
    *ret_list = false;
    if (r)
        return resource_type(r);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (strcmp(kind, others[i][0]) == 0)
            return schema_type(others[i][1]);
    *ret_list = n > 4 && n < sizeof element && strcmp(kind + n - 4, "List") == 0;
    if (!*ret_list)
        return NULL;
    (void)snprintf(element, sizeof element, "%.*s", (int)(n - 4), kind);
    bool nested;
    const struct schema_type *t = type_of(version, element, &nested);
    return nested ? NULL : t;
}

static void put_list(const struct schema_type *t, const json_t *doc, struct strbuf *out)
{
    const json_t *items = json_object_get(doc, "items");
    struct strbuf meta = { 0 };
    proto_message_put(schema_type("meta.ListMeta"), json_object_get(doc, "metadata"), &meta);
    proto_put_message(out, 1, &meta);
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct strbuf item = { 0 };
        proto_message_put(t, json_array_get(items, i), &item);
        proto_put_message(out, 2, &item);
    }
}

bool proto_document_put(const json_t *doc, struct strbuf *out)
{
    const char *version = path_text(doc, "apiVersion"), *kind = path_text(doc, "kind");
    struct strbuf message = { 0 };
    bool is_list;
    version = version ? version : ""; /* of APIVersions */
    const struct schema_type *t = kind ? type_of(version, kind, &is_list) : NULL;
    if (!t)
        return false;
    if (is_list)
        put_list(t, doc, &message);
    else
        proto_message_put(t, doc, &message);
    proto_envelope_put(version, kind, &message, out);
    strbuf_done(&message);
    return true;
}

void proto_event_put(const char *type, const char *object, size_t len, struct strbuf *out)
{
    struct strbuf raw = { 0 }, event = { 0 };
    proto_put_bytes(&raw, 1, object, len);
    proto_put_text(&event, 1, type);
    proto_put_message(&event, 2, &raw);
    for (int shift = 24; shift >= 0; shift -= 8)
        strbuf_putc(out, (char)(event.len >> shift));
    strbuf_add(out, event.p, event.len);
    strbuf_done(&event);
}
