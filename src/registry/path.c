#include "registry/path.h"

#include <string.h>

#define PART_MAX 128 /* bytes of a part of a path; our own paths only */

/* The next part; false at the end. */
static bool next_part(const char **path, char part[PART_MAX])
{
    size_t n = strcspn(*path, ".");
    if (!**path || n >= PART_MAX)
        return false;
    memcpy(part, *path, n);
    part[n] = 0;
    *path += n + ((*path)[n] == '.');
    return true;
}

json_t *path_get(const json_t *doc, const char *path)
{
    char part[PART_MAX];
    while (doc && next_part(&path, part))
        doc = json_object_get(doc, part);
    return (json_t *)(uintptr_t)doc;
}

const char *path_text(const json_t *doc, const char *path)
{
    return json_string_value(path_get(doc, path));
}

const char *path_show(const json_t *doc, const char *path, char buf[32])
{
    const json_t *v = path_get(doc, path);
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v) ? "true" : "false";
    if (!json_is_integer(v))
        return "";
    (void)snprintf(buf, 32, "%lld", (long long)json_integer_value(v));
    return buf;
}

/* The object that holds the last part. */
static json_t *parent_of(json_t *doc, const char *path, bool make, char part[PART_MAX])
{
    while (next_part(&path, part) && *path) {
        json_t *next = json_object_get(doc, part);
        if (!json_is_object(next)) {
            if (!make)
                return NULL;
            next = json_object();
            json_object_set_new(doc, part, next);
        }
        doc = next;
    }
    return doc;
}

void path_set(json_t *doc, const char *path, json_t *value)
{
    char part[PART_MAX];
    json_t *parent = parent_of(doc, path, true, part);
    json_object_set_new(parent, part, value);
}

void path_set_text(json_t *doc, const char *path, const char *text)
{
    path_set(doc, path, json_string(text));
}

void path_delete(json_t *doc, const char *path)
{
    char part[PART_MAX];
    json_t *parent = parent_of(doc, path, false, part);
    json_object_del(parent, part);
}

void path_default(json_t *doc, const char *path, json_t *value)
{
    const json_t *old = path_get(doc, path);
    if (old && !json_is_null(old))
        json_decref(value);
    else
        path_set(doc, path, value);
}

void path_default_text(json_t *doc, const char *path, const char *text)
{
    const char *old = path_text(doc, path);
    if (!old || !*old)
        path_set_text(doc, path, text);
}

json_t *path_object(json_t *doc, const char *path)
{
    json_t *o = path_get(doc, path);
    if (json_is_object(o))
        return o;
    o = json_object();
    path_set(doc, path, o);
    return o;
}
