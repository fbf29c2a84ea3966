/* JSON to a tree, one document at a time, so that jansson's copy of a document is gone before the
 * next one is read. */
#include "config/tree_build.h"

#include <jansson.h>

struct place {
    struct tree_builder *b;
    int line, depth;
};

static int convert(struct place at, const json_t *j, struct tree *t);

static int add_child(struct place at, const json_t *j, struct tree ***tail, const char *key)
{
    struct tree *t = arena_zalloc(at.b->arena, sizeof *t);
    int r = tree_count(at.b, 1, at.line);
    t->key = key;
    **tail = t;
    *tail = &t->next;
    return r < 0 ? r : convert(at, j, t);
}

static int convert_array(struct place at, const json_t *j, struct tree *t)
{
    struct tree **tail = &t->child;
    int r = 0;
    t->kind = TREE_SEQUENCE;
    for (size_t i = 0, n = json_array_size(j); r == 0 && i < n; i++)
        r = add_child(at, json_array_get(j, i), &tail, NULL);
    return r;
}

static int convert_object(struct place at, const json_t *j, struct tree *t)
{
    struct tree **tail = &t->child;
    json_t *o = (json_t *)(uintptr_t)j; /* iterating does not change it */
    int r = 0;
    t->kind = TREE_MAPPING;
    for (void *i = json_object_iter(o); r == 0 && i; i = json_object_iter_next(o, i))
        r = add_child(at, json_object_iter_value(i), &tail,
                      arena_strdup(at.b->arena, json_object_iter_key(i)));
    return r;
}

static void convert_scalar(struct arena *a, const json_t *j, struct tree *t)
{
    t->kind = TREE_SCALAR;
    t->quoted = json_is_string(j);
    if (json_is_string(j))
        t->text = arena_strndup(a, json_string_value(j), json_string_length(j));
    else if (json_is_integer(j))
        t->text = arena_printf(a, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    else if (json_is_real(j))
        t->text = arena_printf(a, "%.17g", json_real_value(j));
    else
        t->text = json_is_true(j) ? "true" : "false";
}

static int convert(struct place at, const json_t *j, struct tree *t)
{
    t->line = at.line;
    t->key_quoted = true;
    if (++at.depth > TREE_DEPTH_MAX)
        return tree_err(at.b, ERR_LIMIT, at.line, "values are nested deeper than %d levels",
                        TREE_DEPTH_MAX);
    if (json_is_object(j))
        return convert_object(at, j, t);
    if (json_is_array(j))
        return convert_array(at, j, t);
    if (json_is_null(j))
        t->kind = TREE_NULL;
    else
        convert_scalar(at.b->arena, j, t);
    return 0;
}

int tree_json(struct tree_builder *b, const char *text, size_t len, int line, size_t *ret_used)
{
    json_error_t why;
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &why);
    if (!j)
        return tree_err(b, ERR_PARSE, line + why.line - 1, "not valid JSON (column %d): %s",
                        why.column, why.text);
    struct tree *t = arena_zalloc(b->arena, sizeof *t);
    int r = tree_count(b, 1, line);
    if (r == 0)
        r = convert((struct place){ b, line, 0 }, j, t);
    json_decref(j);
    if (r < 0)
        return r;
    vec_push(&b->docs, t);
    *ret_used = (size_t)why.position;
    return 0;
}
