#include "registry/schema.h"

#include "base/cleanup.h"
#include "base/ht.h"
#include "base/log.h"
#include "base/vec.h"

#include <string.h>

extern const char schema_text[];

static const char *const base_names[] = {
    [SCHEMA_STRING] = "string",        [SCHEMA_INT32] = "int32",
    [SCHEMA_INT64] = "int64",          [SCHEMA_BOOL] = "bool",
    [SCHEMA_BYTES] = "bytes",          [SCHEMA_DOUBLE] = "double",
    [SCHEMA_QUANTITY] = "quantity",    [SCHEMA_TIME] = "time",
    [SCHEMA_MICRO_TIME] = "microtime", [SCHEMA_INT_OR_STRING] = "intorstring",
    [SCHEMA_FIELDS] = "fields",        [SCHEMA_RAW] = "raw",
};

static struct {
    VEC(struct schema_type) types;
    struct ht by_name; /* index + 1 */
    char *text;        /* a copy, cut into words */
} schema;

/* The text is our own: what cannot be read is a mistake in the program. */
static void broken(const char *what)
{
    log_line(LOG_FATAL, "the table of types is broken at \"%s\"", what);
    abort();
}

static void read_keys(struct schema_field *f, char *list)
{
    unsigned n = 0;
    char *rest = NULL;
    for (char *key = strtok_r(list, ",", &rest); key; key = strtok_r(NULL, ",", &rest)) {
        if (n == SCHEMA_KEYS_MAX - 1)
            broken(key);
        f->keys[n++] = key;
    }
    f->apply = APPLY_MAP;
}

static void read_mark(struct schema_field *f, char *mark)
{
    if (strcmp(mark, "?") == 0)
        f->omit = true;
    else if (strcmp(mark, "??") == 0)
        f->omit = f->omit_zero = true;
    else if (strcmp(mark, "!") == 0)
        f->required = true;
    else if (strcmp(mark, "inline") == 0)
        f->inlined = true;
    else if (strcmp(mark, "atomic") == 0)
        f->apply = APPLY_ATOMIC;
    else if (strcmp(mark, "granular") == 0)
        f->apply = APPLY_USUAL;
    else if (strcmp(mark, "set") == 0)
        f->apply = APPLY_SET;
    else if (strcmp(mark, "retain") == 0)
        f->retain = true;
    else if (strcmp(mark, "merge") == 0)
        f->merge = true;
    else if (strncmp(mark, "merge=", 6) == 0)
        f->merge = true, f->merge_key = mark + 6;
    else if (strncmp(mark, "map=", 4) == 0)
        read_keys(f, mark + 4);
    else if (mark[0] == '=')
        f->fallback = mark + 1;
    else
        broken(mark);
}

/* Types may be named before they are described: the names are resolved at the end. */
static void read_kind(struct schema_field *f, char *kind)
{
    if (*kind == '*')
        f->pointer = true, kind++;
    if (strncmp(kind, "[]", 2) == 0)
        f->shape = SCHEMA_LIST, kind += 2;
    else if (strncmp(kind, "{}", 2) == 0)
        f->shape = SCHEMA_MAP, kind += 2;
    for (size_t i = 0; i < ARRAY_SIZE(base_names); i++)
        if (strcmp(kind, base_names[i]) == 0) {
            f->base = (uint8_t)i;
            return;
        }
    f->base = SCHEMA_TYPE;
    f->type = (const void *)kind;
}

static void read_field(struct schema_type *t, char *line)
{
    char *rest = NULL;
    struct schema_field f = { 0 };
    const char *number = strtok_r(line, " ", &rest);
    f.number = (uint32_t)strtoul(number, NULL, 10);
    f.name = strtok_r(NULL, " ", &rest);
    char *kind = strtok_r(NULL, " ", &rest);
    if (!f.name || !kind || t->n == SCHEMA_FIELDS_MAX)
        broken(number);
    read_kind(&f, kind);
    for (char *mark = strtok_r(NULL, " ", &rest); mark; mark = strtok_r(NULL, " ", &rest))
        read_mark(&f, mark);
    t->fields = xrealloc(t->fields, (t->n + 1u) * sizeof f);
    t->fields[t->n++] = f;
}

static void read_line(char *line)
{
    if (*line == '#' || !*line)
        return;
    if (*line == ' ') {
        read_field(&schema.types.items[schema.types.n - 1], line + 1);
        return;
    }
    char *space = strchr(line, ' ');
    if (space)
        *space = 0;
    vec_push(&schema.types, (struct schema_type){ .name = line, .atomic = space != NULL });
    ht_put_str(&schema.by_name, line, (void *)schema.types.n);
}

/* Few fields, once: by insertion. */
static void order(struct schema_type *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        unsigned at = i;
        for (; at && t->fields[t->by_number[at - 1]].number > t->fields[i].number; at--)
            t->by_number[at] = t->by_number[at - 1];
        t->by_number[at] = (uint8_t)i;
    }
}

static void resolve(struct schema_type *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        struct schema_field *f = &t->fields[i];
        if (f->base != SCHEMA_TYPE)
            continue;
        const char *name = (const void *)f->type;
        f->type = schema_type(name);
        if (!f->type)
            broken(name);
    }
}

void schema_init(void)
{
    char *rest = NULL;
    if (schema.text)
        return;
    schema.text = xstrdup(schema_text);
    for (char *line = strtok_r(schema.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        read_line(line);
    for (size_t i = 0; i < schema.types.n; i++) {
        order(&schema.types.items[i]);
        resolve(&schema.types.items[i]);
    }
}

const struct schema_type *schema_type(const char *name)
{
    size_t at = (size_t)ht_get_str(&schema.by_name, name);
    return at ? &schema.types.items[at - 1] : NULL;
}

const struct schema_field *schema_field(const struct schema_type *t, const char *name)
{
    for (unsigned i = 0; i < t->n; i++) {
        const struct schema_field *f = &t->fields[i];
        if (!f->inlined && strcmp(f->name, name) == 0)
            return f;
        if (f->inlined && (f = schema_field(f->type, name)))
            return f;
    }
    return NULL;
}

const struct schema_type *schema_all(size_t *ret_n)
{
    *ret_n = schema.types.n;
    return schema.types.items;
}

const char *schema_short(const struct schema_type *t)
{
    return strchr(t->name, '.') + 1;
}
