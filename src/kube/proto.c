#include "kube/proto.h"

#include "base/mem.h"
#include "kube/proto_schema.h"
#include "kube/timestamp.h"

#include <inttypes.h>
#include <string.h>

#define VARINT_MAX 10 /* bytes of a number */

enum wire { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

struct reader {
    struct arena *arena;
    struct err *e;
    size_t nodes;
    unsigned without;
};

/* One field of a message as it stands in the bytes. */
struct value {
    uint32_t number;
    enum wire wire;
    uint64_t varint;
    const uint8_t *bytes; /* WIRE_LEN */
    size_t len;
};

static int broken(struct err *e, const char *what)
{
    return err_set(e, ERR_PARSE, "not a valid message: %s", what);
}

/* ---- the encoding ---- */

static uint64_t read_varint(struct cursor *c)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(c);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    c->bad = true;
    return 0;
}

/* 1: a field; 0: the end. */
static int next_value(struct cursor *c, struct value *ret, struct err *e)
{
    if (!cursor_left(c) && !c->bad)
        return 0;
    uint64_t tag = read_varint(c);
    *ret = (struct value){ .number = (uint32_t)(tag >> 3), .wire = (enum wire)(tag & 7) };
    switch (ret->wire) {
    case WIRE_VARINT:
        ret->varint = read_varint(c);
        break;
    case WIRE_I64:
        (void)cursor_take(c, 8);
        break;
    case WIRE_I32:
        (void)cursor_take(c, 4);
        break;
    case WIRE_LEN: {
        uint64_t len = read_varint(c);
        ret->len = len <= cursor_left(c) ? (size_t)len : 0;
        ret->bytes = cursor_take(c, len <= cursor_left(c) ? ret->len : cursor_left(c) + 1);
        break;
    }
    default:
        return broken(e, "a field of an unknown wire type");
    }
    return c->bad || !ret->number || tag >> 32 ? broken(e, "a field is cut off") : 1;
}

/* A text of a field, in the arena; NULL with the error set. */
static const char *text_of(struct reader *r, const struct value *v)
{
    if (v->wire != WIRE_LEN || (v->len && memchr(v->bytes, 0, v->len))) {
        broken(r->e, v->wire != WIRE_LEN ? "a text of another wire type" : "a text with NUL");
        return NULL;
    }
    return v->len ? arena_strndup(r->arena, (const char *)v->bytes, v->len) : "";
}

/* ---- to a tree ---- */

static struct tree *new_node(struct reader *r, enum tree_kind kind, const char *key)
{
    if (r->nodes++ >= PROTO_NODES_MAX) {
        err_set(r->e, ERR_LIMIT, "a message of more than %d values", PROTO_NODES_MAX);
        return NULL;
    }
    struct tree *t = arena_zalloc(r->arena, sizeof *t);
    t->kind = (uint8_t)kind;
    t->key = key;
    return t;
}

static int read_message(struct reader *r, const struct proto_message *m, struct cursor c,
                        struct tree *into);

/* {seconds 1, nanos 2} as RFC 3339. */
static int read_time(struct reader *r, struct cursor c, struct tree *t)
{
    struct value v;
    int64_t seconds = 0, nanos = 0;
    int more;
    while ((more = next_value(&c, &v, r->e)) == 1) {
        if (v.number == 1)
            seconds = (int64_t)v.varint;
        if (v.number == 2)
            nanos = (int64_t)v.varint;
    }
    if (more == 0)
        t->text = timestamp_text(seconds, nanos, arena_alloc(r->arena, TIMESTAMP_TEXT_MAX));
    return more;
}

/* {type 1 (0: number, 1: text), intVal 2, strVal 3} */
static int read_int_or_string(struct reader *r, struct cursor c, struct tree *t)
{
    struct value v;
    uint64_t type = 0;
    int32_t number = 0;
    const char *text = "";
    int more;
    while ((more = next_value(&c, &v, r->e)) == 1) {
        if (v.number == 1)
            type = v.varint;
        if (v.number == 2)
            number = (int32_t)v.varint;
        if (v.number == 3 && !(text = text_of(r, &v)))
            return r->e->code;
    }
    t->quoted = type == 1;
    t->text = t->quoted ? text : arena_printf(r->arena, "%" PRId32, number);
    return more;
}

