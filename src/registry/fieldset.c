#include "registry/fieldset_impl.h"

#include <string.h>

/* ---- sets ---- */

bool fieldset_is_in(const json_t *node)
{
    return node && (!json_object_size(node) || json_object_get(node, FIELDSET_SELF));
}

bool fieldset_has_children(const json_t *node)
{
    return json_object_size(node) > (json_object_get(node, FIELDSET_SELF) ? 1u : 0u);
}

/* children is taken over; NULL when the node is neither in the set nor has children in it. */
static json_t *node_make(bool in, json_t *children)
{
    json_object_del(children, FIELDSET_SELF);
    if (!in && !json_object_size(children)) {
        json_decref(children);
        return NULL;
    }
    if (!in || !json_object_size(children))
        return children;
    json_t *node = json_object();
    json_object_set_new(node, FIELDSET_SELF, json_object());
    json_object_update(node, children);
    json_decref(children);
    return node;
}

static void put_node(json_t *set, const char *key, json_t *node)
{
    if (node)
        json_object_set_new(set, key, node);
}

json_t *fieldset_union(const json_t *a, const json_t *b)
{
    json_t *out = a ? json_deep_copy(a) : json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)b, key, value)
    {
        const json_t *mine = json_object_get(out, key);
        if (strcmp(key, FIELDSET_SELF) == 0)
            continue;
        put_node(out, key,
                 mine ? node_make(fieldset_is_in(mine) || fieldset_is_in(value),
                                  fieldset_union(mine, value))
                      : json_deep_copy(value));
    }
    return out;
}

json_t *fieldset_minus(const json_t *a, const json_t *b)
{
    json_t *out = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (strcmp(key, FIELDSET_SELF) == 0)
            continue;
        put_node(out, key,
                 other ? node_make(fieldset_is_in(value) && !fieldset_is_in(other),
                                   fieldset_minus(value, other))
                       : json_deep_copy(value));
    }
    return out;
}

json_t *fieldset_common(const json_t *a, const json_t *b)
{
    json_t *out = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (other && strcmp(key, FIELDSET_SELF) != 0)
            put_node(out, key,
                     node_make(fieldset_is_in(value) && fieldset_is_in(other),
                               fieldset_common(value, other)));
    }
    return out;
}

json_t *fieldset_strip(const json_t *set)
{
    static const char *const head[] = { "f:apiVersion", "f:kind" };
    static const char *const meta[] = {
        "f:name", "f:namespace",  "f:creationTimestamp", "f:selfLink",
        "f:uid",  "f:generation", "f:managedFields",     "f:resourceVersion"
    };
    json_t *out = json_deep_copy(set), *of = json_object_get(out, "f:metadata");
    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        json_object_del(out, head[i]);
    for (size_t i = 0; i < ARRAY_SIZE(meta); i++)
        json_object_del(of, meta[i]);
    json_object_del(of, FIELDSET_SELF);
    if (of && !json_object_size(of))
        json_object_del(out, "f:metadata");
    return out;
}

/* ---- keys of members ---- */

/* Is it one value for those who apply it? */
bool fieldset_is_whole(const struct schema_field *f)
{
    if (!f || f->apply == APPLY_ATOMIC)
        return true;
    if (f->shape == SCHEMA_LIST)
        return f->apply != APPLY_MAP && f->apply != APPLY_SET;
    if (f->shape == SCHEMA_MAP)
        return false;
    return f->base != SCHEMA_TYPE || f->type->atomic;
}

static void field_key(const char *name, struct strbuf *out)
{
    strbuf_reset(out);
    strbuf_printf(out, "f:%s", name);
}

/* "k:{...}" with the keys' defaults where the element leaves them out, or "v:...". */
void fieldset_key(const struct schema_field *f, const json_t *e, struct strbuf *out)
{
    strbuf_reset(out);
    if (f->apply == APPLY_SET) {
        char *text = json_dumps(e, JSON_ENCODE_ANY | JSON_COMPACT);
        strbuf_printf(out, "v:%s", text ? text : "");
        free(text);
        return;
    }
    json_t *keys = json_object();
    for (unsigned i = 0; f->keys[i]; i++) {
        json_t *v = json_object_get(e, f->keys[i]);
        const struct schema_field *k = f->type ? schema_field(f->type, f->keys[i]) : NULL;
        if (v && !json_is_null(v))
            json_object_set(keys, f->keys[i], v);
        else if (k && k->fallback)
            json_object_set_new(keys, f->keys[i], json_string(k->fallback));
    }
    char *text = json_dumps(keys, JSON_COMPACT | JSON_SORT_KEYS);
    strbuf_printf(out, "k:%s", text ? text : "");
    free(text);
    json_decref(keys);
}

