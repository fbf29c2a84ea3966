#include "registry/proto_body.h"

#include "base/arena.h"
#include "base/cursor.h"
#include "kube/proto.h"
#include "kube/timestamp.h"
#include "registry/resource.h"

#include <stdlib.h>
#include <string.h>

enum wire { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

struct value {
    uint32_t number;
    enum wire wire;
    uint64_t n;          /* varint and fixed */
    struct cursor bytes; /* WIRE_BYTES */
};

static int read_message(const struct schema_type *t, struct cursor c, json_t *out, unsigned depth);

/* ---- the wire ---- */

static uint64_t read_varint(struct cursor *c)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = cursor_u8(c);
        n |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return n;
    }
    c->bad = true;
    return 0;
}

static uint64_t read_fixed(struct cursor *c, size_t n)
{
    const uint8_t *p = cursor_take(c, n);
    uint64_t v = 0;
    for (size_t i = n; p && i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

/* False at the end, or when it is broken (c->bad). */
static bool next_value(struct cursor *c, struct value *v)
{
    if (c->bad || !cursor_left(c))
        return false;
    uint64_t tag = read_varint(c);
    *v = (struct value){ .number = (uint32_t)(tag >> 3), .wire = (enum wire)(tag & 7) };
    if (v->wire == WIRE_VARINT)
        v->n = read_varint(c);
    else if (v->wire == WIRE_FIXED64)
        v->n = read_fixed(c, 8);
    else if (v->wire == WIRE_FIXED32)
        v->n = read_fixed(c, 4);
    else if (v->wire == WIRE_BYTES)
        v->bytes = cursor_sub(c, read_varint(c));
    else
        c->bad = true;
    return !c->bad && !v->bytes.bad && tag >> 3 && tag >> 3 < UINT32_MAX;
}

/* ---- plain values ---- */

static json_t *text_of(const struct cursor *c)
{
    return json_stringn((const char *)c->base + c->pos, cursor_left(c));
}

static json_t *base64_of(const struct cursor *c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = cursor_left(c), at = 0;
    const uint8_t *p = c->base + c->pos;
    char *out = malloc((n + 2) / 3 * 4 + 1);
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);
        out[at++] = digits[v >> 18];
        out[at++] = digits[v >> 12 & 63];
        out[at++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
        out[at++] = i + 2 < n ? digits[v & 63] : '=';
    }
    json_t *text = json_stringn(out, at);
    free(out);
    return text;
}

/* {1: seconds, 2: nanoseconds}; nothing at all is no time. */
static json_t *time_of(struct cursor c, bool micro)
{
    struct value v;
    char text[TIMESTAMP_TEXT_MAX];
    int64_t parts[2] = { 0 };
    if (!cursor_left(&c))
        return json_null();
    while (next_value(&c, &v))
        if (v.number == 1 || v.number == 2)
            parts[v.number - 1] = (int64_t)v.n;
    if (c.bad || parts[0] < 0 || parts[0] > INT32_MAX * 2LL)
        return NULL;
    return json_string(timestamp_text(parts[0], micro ? parts[1] : 0, text));
}

/* {1: kind, 2: number, 3: text} */
static json_t *int_or_string_of(struct cursor c)
{
    struct value v;
    json_t *number = NULL, *text = NULL;
    bool is_text = false;
    while (next_value(&c, &v)) {
        if (v.number == 1) {
            is_text = v.n == 1;
        } else if (v.number == 2) {
            json_decref(number);
            number = json_integer((int32_t)v.n);
        } else if (v.number == 3 && v.wire == WIRE_BYTES) {
            json_decref(text);
            text = text_of(&v.bytes);
        }
    }
    json_t *made = json_incref(is_text ? text : number);
    json_decref(number);
    json_decref(text);
    if (c.bad)
        json_decref(made);
    return c.bad ? NULL : made ? made : is_text ? json_string("") : json_integer(0);
}

/* What lies in field 1 of a message, as a text or as JSON. */
static json_t *inner_of(struct cursor c, bool json)
{
    struct value v;
    json_t *made = NULL;
    while (next_value(&c, &v))
        if (v.number == 1 && v.wire == WIRE_BYTES && !made)
            made = json ? json_loadb((const char *)v.bytes.base + v.bytes.pos,
                                     cursor_left(&v.bytes), JSON_DECODE_ANY, NULL)
                        : text_of(&v.bytes);
    return made ? made : json_null();
}

static json_t *number_of(const struct schema_field *f, const struct value *v)
{
    double d;
    if (v->wire == WIRE_BYTES)
        return NULL;
    if (f->base == SCHEMA_BOOL)
        return json_boolean(v->n != 0);
    if (f->base == SCHEMA_INT32)
        return json_integer((int32_t)v->n);
    if (f->base == SCHEMA_INT64)
        return json_integer((int64_t)v->n);
    memcpy(&d, &v->n, sizeof d);
    return json_real(d);
}

/* NULL: it is not of the field's kind. */
static json_t *value_of(const struct schema_field *f, const struct value *v, unsigned depth)
{
    json_t *made;
    switch ((enum schema_base)f->base) {
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_BOOL:
    case SCHEMA_DOUBLE:
        return number_of(f, v);
    default:
        if (v->wire != WIRE_BYTES)
            return NULL;
    }
    switch ((enum schema_base)f->base) {
    case SCHEMA_BYTES:
        return base64_of(&v->bytes);
    case SCHEMA_QUANTITY:
        return inner_of(v->bytes, false);
    case SCHEMA_FIELDS:
    case SCHEMA_RAW:
        return inner_of(v->bytes, true);
    case SCHEMA_INT_OR_STRING:
        return int_or_string_of(v->bytes);
    case SCHEMA_TIME:
        return time_of(v->bytes, false);
    case SCHEMA_MICRO_TIME:
        return time_of(v->bytes, true);
    case SCHEMA_TYPE:
        made = json_object();
        if (read_message(f->type, v->bytes, made, depth + 1) == 0)
            return made;
        json_decref(made);
        return NULL;
    default:
        return text_of(&v->bytes);
    }
}

/* ---- messages ---- */

/* An entry: {1: key, 2: value}. */
static int put_entry(const struct schema_field *f, struct cursor c, json_t *map, unsigned depth)
{
    struct value v;
    json_t *key = NULL, *value = NULL;
    struct schema_field element = *f;
    element.shape = SCHEMA_ONE;
    while (next_value(&c, &v)) {
        json_t **part = v.number == 1 ? &key : &value;
        if (v.number > 2)
            continue;
        json_decref(*part);
        *part = v.number == 1 ? v.wire == WIRE_BYTES ? text_of(&v.bytes) : NULL
                              : value_of(&element, &v, depth);
        c.bad |= *part == NULL;
    }
    int r = c.bad ? -1 : 0;
    if (r == 0)
        json_object_set_new(map, key ? json_string_value(key) : "",
                            value                    ? json_incref(value)
                            : f->base == SCHEMA_TYPE ? json_object()
                                                     : json_string(""));
    json_decref(key);
    json_decref(value);
    return r;
}

static json_t *container(json_t *out, const struct schema_field *f)
{
    json_t *c = json_object_get(out, f->name);
    if (!c) {
        c = f->shape == SCHEMA_LIST ? json_array() : json_object();
        json_object_set_new(out, f->name, c);
    }
    return c;
}

static int put_list(const struct schema_field *f, struct value *v, json_t *list, unsigned depth)
{
    bool numbers = f->base == SCHEMA_INT32 || f->base == SCHEMA_INT64;
    while (numbers && v->wire == WIRE_BYTES) { /* packed */
        if (!cursor_left(&v->bytes))
            return 0;
        struct value one = { .wire = WIRE_VARINT, .n = read_varint(&v->bytes) };
        json_array_append_new(list, number_of(f, &one));
        if (v->bytes.bad)
            return -1;
    }
    json_t *made = value_of(f, v, depth);
    return made ? json_array_append_new(list, made) : -1;
}

static int put_field(const struct schema_field *f, struct value *v, json_t *out, unsigned depth)
{
    if (f->inlined)
        return v->wire == WIRE_BYTES ? read_message(f->type, v->bytes, out, depth + 1) : -1;
    if (f->shape == SCHEMA_LIST)
        return put_list(f, v, container(out, f), depth);
    if (f->shape == SCHEMA_MAP)
        return v->wire == WIRE_BYTES ? put_entry(f, v->bytes, container(out, f), depth) : -1;
    json_t *made = value_of(f, v, depth);
    return made ? json_object_set_new(out, f->name, made) : -1;
}

static int read_message(const struct schema_type *t, struct cursor c, json_t *out, unsigned depth)
{
    struct value v;
    if (depth > PROTO_BODY_DEPTH_MAX)
        return -1;
    while (next_value(&c, &v))
        for (unsigned i = 0; i < t->n; i++)
            if (t->fields[i].number == v.number && put_field(&t->fields[i], &v, out, depth) < 0)
                return -1;
    return c.bad || cursor_left(&c) ? -1 : 0;
}

/* ---- objects ---- */

static const struct schema_type *type_of(const struct proto_object *o)
{
    static const char *const others[][2] = {
        { "DeleteOptions", "meta.DeleteOptions" },
        { "SelfSubjectAccessReview", "authorization.SelfSubjectAccessReview" },
        { "SelfSubjectRulesReview", "authorization.SelfSubjectRulesReview" },
        { "SelfSubjectReview", "authentication.SelfSubjectReview" },
    };
    const struct resource *r = resource_of_kind(o->api_version, o->kind);
    if (r)
        return resource_type(r);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (strcmp(o->kind, others[i][0]) == 0)
            return schema_type(others[i][1]);
    return NULL;
}

static int read_object(const struct proto_object *o, json_t **ret, struct fault *f)
{
    const struct schema_type *t = type_of(o);
    if (!t)
        return fault_bad_request(f, "no kind \"%s\" is registered for version \"%s\"", o->kind,
                                 o->api_version);
    json_t *out = json_object();
    json_object_set_new(out, "kind", json_string(o->kind));
    json_object_set_new(out, "apiVersion", json_string(o->api_version));
    if (read_message(t, cursor_of(o->raw, o->len), out, 0) == 0) {
        *ret = out;
        return 0;
    }
    json_decref(out);
    return fault_bad_request(f, "the body cannot be read as a %s in protocol buffers", o->kind);
}

int proto_body_read(const void *p, size_t n, json_t **ret, struct fault *f)
{
    struct arena a;
    struct proto_object o;
    struct err e = { 0 };
    arena_init(&a, 1024);
    int r = proto_unwrap(p, n, &a, &o, &e);
    if (r < 0)
        r = fault_bad_request(f, "the body is no object in protocol buffers: %s", e.text);
    else
        r = read_object(&o, ret, f);
    arena_done(&a);
    return r;
}
