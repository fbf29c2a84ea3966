#include "registry/fieldset.h"

#include <string.h>

#define SELF "."

/* ---- sets ---- */

static bool is_in(const json_t *node)
{
    return node && (!json_object_size(node) || json_object_get(node, SELF));
}

static bool has_children(const json_t *node)
{
    return json_object_size(node) > (json_object_get(node, SELF) ? 1u : 0u);
}

/* children is taken over; NULL when the node is neither in the set nor has children in it. */
static json_t *node_make(bool in, json_t *children)
{
    json_object_del(children, SELF);
    if (!in && !json_object_size(children)) {
        json_decref(children);
        return NULL;
    }
    if (!in || !json_object_size(children))
        return children;
    json_t *node = json_object();
    json_object_set_new(node, SELF, json_object());
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
        if (strcmp(key, SELF) == 0)
            continue;
        put_node(out, key,
                 mine ? node_make(is_in(mine) || is_in(value), fieldset_union(mine, value))
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
        if (strcmp(key, SELF) == 0)
            continue;
        put_node(out, key,
                 other ? node_make(is_in(value) && !is_in(other), fieldset_minus(value, other))
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
        if (other && strcmp(key, SELF) != 0)
            put_node(out, key,
                     node_make(is_in(value) && is_in(other), fieldset_common(value, other)));
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
    json_object_del(of, SELF);
    if (of && !json_object_size(of))
        json_object_del(out, "f:metadata");
    return out;
}

/* ---- keys of members ---- */

/* Is it one value for those who apply it? */
static bool is_whole(const struct schema_field *f)
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
static void element_key(const struct schema_field *f, const json_t *e, struct strbuf *out)
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

static json_t *find_element(const struct schema_field *f, const json_t *list, const char *key,
                            size_t *ret_at)
{
    struct strbuf b = { 0 };
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        element_key(f, json_array_get(list, i), &b);
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
static struct schema_field inner(const struct schema_field *f)
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
    struct schema_field one = inner(f);
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
        element_key(f, json_array_get(list, i), &b);
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
    if (is_whole(f) || json_is_null(v))
        return json_object();
    json_t *children = children_of(f, v, whole);
    return node_make(whole || !json_object_size(children), children);
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
        element_key(f, json_array_get(list, i), &b);
        found = find_element(f, list, b.p, &first) && first < i;
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
        if (is_whole(f))
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
    struct schema_field one = inner(f);
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
        element_key(f, e, &b);
        compare_element(f, find_element(f, old, b.p, NULL), e, b.p, out);
    }
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *e = json_array_get(old, i);
        element_key(f, e, &b);
        if (!find_element(f, now, b.p, NULL))
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
    } else if (is_whole(f)) {
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

/* ---- changing documents ---- */

static void merge_value(const struct schema_field *f, json_t *holder, const char *key,
                        const json_t *v);

/* The element as it comes into the merged list; those of both sides become one. */
static void put_merged(const struct schema_field *f, json_t *out, const json_t *list,
                       const json_t *e, const char *key)
{
    json_t *old = find_element(f, list, key, NULL);
    json_t *made = json_deep_copy(old ? old : e);
    if (old && f->apply == APPLY_MAP && f->type)
        fieldset_merge(f->type, made, e);
    json_array_append_new(out, made);
}

/* Both sides keep their order; what is new in the applied one comes as early as it may. */
static void merge_list(const struct schema_field *f, json_t *list, const json_t *applied)
{
    json_t *out = json_array();
    struct strbuf mine = { 0 }, theirs = { 0 };
    size_t i = 0, k = 0, n = json_array_size(list), m = json_array_size(applied);
    while (i < n || k < m) {
        const json_t *old = json_array_get(list, i), *e = json_array_get(applied, k);
        bool shared = false, ours = true;
        if (k < m) {
            element_key(f, e, &mine);
            shared = find_element(f, list, mine.p, NULL) != NULL;
        }
        if (i < n) {
            element_key(f, old, &theirs);
            ours = find_element(f, applied, theirs.p, NULL) != NULL;
        }
        if (k < m && (!shared || i == n || ours)) {
            put_merged(f, out, list, e, mine.p);
            k++;
            if (i < n && strcmp(mine.p, theirs.p) == 0)
                i++;
        } else {
            if (!ours)
                json_array_append(out, (json_t *)(uintptr_t)old);
            i++;
        }
    }
    json_array_clear(list);
    json_array_extend(list, out);
    json_decref(out);
    strbuf_done(&mine);
    strbuf_done(&theirs);
}

static void merge_value(const struct schema_field *f, json_t *holder, const char *key,
                        const json_t *v)
{
    json_t *old = json_object_get(holder, key), *value;
    const char *name;
    if (is_whole(f) || json_is_null(v) || !old || json_is_null(old)) {
        json_object_set_new(holder, key, json_deep_copy(v));
    } else if (f->shape == SCHEMA_LIST) {
        merge_list(f, old, v);
    } else if (f->shape == SCHEMA_MAP) {
        struct schema_field one = inner(f);
        json_object_foreach((json_t *)(uintptr_t)v, name, value)
            merge_value(&one, old, name, value);
    } else {
        fieldset_merge(f->type, old, v);
    }
}

void fieldset_merge(const struct schema_type *t, json_t *doc, const json_t *applied)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)applied, key, value)
        merge_value(schema_field(t, key), doc, key, value);
}

static void remove_in(const struct schema_field *f, json_t *v, const json_t *set)
{
    const char *key;
    json_t *node;
    size_t at;
    struct schema_field one = inner(f);
    if (f->shape == SCHEMA_ONE) {
        fieldset_remove(f->type, v, set);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)set, key, node)
    {
        if (strcmp(key, SELF) == 0)
            continue;
        if (f->shape == SCHEMA_MAP) {
            json_t *entry = json_object_get(v, key + 2);
            if (is_in(node) || !entry)
                json_object_del(v, key + 2);
            else if (!is_whole(&one))
                remove_in(&one, entry, node);
            continue;
        }
        json_t *e = find_element(f, v, key, &at);
        if (e && is_in(node))
            json_array_remove(v, at);
        else if (e && f->type)
            fieldset_remove(f->type, e, node);
    }
}

/* A container goes when it is named itself, or when nothing is left in what was emptied. */
void fieldset_remove(const struct schema_type *t, json_t *doc, const json_t *set)
{
    const char *key;
    json_t *node;
    json_object_foreach((json_t *)(uintptr_t)set, key, node)
    {
        const struct schema_field *f = strncmp(key, "f:", 2) == 0 ? schema_field(t, key + 2) : NULL;
        json_t *v = json_object_get(doc, key + 2);
        if (!f || !v)
            continue;
        if (is_whole(f) || !has_children(node))
            json_object_del(doc, key + 2);
        else
            remove_in(f, v, node);
    }
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
        if (strcmp(key, SELF) == 0)
            continue;
        add_element(key, path);
        if (is_in(node))
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
