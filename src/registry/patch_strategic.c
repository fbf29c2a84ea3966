#include "registry/patch.h"

#include "base/str.h"
#include "registry/path.h"

#include <string.h>

#define ORDER  "$setElementOrder/"
#define REMOVE "$deleteFromPrimitiveList/"
#define RETAIN "$retainKeys"

static int merge_object(const struct schema_type *t, json_t *doc, const json_t *patch,
                        struct fault *f);

/* "merge", "replace", "delete", or NULL when the patch says nothing. */
static const char *directive(const json_t *patch)
{
    return json_is_object(patch) ? path_text(patch, "$patch") : NULL;
}

/* ---- lists of plain values ---- */

static bool holds(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), value))
            return true;
    return false;
}

static void merge_values(json_t *list, const json_t *patch)
{
    for (size_t i = 0; i < json_array_size(patch); i++)
        if (!holds(list, json_array_get(patch, i)))
            json_array_append(list, json_array_get(patch, i));
}

static void remove_values(json_t *list, const json_t *values)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (holds(values, json_array_get(list, i - 1)))
            json_array_remove(list, i - 1);
}

/* ---- lists of objects ---- */

static size_t find_by_key(const json_t *list, const char *key, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_object_get(json_array_get(list, i), key);
        if (v && json_equal(v, value))
            return i;
    }
    return SIZE_MAX;
}

static int merge_element(const struct schema_field *field, json_t *list, const json_t *patch,
                         struct fault *f)
{
    const json_t *value = json_object_get(patch, field->merge_key);
    const char *how = directive(patch);
    if (!value)
        return fault_bad_request(f, "map: %s does not contain declared merge key: %s", field->name,
                                 field->merge_key);
    size_t at = find_by_key(list, field->merge_key, value);
    if (how && strcmp(how, "delete") == 0) {
        for (; at != SIZE_MAX; at = find_by_key(list, field->merge_key, value))
            json_array_remove(list, at);
        return 0;
    }
    json_t *element;
    if (at == SIZE_MAX || (how && strcmp(how, "replace") == 0)) {
        element = json_object();
        if (at == SIZE_MAX)
            json_array_append_new(list, element);
        else
            json_array_set_new(list, at, element);
    } else {
        element = json_array_get(list, at);
    }
    return merge_object(field->type, element, patch, f);
}

/* One element may say that the whole list is to be replaced. */
static bool replaces(const json_t *patch)
{
    for (size_t i = 0; i < json_array_size(patch); i++)
        if (str_eq(directive(json_array_get(patch, i)), "replace") &&
            json_object_size(json_array_get(patch, i)) == 1)
            return true;
    return false;
}

static int merge_list(const struct schema_field *field, json_t *list, const json_t *patch,
                      struct fault *f)
{
    int r = 0;
    if (!field->merge_key) {
        merge_values(list, patch);
        return 0;
    }
    if (replaces(patch))
        json_array_clear(list);
    for (size_t i = 0; i < json_array_size(patch) && r == 0; i++) {
        const json_t *e = json_array_get(patch, i);
        if (!json_is_object(e))
            return fault_bad_request(f, "%s: expected objects in the list", field->name);
        if (!str_eq(directive(e), "replace") || json_object_size(e) > 1)
            r = merge_element(field, list, e, f);
    }
    return r;
}

/* A list that was not there is taken as it stands, equal keys and all. */
static int take_list(const struct schema_field *field, json_t *list, const json_t *patch,
                     struct fault *f)
{
    int r = 0;
    for (size_t i = 0; i < json_array_size(patch) && r == 0; i++) {
        json_t *e = json_array_get(patch, i), *made = json_is_object(e) ? json_object() : NULL;
        const char *how = directive(e);
        if (how && (strcmp(how, "delete") == 0 || json_object_size(e) == 1)) {
            json_decref(made);
            continue;
        }
        if (made)
            r = merge_object(field->type, made, e, f);
        json_array_append_new(list, made ? made : json_incref(e));
    }
    return r;
}

static size_t place_of(const struct schema_field *field, const json_t *list, const json_t *element)
{
    if (field->merge_key)
        return find_by_key(list, field->merge_key, json_object_get(element, field->merge_key));
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), element))
            return i;
    return SIZE_MAX;
}

/* Elements that the order names come in it. Each other one comes before the first of these that it
 * stood before; what is new in the order comes first of all. */