json_t *fieldset_find(const struct schema_field *f, const json_t *list, const char *key,
                      size_t *ret_at)
{
    struct strbuf b = { 0 };
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        fieldset_key(f, json_array_get(list, i), &b);
        if (strcmp(b.p, key) == 0) {
            found = json_array_get(list, i);
            if (ret_at)
                *ret_at = i;
        }
    }
    strbuf_done(&b);
    return found;
}

static void add_element(const char *key, struct strbuf *path)
{
    json_t *keys, *value;
    const char *name, *between = "";
    if (*key == 'f') {
        strbuf_printf(path, ".%s", key + 2);
        return;
    }
    if (*key == 'v') {
        strbuf_printf(path, "[=%s]", key + 2);
        return;
    }
    keys = json_loads(key + 2, 0, NULL);
    strbuf_putc(path, '[');
    json_object_foreach(keys, name, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        strbuf_printf(path, "%s%s=%s", between, name, text ? text : "");
        between = ",";
        free(text);
    }
    strbuf_putc(path, ']');
    json_decref(keys);
}

/* The field for the values of a map, or the elements of a list. */
struct schema_field fieldset_inner(const struct schema_field *f)
{
    struct schema_field one = *f;
    one.shape = SCHEMA_ONE;
    one.apply = APPLY_USUAL;
    return one;
}

/* ---- sets of documents ---- */

/* whole: every node on the way is in the set, too, as for what is new. */
static json_t *node_of(const struct schema_field *f, const json_t *v, bool whole);

static json_t *members_of(const struct schema_type *t, const json_t *doc, bool whole)
{
    json_t *set = json_object(), *value;
    struct strbuf b = { 0 };
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)doc, key, value)
    {
        field_key(key, &b);
        put_node(set, b.p, node_of(schema_field(t, key), value, whole));
    }
    strbuf_done(&b);
    return set;
}

static json_t *entries_of(const struct schema_field *f, const json_t *map, bool whole)
{
    json_t *set = json_object(), *value;
    struct schema_field one = fieldset_inner(f);
    struct strbuf b = { 0 };
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        field_key(key, &b);
        put_node(set, b.p, node_of(&one, value, whole));
    }
    strbuf_done(&b);
    return set;
}

static json_t *element_node(const struct schema_field *f, const json_t *e, bool whole)
{
    if (f->apply == APPLY_SET || !f->type)
        return json_object();
    return node_make(true, members_of(f->type, e, whole));
}

static json_t *elements_of(const struct schema_field *f, const json_t *list, bool whole)
{
    json_t *set = json_object();
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        fieldset_key(f, json_array_get(list, i), &b);
        put_node(set, b.p, element_node(f, json_array_get(list, i), whole));
    }
    strbuf_done(&b);
    return set;
}

static json_t *children_of(const struct schema_field *f, const json_t *v, bool whole)
{
    if (f->shape == SCHEMA_LIST)
        return elements_of(f, v, whole);
    if (f->shape == SCHEMA_MAP)
        return entries_of(f, v, whole);
    return members_of(f->type, v, whole);
}

static json_t *node_of(const struct schema_field *f, const json_t *v, bool whole)
{
    if (fieldset_is_whole(f) || json_is_null(v))
        return json_object();
    json_t *children = children_of(f, v, whole);
    bool itself = whole || (f->shape != SCHEMA_LIST && !json_object_size(v));
    return node_make(itself, children);
}

json_t *fieldset_of(const struct schema_type *t, const json_t *doc)
{
    return members_of(t, doc, false);
}

/* ---- what is there twice ---- */

static bool is_twice(const struct schema_field *f, const json_t *list, struct strbuf *ret)
{
    struct strbuf b = { 0 };
    size_t first = 0;
    bool found = false;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        fieldset_key(f, json_array_get(list, i), &b);
        found = fieldset_find(f, list, b.p, &first) && first < i;
    }
    if (found) {
        strbuf_puts(ret, ": duplicate entries for key ");
        add_element(b.p, ret);
    }
    strbuf_done(&b);
    return found;
}

bool fieldset_duplicate(const struct schema_type *t, const json_t *doc, struct strbuf *ret)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)doc, key, value)
    {
        const struct schema_field *f = schema_field(t, key);
        size_t before = ret->len;
        bool found = false;
        if (fieldset_is_whole(f))
            continue;
        strbuf_printf(ret, ".%s", key);
        if (f->shape == SCHEMA_LIST)
            found = is_twice(f, value, ret);
        else if (f->shape == SCHEMA_ONE)
            found = fieldset_duplicate(f->type, value, ret);
        if (found)
            return true;
        ret->len = before;
    }
    return false;
}

