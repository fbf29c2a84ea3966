#include "registry/shape.h"

#include "base/mem.h"
#include "kube/quantity.h"
#include "kube/timestamp.h"
#include "registry/resource.h"

#include <math.h>
#include <string.h>

#define PATH_MAX_LEN 512 /* of a field's path; longer ones are cut off */

struct shaper {
    json_t *unknown;
    bool stored;
    char *why;
    const char *owner; /* the innermost type, for errors */
    char path[PATH_MAX_LEN];
    unsigned depth;
};

static int read_type(struct shaper *s, const struct schema_type *t, const json_t *in, json_t **ret);

/* ---- what is wrong ---- */

static const char *value_name(const json_t *v, char buf[64])
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        (void)snprintf(buf, 64, "number %lld", (long long)json_integer_value(v));
        return buf;
    case JSON_REAL:
        (void)snprintf(buf, 64, "number %.17g", json_real_value(v));
        return buf;
    default:
        return "bool";
    }
}

/* The name that the original's message has for a kind. */
static void kind_name(const struct schema_field *f, bool element, char out[128])
{
    static const char *const names[] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_FIELDS] = "v1.FieldsV1",
        [SCHEMA_RAW] = "runtime.RawExtension",
    };
    const char *front = element || f->shape == SCHEMA_ONE ? ""
                        : f->shape == SCHEMA_LIST         ? "[]"
                                                          : "map[string]";
    if (f->base == SCHEMA_TYPE)
        (void)snprintf(out, 128, "%sv1.%s", front, schema_short(f->type));
    else
        (void)snprintf(out, 128, "%s%s", front, names[f->base]);
}

static int mismatch(struct shaper *s, const struct schema_field *f, bool element, const json_t *v)
{
    char kind[128], value[64];
    kind_name(f, element, kind);
    const char *name = value_name(v, value);
    if (strncmp(name, "number", 6) == 0 && f->base != SCHEMA_INT32 && f->base != SCHEMA_INT64)
        name = "number";
    if (asprintf(&s->why, "json: cannot unmarshal %s into Go struct field %s.%s of type %s", name,
                 s->owner, s->path, kind) < 0)
        s->why = NULL;
    return -1;
}

static int wrong(struct shaper *s, const char *fmt, ...) printf_like(2, 3);

static int wrong(struct shaper *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&s->why, fmt, args) < 0)
        s->why = NULL;
    va_end(args);
    return -1;
}

/* ---- paths ---- */

static size_t path_push(struct shaper *s, const char *name)
{
    size_t n = strlen(s->path);
    (void)snprintf(s->path + n, sizeof s->path - n, "%s%s", n ? "." : "", name);
    return n;
}

static void path_pop(struct shaper *s, size_t n)
{
    s->path[n] = 0;
}

static void note_unknown(struct shaper *s, const char *name)
{
    if (!s->unknown || json_array_size(s->unknown) >= SHAPE_UNKNOWN_MAX)
        return;
    size_t n = path_push(s, name);
    json_array_append_new(s->unknown, json_string(s->path));
    path_pop(s, n);
}

/* ---- single values ---- */

static int read_time(struct shaper *s, const struct schema_field *f, const json_t *v, json_t **ret)
{
    char text[TIMESTAMP_TEXT_MAX];
    int64_t ns;
    const char *given = json_string_value(v);
    if (!given)
        return mismatch(s, f, true, v);
    if (timestamp_parse(given, &ns) < 0)
        return wrong(s, "parsing time %s%s%s as \"2006-01-02T15:04:05Z07:00\": cannot parse it",
                     "\"", given, "\"");
    timestamp_text(ns / 1000000000, 0, text);
    if (f->base == SCHEMA_MICRO_TIME)
        (void)snprintf(text + strlen(text) - 1, 16, ".%06lldZ",
                       (long long)(ns % 1000000000 / 1000));
    *ret = json_string(text);
    return 0;
}

static int read_integer(struct shaper *s, const struct schema_field *f, const json_t *v,
                        json_t **ret)
{
    if (json_is_real(v) && floor(json_real_value(v)) == json_real_value(v) &&
        fabs(json_real_value(v)) < 1e15) {
        *ret = json_integer((json_int_t)json_real_value(v));
        return 0;
    }
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || (f->base == SCHEMA_INT32 && (n > INT32_MAX || n < INT32_MIN)))
        return mismatch(s, f, true, v);
    *ret = json_integer(n);
    return 0;
}

static bool is_base64(const char *s)
{
    size_t n = strlen(s), digits = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                             "0123456789+/");
    return n % 4 == 0 && n - digits <= 2 && strspn(s + digits, "=") == n - digits;
}

/* Without the white space around it; malloc'ed. */
static char *trimmed(const char *text)
{
    static const char space[] = " \t\n\v\f\r";
    text += strspn(text, space);
    size_t n = strlen(text);
    while (n && strchr(space, text[n - 1]))
        n--;
    return xstrndup(text, n);
}

