#include "base/ht.h"
#include "base/str.h"
#include "config/tree_build.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

int tree_err(struct tree_builder *b, int code, int line, const char *fmt, ...)
{
    char text[sizeof b->e->text];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(b->e, code, "%s:%d: %s", b->name, line, text);
}

int tree_count(struct tree_builder *b, size_t n, int line)
{
    b->nodes += n;
    if (b->nodes <= TREE_NODES_MAX)
        return 0;
    return tree_err(b, ERR_LIMIT, line, "more than %zu values: split the file", TREE_NODES_MAX);
}

static int twice(struct tree_builder *b, const struct tree *first, const struct tree *again)
{
    return tree_err(b, ERR_INVALID, again->line, "the key \"%s\" is already set in line %d",
                    again->key, first->line);
}

/* Quadratic, but without a table: nearly all mappings have a handful of members. */
static int unique_small(struct tree_builder *b, const struct tree *mapping)
{
    for (const struct tree *m = mapping->child; m; m = m->next)
        for (const struct tree *o = mapping->child; o != m; o = o->next)
            if (o->key[0] == m->key[0] && strcmp(o->key, m->key) == 0)
                return twice(b, o, m);
    return 0;
}

int tree_unique(struct tree_builder *b, const struct tree *mapping, size_t n)
{
    if (n <= 16)
        return unique_small(b, mapping);
    struct ht seen = { 0 };
    int r = 0;
    for (struct tree *m = mapping->child; m && r == 0; m = m->next) {
        const struct tree *first = ht_put_str(&seen, m->key, m);
        if (first)
            r = twice(b, first, m);
    }
    ht_done(&seen);
    return r;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_separator(const char *text, size_t at, size_t len)
{
    bool line_start = at == 0 || text[at - 1] == '\n';
    return line_start && len - at >= 3 && memcmp(text + at, "---", 3) == 0 &&
           (len - at == 3 || is_blank(text[at + 3]));
}

/* Blanks, and the "---" lines between JSON documents; counts the lines passed. */
static size_t skip_between(const char *text, size_t at, size_t len, int *line)
{
    while (at < len && (is_blank(text[at]) || is_separator(text, at, len))) {
        *line += text[at] == '\n';
        at += text[at] == '-' ? 3 : 1;
    }
    return at;
}

int tree_count_lines(const char *text, size_t len)
{
    int n = 0;
    const char *end = text + len;
    while (text < end && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        n++;
        text++;
    }
    return n;
}

static int read_documents(struct tree_builder *b, const char *text, size_t len)
{
    size_t at = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (int line = 1;;) {
        int first = line;
        size_t next = skip_between(text, at, len, &line), used;
        if (next == len)
            return 0;
        /* YAML needs the blanks: they indent its first line. */
        if (text[next] != '{' && text[next] != '[')
            return tree_yaml(b, text + at, len - at, first);
        int r = tree_json(b, text + next, len - next, line, &used);
        if (r < 0)
            return r;
        line += tree_count_lines(text + next, used);
        at = next + used;
    }
}

int tree_parse(const char *text, size_t len, const char *name, struct arena *a,
               struct tree_doc *ret_doc, struct err *e)
{
    struct tree_builder b = { .arena = a, .name = name, .e = e };
    if (len > TREE_BYTES_MAX)
        return tree_err(&b, ERR_LIMIT, 1, "the text is longer than %zu MiB: split the file",
                        TREE_BYTES_MAX >> 20);
    int r = read_documents(&b, text, len);
    if (r == 0) {
        ret_doc->n = b.docs.n;
        ret_doc->documents = arena_memdup(a, b.docs.items, b.docs.n * sizeof *b.docs.items);
    }
    vec_done(&b.docs);
    return r;
}

static const struct tree *get(const struct tree *t, const char *key, size_t n)
{
    if (!t || t->kind != TREE_MAPPING)
        return NULL;
    for (const struct tree *m = t->child; m; m = m->next)
        if ((!n || *m->key == *key) && strncmp(m->key, key, n) == 0 && !m->key[n])
            return m;
    return NULL;
}

const struct tree *tree_get(const struct tree *t, const char *key)
{
    return get(t, key, strlen(key));
}

const struct tree *tree_path(const struct tree *t, const char *path)
{
    for (;;) {
        size_t n = strcspn(path, ".");
        t = get(t, path, n);
        if (!t || !path[n])
            return t;
        path += n + 1;
    }
}

const char *tree_text(const struct tree *t)
{
    return t && t->kind == TREE_SCALAR ? t->text : NULL;
}

const char *tree_str(const struct tree *t, const char *path)
{
    return tree_text(tree_path(t, path));
}

/* What stands there instead, for errors. */
static const char *describe(const struct tree *t, char *out, size_t size)
{
    static const char *const kinds[] = { "null", "a scalar", "a list", "a mapping" };
    if (t->kind != TREE_SCALAR)
        return kinds[t->kind];
    (void)snprintf(out, size, "%s\"%.60s\"", t->quoted ? "the string " : "", t->text);
    return out;
}

/* "010" is 8 to some readers and 10 to others, so it is neither here. */
static bool has_leading_zero(const char *s)
{
    s += *s == '-';
    return s[0] == '0' && isdigit((unsigned char)s[1]);
}

int tree_int(const struct tree *t, const char *path, long min, long max, long *ret, struct err *e)
{
    const struct tree *v = tree_path(t, path);
    char found[80];
    long n;
    if (!v || v->kind == TREE_NULL)
        return 0;
    if (v->kind == TREE_SCALAR && !v->quoted && !has_leading_zero(v->text) &&
        str_to_long(v->text, min, max, &n) == 0) {
        *ret = n;
        return 1;
    }
    return err_set(e, ERR_INVALID, "must be a whole number from %ld to %ld, not %s", min, max,
                   describe(v, found, sizeof found));
}

int tree_bool(const struct tree *t, const char *path, bool *ret, struct err *e)
{
    /* The plain words that Kubernetes tools read as booleans (YAML 1.1 without y and n). */
    static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no",
                                                                              "off" };
    const struct tree *v = tree_path(t, path);
    char found[80], word[8] = "";
    if (!v || v->kind == TREE_NULL)
        return 0;
    if (v->kind == TREE_SCALAR && !v->quoted && strlen(v->text) < sizeof word)
        str_lower(strcpy(word, v->text));
    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (!str_eq(word, yes[i]) && !str_eq(word, no[i]))
            continue;
        *ret = str_eq(word, yes[i]);
        return 1;
    }
    return err_set(e, ERR_INVALID, "must be true or false, not %s",
                   describe(v, found, sizeof found));
}
