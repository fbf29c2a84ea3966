#include "registry/patch.h"

#include "registry/negotiate.h"
#include "registry/path.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 1024 /* bytes of a part of a pointer */

/* ---- pointers (RFC 6901) ---- */

/* The next part, with ~0 and ~1 resolved. False: none, or too long. */
static bool next_token(const char **p, char out[TOKEN_MAX])
{
    size_t n = 0;
    const char *s = *p;
    if (*s != '/')
        return false;
    for (s++; *s && *s != '/'; s++) {
        if (n >= TOKEN_MAX - 1)
            return false;
        if (*s == '~' && (s[1] == '0' || s[1] == '1'))
            out[n++] = *++s == '0' ? '~' : '/';
        else
            out[n++] = *s;
    }
    out[n] = 0;
    *p = s;
    return true;
}

/* An element's index; "-" is the end. -1: none. */
static long index_of(const char *token, size_t n)
{
    char *end;
    if (strcmp(token, "-") == 0)
        return (long)n;
    if (!*token || token[strspn(token, "0123456789")] || (token[0] == '0' && token[1]))
        return -1;
    unsigned long i = strtoul(token, &end, 10);
    return i > n ? -1 : (long)i;
}

static json_t *child_of(const json_t *at, const char *token)
{
    if (json_is_object(at))
        return json_object_get(at, token);
    long i = json_is_array(at) ? index_of(token, json_array_size(at)) : -1;
    return i < 0 ? NULL : json_array_get(at, (size_t)i);
}

/* The container of what a pointer names, and its last part. NULL: there is none. */
static json_t *holder_of(json_t *doc, const char *pointer, char last[TOKEN_MAX])
{
    const char *p = pointer;
    if (!next_token(&p, last))
        return NULL;
    while (doc && *p) {
        doc = child_of(doc, last);
        if (!next_token(&p, last))
            return NULL;
    }
    return doc;
}

static json_t *find(json_t *doc, const char *pointer)
{
    char last[TOKEN_MAX];
    if (!*pointer)
        return doc;
    json_t *holder = holder_of(doc, pointer, last);
    return holder ? child_of(holder, last) : NULL;
}

/* ---- operations; all take over the value ---- */

static bool put(json_t **doc, const char *pointer, json_t *value, bool replace)
{
    char last[TOKEN_MAX];
    if (!*pointer) {
        json_decref(*doc);
        *doc = value;
        return true;
    }
    json_t *holder = holder_of(*doc, pointer, last);
    if (json_is_object(holder)) /* the original replaces what is not there, too */
        return json_object_set_new(holder, last, value) == 0;
    long i = json_is_array(holder) ? index_of(last, json_array_size(holder)) : -1;
    if (i >= 0 && !replace)
        return json_array_insert_new(holder, (size_t)i, value) == 0;
    if (i >= 0 && (size_t)i < json_array_size(holder))
        return json_array_set_new(holder, (size_t)i, value) == 0;
    json_decref(value);
    return false;
}

static bool take_out(json_t *doc, const char *pointer)
{
    char last[TOKEN_MAX];
    json_t *holder = holder_of(doc, pointer, last);
    if (json_is_object(holder))
        return json_object_del(holder, last) == 0;
    long i = json_is_array(holder) ? index_of(last, json_array_size(holder)) : -1;
    return i >= 0 && json_array_remove(holder, (size_t)i) == 0;
}

static bool test(json_t *doc, const char *pointer, const json_t *value)
{
    const json_t *v = find(doc, pointer);
    if (!v)
        return json_is_null(value);
    return json_equal(v, value);
}

static bool move(json_t **doc, const char *from, const char *to)
{
    json_t *v = find(*doc, from);
    if (!v || strncmp(to, from, strlen(from)) == 0)
        return v && strcmp(to, from) == 0;
    json_incref(v);
    if (take_out(*doc, from))
        return put(doc, to, v, false);
    json_decref(v);
    return false;
}

static bool operate(json_t **doc, const json_t *o)
{
    const char *op = path_text(o, "op"), *path = path_text(o, "path"), *from = path_text(o, "from");
    json_t *value = json_object_get(o, "value");
    if (!op || !path)
        return false;
    if (strcmp(op, "remove") == 0)
        return take_out(*doc, path);
    if (strcmp(op, "test") == 0)
        return value && test(*doc, path, value);
    if (strcmp(op, "move") == 0)
        return from && move(doc, from, path);
    if (strcmp(op, "copy") == 0) {
        const json_t *v = from ? find(*doc, from) : NULL;
        return v && put(doc, path, json_deep_copy(v), false);
    }
    if (!value)
        return false;
    if (strcmp(op, "add") == 0)
        return put(doc, path, json_deep_copy(value), false);
    return strcmp(op, "replace") == 0 && put(doc, path, json_deep_copy(value), true);
}