/* {string 1} */
static const char *quantity_of(struct reader *r, const struct value *v)
{
    struct cursor c = cursor_of(v->bytes, v->wire == WIRE_LEN ? v->len : 0);
    const char *text = "";
    struct value inner;
    int more;
    while ((more = next_value(&c, &inner, r->e)) == 1)
        if (inner.number == 1 && !(text = text_of(r, &inner)))
            return NULL;
    return more < 0 ? NULL : text;
}

/* An entry of a map: {key 1, value 2}. */
static int read_entry(struct reader *r, struct cursor c, bool quantities, struct tree *t)
{
    struct value v;
    int more;
    t->quoted = true;
    t->key = t->text = "";
    while ((more = next_value(&c, &v, r->e)) == 1) {
        const char **to = v.number == 1 ? &t->key : v.number == 2 ? &t->text : NULL;
        if (to && !(*to = quantities && v.number == 2 ? quantity_of(r, &v) : text_of(r, &v)))
            return r->e->code;
    }
    return more;
}

static bool is_map(const struct proto_field *f)
{
    return f->type == PROTO_MAP || f->type == PROTO_QUANTITIES;
}

static int read_value(struct reader *r, const struct proto_field *f, const struct value *v,
                      struct tree *t)
{
    bool is_number = f->type == PROTO_INT || f->type == PROTO_BOOL;
    if (v->wire != (is_number ? WIRE_VARINT : WIRE_LEN))
        return broken(r->e, "a field of another wire type than it should have");
    switch ((enum proto_type)f->type) {
    case PROTO_STRING:
        t->quoted = true;
        t->text = text_of(r, v);
        return t->text ? 0 : r->e->code;
    case PROTO_INT:
        t->text = arena_printf(r->arena, "%" PRId64, (int64_t)v->varint);
        return 0;
    case PROTO_BOOL:
        t->text = v->varint ? "true" : "false";
        return 0;
    case PROTO_MESSAGE:
        t->kind = TREE_MAPPING;
        t->child = NULL;
        return read_message(r, f->message, cursor_of(v->bytes, v->len), t);
    case PROTO_MAP:
    case PROTO_QUANTITIES:
        return read_entry(r, cursor_of(v->bytes, v->len), f->type == PROTO_QUANTITIES, t);
    case PROTO_TIME:
        t->quoted = true;
        return read_time(r, cursor_of(v->bytes, v->len), t);
    case PROTO_INT_OR_STRING:
        return read_int_or_string(r, cursor_of(v->bytes, v->len), t);
    }
    return 0;
}

static const struct proto_field *find_field(const struct proto_message *m, uint32_t number)
{
    for (uint8_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].number == number)
            return &m->fields[i];
    return NULL;
}

/* A member of the mapping and, where it is a list or a mapping, the last of its elements. */
struct member {
    struct tree *node, *last;
};

static enum tree_kind kind_of(const struct proto_field *f)
{
    return f->repeated ? TREE_SEQUENCE : is_map(f) ? TREE_MAPPING : TREE_SCALAR;
}

/* The node that a field's value goes to: the member, or a new element of it. A field that comes
 * again replaces what was there. */
static struct tree *node_for(struct reader *r, const struct proto_field *f, struct tree *into,
                             struct member *m)
{
    if (!m->node) {
        m->node = new_node(r, kind_of(f), f->name);
        if (!m->node)
            return NULL;
        m->node->next = into->child;
        into->child = m->node;
    }
    if (!f->repeated && !is_map(f))
        return m->node;
    struct tree *t = new_node(r, TREE_SCALAR, NULL);
    if (t && m->last)
        m->last->next = t;
    else if (t)
        m->node->child = t;
    m->last = t;
    return t;
}

static int read_message(struct reader *r, const struct proto_message *m, struct cursor c,
                        struct tree *into)
{
    struct member members[PROTO_FIELDS_MAX] = { 0 };
    struct value v;
    int more;
    while ((more = next_value(&c, &v, r->e)) == 1) {
        const struct proto_field *f = find_field(m, v.number);
        if (!f || (f->parts && !(f->parts & ~r->without)) ||
            (f->type == PROTO_STRING && !f->repeated && !v.len && v.wire == WIRE_LEN))
            continue;
        struct tree *t = node_for(r, f, into, &members[f - m->fields]);
        if (!t)
            return r->e->code;
        int code = read_value(r, f, &v, t);
        if (code < 0)
            return code;
    }
    return more;
}