/* ---- differences ---- */

struct sides {
    json_t *changed, *removed;
};

static void compare_fields(const struct schema_type *t, const json_t *old, const json_t *now,
                           struct sides *out);

static struct sides sides_new(void)
{
    return (struct sides){ json_object(), json_object() };
}

/* Puts both sides of a part under its key. */
static void put_sides(struct sides *out, const char *key, struct sides part)
{
    put_node(out->changed, key, node_make(false, part.changed));
    put_node(out->removed, key, node_make(false, part.removed));
}

static void compare_values(const struct schema_field *f, const json_t *old, const json_t *now,
                           const char *key, struct sides *out);

static void compare_maps(const struct schema_field *f, const json_t *old, const json_t *now,
                         struct sides *out)
{
    struct schema_field one = fieldset_inner(f);
    struct strbuf b = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        field_key(key, &b);
        compare_values(&one, json_object_get(old, key), value, b.p, out);
    }
    json_object_foreach((json_t *)(uintptr_t)old, key, value) if (!json_object_get(now, key))
    {
        field_key(key, &b);
        compare_values(&one, value, NULL, b.p, out);
    }
    strbuf_done(&b);
}

static void compare_element(const struct schema_field *f, const json_t *old, const json_t *now,
                            const char *key, struct sides *out)
{
    if (!old) {
        put_node(out->changed, key, element_node(f, now, true));
    } else if (!now) {
        put_node(out->removed, key, element_node(f, old, true));
    } else if (f->apply == APPLY_MAP && f->type) {
        struct sides part = sides_new();
        compare_fields(f->type, old, now, &part);
        put_sides(out, key, part);
    }
}

static void compare_lists(const struct schema_field *f, const json_t *old, const json_t *now,
                          struct sides *out)
{
    struct strbuf b = { 0 };
    for (size_t i = 0; i < json_array_size(now); i++) {
        const json_t *e = json_array_get(now, i);
        fieldset_key(f, e, &b);
        compare_element(f, fieldset_find(f, old, b.p, NULL), e, b.p, out);
    }
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *e = json_array_get(old, i);
        fieldset_key(f, e, &b);
        if (!fieldset_find(f, now, b.p, NULL))
            compare_element(f, e, NULL, b.p, out);
    }
    strbuf_done(&b);
}

static void compare_values(const struct schema_field *f, const json_t *old, const json_t *now,
                           const char *key, struct sides *out)
{
    if (!old && now) {
        put_node(out->changed, key, node_of(f, now, true));
    } else if (old && !now) {
        put_node(out->removed, key, node_of(f, old, true));
    } else if (fieldset_is_whole(f)) {
        if (!json_equal(old, now))
            put_node(out->changed, key, json_object());
    } else {
        struct sides part = sides_new();
        if (f->shape == SCHEMA_LIST)
            compare_lists(f, old, now, &part);
        else if (f->shape == SCHEMA_MAP)
            compare_maps(f, old, now, &part);
        else
            compare_fields(f->type, old, now, &part);
        put_sides(out, key, part);
    }
}

static void compare_fields(const struct schema_type *t, const json_t *old, const json_t *now,
                           struct sides *out)
{
    struct strbuf b = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)now, key, value)
    {
        field_key(key, &b);
        compare_values(schema_field(t, key), json_object_get(old, key), value, b.p, out);
    }
    json_object_foreach((json_t *)(uintptr_t)old, key, value) if (!json_object_get(now, key))
    {
        field_key(key, &b);
        compare_values(schema_field(t, key), value, NULL, b.p, out);
    }
    strbuf_done(&b);
}

void fieldset_compare(const struct schema_type *t, const json_t *old, const json_t *now,
                      json_t **ret_changed, json_t **ret_removed)
{
    struct sides s = sides_new();
    compare_fields(t, old, now, &s);
    *ret_changed = s.changed;
    *ret_removed = s.removed;
}

/* ---- texts ---- */

static void each(const json_t *set, struct strbuf *path, void (*fn)(void *ctx, const char *path),
                 void *ctx)
{
    const char *key;
    json_t *node;
    json_object_foreach((json_t *)(uintptr_t)set, key, node)
    {
        size_t before = path->len;
        if (strcmp(key, FIELDSET_SELF) == 0)
            continue;
        add_element(key, path);
        if (fieldset_is_in(node))
            fn(ctx, path->p);
        each(node, path, fn, ctx);
        path->len = before;
        path->p[before] = 0;
    }
}

void fieldset_each(const json_t *set, void (*fn)(void *ctx, const char *path), void *ctx)
{
    struct strbuf path = { 0 };
    strbuf_puts(&path, "");
    each(set, &path, fn, ctx);
    strbuf_done(&path);
}