static void reorder(const struct schema_field *field, json_t *list, const json_t *order,
                    const json_t *before)
{
    json_t *named = json_array(), *out = json_array();
    for (size_t i = 0; i < json_array_size(order); i++) {
        size_t at = place_of(field, list, json_array_get(order, i));
        if (at == SIZE_MAX)
            continue;
        json_array_append(named, json_array_get(list, at));
        json_array_remove(list, at);
    }
    for (size_t i = 0, k = 0; i < json_array_size(list) || k < json_array_size(named);) {
        size_t rest =
            i < json_array_size(list) ? place_of(field, before, json_array_get(list, i)) : SIZE_MAX;
        size_t next = k < json_array_size(named) ? place_of(field, before, json_array_get(named, k))
                                                 : SIZE_MAX;
        bool old = i < json_array_size(list) &&
                   (k == json_array_size(named) || (next != SIZE_MAX && rest < next));
        json_array_append(out, old ? json_array_get(list, i++) : json_array_get(named, k++));
    }
    json_array_clear(list);
    json_array_extend(list, out);
    json_decref(named);
    json_decref(out);
}

/* ---- objects ---- */

static json_t *list_at(json_t *doc, const char *name)
{
    json_t *list = json_object_get(doc, name);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(doc, name, list);
    }
    return list;
}

/* order: what the patch says of the list's order, or NULL. */
static int merge_field(const struct schema_field *field, json_t *doc, const char *key,
                       const json_t *value, const json_t *order, struct fault *f)
{
    bool list = field && field->shape == SCHEMA_LIST;
    if (json_is_null(value)) {
        json_object_del(doc, key);
        return 0;
    }
    if (list && field->merge && json_is_array(value) && !json_is_array(json_object_get(doc, key)))
        return take_list(field, list_at(doc, key), value, f);
    if (list && field->merge && json_is_array(value)) {
        json_t *before = json_deep_copy(list_at(doc, key));
        int r = merge_list(field, list_at(doc, key), value, f);
        if (r == 0)
            reorder(field, list_at(doc, key), order ? order : value, before);
        json_decref(before);
        return r;
    }
    if (!json_is_object(value)) {
        json_object_set_new(doc, key, json_deep_copy(value));
        return 0;
    }
    const char *how = directive(value);
    json_t *old = json_object_get(doc, key);
    if (how && strcmp(how, "delete") == 0) {
        json_object_del(doc, key);
        return 0;
    }
    if (!json_is_object(old) || (how && strcmp(how, "replace") == 0)) {
        old = json_object();
        json_object_set_new(doc, key, old);
    }
    return merge_object(field && field->shape == SCHEMA_ONE ? field->type : NULL, old, value, f);
}

/* Only the fields that are named stay. */
static void retain(json_t *doc, const json_t *names)
{
    const char *key;
    void *tmp;
    json_t *value;
    json_object_foreach_safe(doc, tmp, key, value)
    {
        json_t *name = json_string(key);
        if (!holds(names, name))
            json_object_del(doc, key);
        json_decref(name);
    }
}

static const json_t *order_of(const json_t *patch, const char *name)
{
    char key[256];
    (void)snprintf(key, sizeof key, ORDER "%s", name);
    return json_object_get(patch, key);
}

/* Values that are taken out, and the order of lists that the patch leaves as they are. */
static void apply_list_directives(const struct schema_type *t, json_t *doc, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        const char *name = strchr(key, '/');
        const struct schema_field *field = t && name ? schema_field(t, name + 1) : NULL;
        json_t *list = name ? json_object_get(doc, name + 1) : NULL;
        if (str_starts(key, REMOVE))
            remove_values(list, value);
        else if (str_starts(key, ORDER) && field && json_is_array(list) &&
                 !json_object_get(patch, name + 1)) {
            json_t *before = json_deep_copy(list);
            reorder(field, list, value, before);
            json_decref(before);
        }
    }
}

static int merge_object(const struct schema_type *t, json_t *doc, const json_t *patch,
                        struct fault *f)
{
    const char *key, *how = directive(patch);
    json_t *value;
    int r = 0;
    if (how && strcmp(how, "replace") == 0)
        json_object_clear(doc);
    else if (how && strcmp(how, "merge") != 0 && strcmp(how, "delete") != 0)
        return fault_bad_request(f, "Unknown patch type: %s", how);
    if (json_object_get(patch, RETAIN))
        retain(doc, json_object_get(patch, RETAIN));
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        if (*key == '$')
            continue;
        r = merge_field(t ? schema_field(t, key) : NULL, doc, key, value, order_of(patch, key), f);
        if (r < 0)
            return r;
    }
    apply_list_directives(t, doc, patch);
    return 0;
}

int patch_strategic(const struct schema_type *t, json_t *doc, const json_t *patch, struct fault *f)
{
    if (!json_is_object(patch))
        return fault_bad_request(f, "a strategic merge patch must be an object");
    return merge_object(t, doc, patch, f);
}