int proto_tree(const struct proto_message *m, unsigned without, const void *p, size_t n,
               struct arena *a, const struct tree **ret, struct err *e)
{
    struct err unread;
    struct reader r = { .arena = a, .e = e ? e : &unread, .without = without };
    struct tree *t = new_node(&r, TREE_MAPPING, NULL);
    int code = read_message(&r, m, cursor_of(p, n), t);
    if (code == 0)
        *ret = t;
    return code;
}

/* ---- envelopes ---- */

static int read_type_meta(struct reader *r, struct cursor c, struct proto_object *ret)
{
    struct value v;
    int more;
    while ((more = next_value(&c, &v, r->e)) == 1) {
        const char **to = v.number == 1 ? &ret->api_version : v.number == 2 ? &ret->kind : NULL;
        if (to && !(*to = text_of(r, &v)))
            return r->e->code;
    }
    return more;
}

int proto_unwrap(const void *p, size_t n, struct arena *a, struct proto_object *ret, struct err *e)
{
    struct err unread;
    struct cursor c = cursor_of(p, n);
    struct reader r = { .arena = a, .e = e ? e : &unread };
    const uint8_t *magic = cursor_take(&c, 4);
    struct value v;
    int more;
    *ret = (struct proto_object){ .kind = "", .api_version = "" };
    if (!magic || memcmp(magic, "k8s", 4) != 0)
        return broken(e, "the magic number is missing");
    struct cursor rest = cursor_of(c.base + c.pos, cursor_left(&c));
    while ((more = next_value(&rest, &v, e)) == 1) {
        if (v.number == 1 && v.wire == WIRE_LEN)
            more = read_type_meta(&r, cursor_of(v.bytes, v.len), ret);
        if (more < 0)
            return more;
        if (v.number == 2 && v.wire == WIRE_LEN) {
            ret->raw = v.bytes;
            ret->len = v.len;
        }
        if (v.number == 3 && v.len)
            return broken(e, "the content has an encoding of its own");
    }
    return more;
}

int proto_head(const void *p, size_t n, struct proto_head *ret, struct err *e)
{
    struct cursor c = cursor_of(p, n);
    uint64_t tag = read_varint(&c), len = 0;
    enum wire wire = (enum wire)(tag & 7);
    if (wire == WIRE_LEN || wire == WIRE_VARINT)
        len = read_varint(&c);
    else if (wire == WIRE_I64 || wire == WIRE_I32)
        (void)cursor_take(&c, wire == WIRE_I64 ? 8 : 4);
    else if (!c.bad)
        return broken(e, "a field of an unknown wire type");
    if (c.bad)
        return n < 2 * VARINT_MAX ? 0 : broken(e, "a field's head is too long");
    if (!(tag >> 3) || tag >> 32 || len > SIZE_MAX / 2)
        return broken(e, "a field's head is wrong");
    *ret = (struct proto_head){ .number = (uint32_t)(tag >> 3),
                                .has_bytes = wire == WIRE_LEN,
                                .head = c.pos,
                                .len = wire == WIRE_LEN ? (size_t)len : 0 };
    return 1;
}

int proto_list_next(struct cursor *list, const uint8_t **ret, size_t *ret_len, struct err *e)
{
    struct value v;
    int more;
    while ((more = next_value(list, &v, e)) == 1) {
        if (v.number != 2 || v.wire != WIRE_LEN)
            continue;
        *ret = v.bytes;
        *ret_len = v.len;
        return 1;
    }
    return more;
}

int proto_event(const void *p, size_t n, struct arena *a, const char **ret_type,
                const uint8_t **ret_object, size_t *ret_len, struct err *e)
{
    struct err unread;
    struct cursor c = cursor_of(p, n);
    struct reader r = { .arena = a, .e = e ? e : &unread };
    struct value v, inner;
    int more;
    *ret_type = "";
    *ret_object = NULL;
    *ret_len = 0;
    while ((more = next_value(&c, &v, e)) == 1) {
        if (v.number == 1 && !(*ret_type = text_of(&r, &v)))
            return r.e->code;
        if (v.number != 2 || v.wire != WIRE_LEN)
            continue;
        struct cursor extension = cursor_of(v.bytes, v.len); /* RawExtension: raw 1 */
        while ((more = next_value(&extension, &inner, e)) == 1) {
            if (inner.number != 1 || inner.wire != WIRE_LEN)
                continue;
            *ret_object = inner.bytes;
            *ret_len = inner.len;
        }
        if (more < 0)
            return more;
    }
    return more;
}