/* ---- growth: operations double a document each, if they may ---- */

#define DEPTH_UNCHECKED 1000 /* levels that may be there before they are counted */

struct growth {
    size_t copied;
    size_t depth; /* that the document has at most */
};

/* Does it have more levels than that? */
static bool is_deeper(const json_t *v, unsigned levels)
{
    const char *key;
    json_t *value;
    size_t i;
    if (!json_is_object(v) && !json_is_array(v))
        return false;
    if (levels == 0)
        return true;
    json_object_foreach((json_t *)(uintptr_t)v, key,
                        value) if (is_deeper(value, levels - 1)) return true;
    json_array_foreach(v, i, value) if (is_deeper(value, levels - 1)) return true;
    return false;
}

static size_t levels_of(const char *pointer)
{
    size_t n = 0;
    for (; *pointer; pointer++)
        n += *pointer == '/';
    return n;
}

static int too_large(struct fault *f, const char *what, size_t most)
{
    return fault_set(f, 413, "RequestEntityTooLarge", "the JSON patch makes more than %zu %s", most,
                     what);
}

static int check_growth(json_t *doc, const json_t *o, struct growth *g, struct fault *f)
{
    const char *op = path_text(o, "op"), *from = path_text(o, "from");
    size_t levels = levels_of(path_text(o, "path"));
    bool copies = strcmp(op, "copy") == 0;
    if (copies || strcmp(op, "move") == 0)
        g->depth += levels;
    else
        g->depth = MAX(g->depth, levels + BODY_DEPTH_MAX);
    if (g->depth > DEPTH_UNCHECKED) {
        if (is_deeper(doc, PATCH_DEPTH_MAX))
            return too_large(f, "levels", PATCH_DEPTH_MAX);
        g->depth = PATCH_DEPTH_MAX + levels + BODY_DEPTH_MAX;
    }
    const json_t *v = copies && from ? find(doc, from) : NULL;
    if (v)
        g->copied += json_dumpb(v, NULL, 0, JSON_ENCODE_ANY | JSON_COMPACT);
    return g->copied > PATCH_COPIES_MAX ? too_large(f, "bytes of copies", PATCH_COPIES_MAX) : 0;
}

static bool is_operation(const json_t *o)
{
    static const char *const names[] = { "add", "remove", "replace", "move", "copy", "test" };
    const char *op = path_text(o, "op");
    for (size_t i = 0; op && i < ARRAY_SIZE(names); i++)
        if (strcmp(op, names[i]) == 0)
            return true;
    return false;
}

int patch_json(json_t **doc, const json_t *operations, struct fault *f)
{
    size_t n = json_array_size(operations);
    struct growth g = { .depth = PATCH_DEPTH_MAX };
    if (!json_is_array(operations))
        return fault_bad_request(f, "a JSON patch must be a list of operations");
    if (n > PATCH_OPERATIONS_MAX)
        return fault_set(f, 413, "RequestEntityTooLarge",
                         "The allowed maximum operations in a JSON patch is %d, got %zu",
                         PATCH_OPERATIONS_MAX, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(operations, i);
        if (!is_operation(o) || !path_text(o, "path"))
            return fault_bad_request(f,
                                     "operation %zu of the JSON patch: expected an op (add, "
                                     "remove, replace, move, copy, test) and a path",
                                     i);
        if (check_growth(*doc, o, &g, f) < 0)
            return -1;
        if (!operate(doc, o))
            return fault_set(f, 422, "Invalid",
                             "the server rejected our request due to an error in our request: "
                             "operation %zu of the JSON patch, %s %s, cannot be done",
                             i, path_text(o, "op"), path_text(o, "path"));
    }
    return is_deeper(*doc, PATCH_DEPTH_MAX) ? too_large(f, "levels", PATCH_DEPTH_MAX) : 0;
}

/* ---- merge patch ---- */

void patch_merge(json_t *doc, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        json_t *old = json_object_get(doc, key);
        if (json_is_null(value)) {
            json_object_del(doc, key);
        } else if (!json_is_object(value)) {
            json_object_set_new(doc, key, json_deep_copy(value));
        } else {
            if (!json_is_object(old)) {
                old = json_object();
                json_object_set_new(doc, key, old);
            }
            patch_merge(old, value);
        }
    }
}