/* Lists of resources know no less than thousandths. */
static int read_quantity(struct shaper *s, const struct schema_field *f, const json_t *v,
                         json_t **ret)
{
    cleanup_free char *text = json_is_number(v)   ? json_dumps(v, JSON_ENCODE_ANY)
                              : json_is_string(v) ? trimmed(json_string_value(v))
                                                  : NULL;
    char canonical[QUANTITY_TEXT_MAX];
    bool ok = text && quantity_is(text);
    if (ok)
        *ret = json_string(quantity_canonical(text, f->shape == SCHEMA_MAP ? 3 : 9, canonical));
    return ok ? 0
              : wrong(s, "quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

static int read_plain(struct shaper *s, const struct schema_field *f, const json_t *v, json_t **ret)
{
    bool ok = true;
    switch ((enum schema_base)f->base) {
    case SCHEMA_STRING:
        ok = json_is_string(v);
        break;
    case SCHEMA_BOOL:
        ok = json_is_boolean(v);
        break;
    case SCHEMA_DOUBLE:
        ok = json_is_number(v);
        break;
    case SCHEMA_INT_OR_STRING:
        ok = json_is_string(v) || json_is_integer(v);
        break;
    case SCHEMA_BYTES:
        ok = json_is_string(v);
        break;
    case SCHEMA_FIELDS:
        ok = json_is_object(v);
        break;
    case SCHEMA_RAW:
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return read_integer(s, f, v, ret);
    case SCHEMA_QUANTITY:
        return read_quantity(s, f, v, ret);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return read_time(s, f, v, ret);
    case SCHEMA_TYPE:
        return read_type(s, f->type, v, ret);
    }
    if (!ok)
        return mismatch(s, f, true, v);
    if (f->base == SCHEMA_BYTES && !is_base64(json_string_value(v)))
        return wrong(s, "illegal base64 data in %s", s->path);
    *ret = json_deep_copy(v);
    return 0;
}

/* What an element that is null stands for. */
static json_t *zero_of(struct shaper *s, const struct schema_field *f)
{
    json_t *empty = json_object(), *made = NULL;
    switch ((enum schema_base)f->base) {
    case SCHEMA_STRING:
        made = json_string("");
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_INT_OR_STRING:
        made = json_integer(0);
        break;
    case SCHEMA_BOOL:
        made = json_false();
        break;
    case SCHEMA_DOUBLE:
        made = json_integer(0);
        break;
    case SCHEMA_QUANTITY:
        made = json_string("0");
        break;
    case SCHEMA_TYPE:
        (void)read_type(s, f->type, empty, &made);
        break;
    default:
        made = json_null();
    }
    json_decref(empty);
    return made;
}

/* ---- lists, maps, types ---- */

static int read_element(struct shaper *s, const struct schema_field *f, const json_t *v,
                        json_t **ret)
{
    if (!json_is_null(v))
        return read_plain(s, f, v, ret);
    *ret = zero_of(s, f);
    return 0;
}

static int read_list(struct shaper *s, const struct schema_field *f, const json_t *in, json_t **ret)
{
    json_t *out = json_array(), *made;
    if (!json_is_array(in)) {
        json_decref(out);
        return mismatch(s, f, false, in);
    }
    for (size_t i = 0; i < json_array_size(in); i++) {
        size_t n = strlen(s->path);
        if (f->base == SCHEMA_TYPE && s->unknown && n + 24 < sizeof s->path)
            (void)snprintf(s->path + n, sizeof s->path - n, "[%zu]", i);
        int r = read_element(s, f, json_array_get(in, i), &made);
        path_pop(s, n);
        if (r < 0) {
            json_decref(out);
            return r;
        }
        json_array_append_new(out, made);
    }
    *ret = out;
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keys come in order, as Go writes them. */
static int read_map(struct shaper *s, const struct schema_field *f, const json_t *in, json_t **ret)
{
    size_t n = 0, count = json_object_size(in);
    const char *key;
    json_t *value, *made, *out;
    if (!json_is_object(in))
        return mismatch(s, f, false, in);
    const char **keys = xcalloc(count + 1, sizeof *keys);
    json_object_foreach((json_t *)(uintptr_t)in, key, value) keys[n++] = key;
    qsort(keys, count, sizeof *keys, by_text);
    out = json_object();
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        size_t at = path_push(s, keys[i]);
        r = read_element(s, f, json_object_get(in, keys[i]), &made);
        path_pop(s, at);
        if (r == 0)
            json_object_set_new(out, keys[i], made);
    }
    free(keys);
    if (r < 0)
        json_decref(out);
    else
        *ret = out;
    return r;
}

static bool is_zero(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return !*json_string_value(v);
    case JSON_INTEGER:
        return json_integer_value(v) == 0;
    case JSON_REAL:
        return json_real_value(v) == 0;
    case JSON_FALSE:
        return true;
    case JSON_ARRAY:
        return json_array_size(v) == 0;
    case JSON_OBJECT:
        return json_object_size(v) == 0;
    default:
        return false;
    }
}

/* What is written for a field that was not given; NULL: nothing. */
static json_t *absent(struct shaper *s, const struct schema_field *f)
{
    if (f->omit_zero || (f->omit && (f->pointer || f->shape != SCHEMA_ONE)))
        return NULL;
    if (f->pointer || f->shape != SCHEMA_ONE)
        return json_null();
    bool structure = f->base == SCHEMA_TYPE || f->base == SCHEMA_TIME ||
                     f->base == SCHEMA_MICRO_TIME || f->base == SCHEMA_INT_OR_STRING ||
                     f->base == SCHEMA_QUANTITY || f->base == SCHEMA_RAW;
    return structure || !f->omit ? zero_of(s, f) : NULL;
}

static int read_field(struct shaper *s, const struct schema_field *f, const json_t *v, json_t **ret)
{
    bool structure = f->base == SCHEMA_TYPE || f->base == SCHEMA_INT_OR_STRING;
    size_t at = path_push(s, f->name);
    *ret = NULL;
    int r = 0;
    if (!v || json_is_null(v))
        *ret = absent(s, f);
    else
        r = f->shape == SCHEMA_LIST  ? read_list(s, f, v, ret)
            : f->shape == SCHEMA_MAP ? read_map(s, f, v, ret)
                                     : read_plain(s, f, v, ret);
    path_pop(s, at);
    if (r == 0 && *ret && s->stored && f->shape != SCHEMA_ONE && !f->omit && is_zero(*ret)) {
        json_decref(*ret);
        *ret = json_null();
    }
    if (r == 0 && *ret && v && f->omit && !f->pointer && is_zero(*ret) &&
        (f->shape != SCHEMA_ONE || !structure)) {
        json_decref(*ret);
        *ret = NULL;
    }
    return r;
}

static int read_fields(struct shaper *s, const struct schema_type *t, const json_t *in, json_t *out)
{
    json_t *made;
    const char *owner = s->owner;
    s->owner = schema_short(t);
    int r = 0;
    for (unsigned i = 0; i < t->n && r == 0; i++) {
        const struct schema_field *f = &t->fields[i];
        if (f->inlined) {
            r = read_fields(s, f->type, in, out);
            continue;
        }
        r = read_field(s, f, json_object_get(in, f->name), &made);
        if (r == 0 && made)
            json_object_set_new(out, f->name, made);
        if (r == 0)
            s->owner = schema_short(t);
    }
    if (r == 0)
        s->owner = owner;
    return r;
}

static int read_type(struct shaper *s, const struct schema_type *t, const json_t *in, json_t **ret)
{
    const char *key;
    json_t *value, *out = json_object();
    bool root = s->depth == 0;
    int r = -1;
    if (!json_is_object(in))
        (void)wrong(s, "json: cannot unmarshal %s into Go struct field %s.%s of type v1.%s",
                    json_is_array(in)     ? "array"
                    : json_is_string(in)  ? "string"
                    : json_is_boolean(in) ? "bool"
                                          : "number",
                    s->owner ? s->owner : "", s->path, schema_short(t));
    else if (s->depth >= SHAPE_DEPTH_MAX)
        (void)wrong(s, "exceeded max depth");
    else {
        s->depth++;
        r = read_fields(s, t, in, out);
        s->depth--;
    }
    if (r < 0) {
        json_decref(out);
        return r;
    }
    json_object_foreach((json_t *)(uintptr_t)in, key, value)
    {
        bool head = root && (strcmp(key, "kind") == 0 || strcmp(key, "apiVersion") == 0);
        if (s->unknown && !head && !schema_field(t, key))
            note_unknown(s, key);
    }
    *ret = out;
    return 0;
}

int shape_read(const struct schema_type *t, const json_t *in, json_t *unknown, json_t **ret,
               char **ret_why)
{
    struct shaper s = { .unknown = unknown };
    int r = read_type(&s, t, in, ret);
    if (r < 0)
        *ret_why = s.why;
    return r;
}

static int read_object(const struct resource *r, struct shaper *s, const json_t *in, json_t **ret,
                       struct fault *f)
{
    json_t *made;
    if (read_type(s, resource_type(r), in, &made) < 0) {
        fault_bad_request(f, "%s in version \"%s\" cannot be handled as a %s: %s", r->kind,
                          r->version, r->kind, s->why ? s->why : "it cannot be read");
        free(s->why);
        return -1;
    }
    json_t *out = json_object();
    json_object_set_new(out, "kind", json_string(r->kind));
    json_object_set_new(out, "apiVersion", json_string(resource_api_version(r)));
    json_object_update(out, made);
    json_decref(made);
    *ret = out;
    return 0;
}

int shape_object(const struct resource *r, const json_t *in, json_t *unknown, json_t **ret,
                 struct fault *f)
{
    return read_object(r, &(struct shaper){ .unknown = unknown }, in, ret, f);
}

int shape_stored(const struct resource *r, const json_t *in, json_t **ret, struct fault *f)
{
    return read_object(r, &(struct shaper){ .stored = true }, in, ret, f);
}
