/* Documents that are changed by what is applied: merged with it, and what is left out taken out. */
#include "registry/fieldset_impl.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void merge_value(const struct schema_field *f, json_t *holder, const char *key,
                        const json_t *v);

/* The element as it comes into the merged list; those of both sides become one. */
static void put_merged(const struct schema_field *f, json_t *out, const json_t *list,
                       const json_t *e, const char *key)
{
    json_t *old = fieldset_find(f, list, key, NULL);
    json_t *made = json_deep_copy(old ? old : e);
    if (old && f->apply == APPLY_MAP && f->type)
        fieldset_merge(f->type, made, e);
    json_array_append_new(out, made);
}

/* The keys of a list's elements, in order. */
struct keys {
    char **items;
    size_t n;
};

static struct keys keys_of(const struct schema_field *f, const json_t *list)
{
    struct keys k = { xcalloc(json_array_size(list) + 1, sizeof *k.items), json_array_size(list) };
    for (size_t i = 0; i < k.n; i++) {
        struct strbuf b = { 0 };
        fieldset_key(f, json_array_get(list, i), &b);
        k.items[i] = strbuf_steal(&b);
    }
    return k;
}

static void keys_done(struct keys *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->items[i]);
    free(k->items);
}

static size_t keys_find(const struct keys *k, const char *key)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->items[i], key) == 0)
            return i;
    return SIZE_MAX;
}

/* The next of the applied elements, from k on, that is in the list, too. */
static const char *next_shared(const struct keys *applied, size_t k, const struct keys *list)
{
    for (; k < applied->n; k++)
        if (keys_find(list, applied->items[k]) != SIZE_MAX)
            return applied->items[k];
    return NULL;
}

/* Applied elements come in their order; each other one keeps its place before the shared one that
 * it stood before, and comes before what is new. */
static void merge_list(const struct schema_field *f, json_t *list, const json_t *applied)
{
    json_t *out = json_array();
    struct keys a = keys_of(f, list), b = keys_of(f, applied);
    for (size_t i = 0, k = 0; i < a.n || k < b.n;) {
        const char *shared = next_shared(&b, k, &a);
        size_t at = i < a.n ? keys_find(&b, a.items[i]) : SIZE_MAX;
        bool both = i < a.n && k < b.n, equal = both && strcmp(a.items[i], b.items[k]) == 0;
        if (both && !equal && at != SIZE_MAX && shared && strcmp(shared, a.items[i]) != 0) {
            i++; /* its turn in the applied order is another one */
        } else if (i < a.n && at == SIZE_MAX) {
            json_array_append(out, json_array_get(list, i++));
        } else if (i < a.n && at < k) {
            i++; /* it is merged already */
        } else {
            put_merged(f, out, list, json_array_get(applied, k), b.items[k]);
            k++;
            i += equal;
        }
    }
    json_array_clear(list);
    json_array_extend(list, out);
    json_decref(out);
    keys_done(&a);
    keys_done(&b);
}

static void merge_value(const struct schema_field *f, json_t *holder, const char *key,
                        const json_t *v)
{
    json_t *old = json_object_get(holder, key), *value;
    const char *name;
    if (fieldset_is_whole(f) || json_is_null(v) || !old || json_is_null(old)) {
        json_object_set_new(holder, key, json_deep_copy(v));
    } else if (f->shape == SCHEMA_LIST) {
        merge_list(f, old, v);
    } else if (f->shape == SCHEMA_MAP) {
        struct schema_field one = fieldset_inner(f);
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

/* Entries and elements have no names in the type: each goes by itself. */
static void remove_member(const struct schema_field *f, json_t *v, const char *key,
                          const json_t *node, const json_t *held)
{
    struct schema_field one = fieldset_inner(f);
    bool gone = fieldset_is_in(node) && !fieldset_is_in(held);
    size_t at = 0;
    json_t *e =
        f->shape == SCHEMA_MAP ? json_object_get(v, key + 2) : fieldset_find(f, v, key, &at);
    if (e && gone && f->shape == SCHEMA_MAP)
        json_object_del(v, key + 2);
    else if (e && gone)
        json_array_remove(v, at);
    else if (e && !fieldset_is_whole(&one))
        fieldset_remove(f->type, e, node, held);
}

static void remove_in(const struct schema_field *f, json_t *v, const json_t *set,
                      const json_t *held)
{
    const char *key;
    json_t *node;
    if (f->shape == SCHEMA_ONE) {
        fieldset_remove(f->type, v, set, held);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)set, key, node)
    {
        if (strcmp(key, FIELDSET_SELF) != 0)
            remove_member(f, v, key, node, json_object_get(held, key));
    }
}

void fieldset_remove(const struct schema_type *t, json_t *doc, const json_t *set,
                     const json_t *held)
{
    const char *key;
    json_t *node;
    json_object_foreach((json_t *)(uintptr_t)set, key, node)
    {
        const struct schema_field *f = strncmp(key, "f:", 2) == 0 ? schema_field(t, key + 2) : NULL;
        json_t *v = f ? json_object_get(doc, key + 2) : NULL; /* not of "." */
        const json_t *kept = json_object_get(held, key);
        if (!v)
            continue;
        if (!kept)
            json_object_del(doc, key + 2);
        else if (!fieldset_is_whole(f))
            remove_in(f, v, node, kept);
    }
}
