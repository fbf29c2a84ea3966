/* YAML to a tree, from libyaml's events. An alias shares the children of its anchor; what it
 * repeats is counted all the same, so that a few lines cannot stand for millions of values. */
#include "base/ht.h"
#include "base/str.h"
#include "config/tree_build.h"

#include <string.h>
#include <yaml.h>

#define YAML_TAG_PREFIX "tag:yaml.org,2002:"

struct frame {
    struct tree *node, **tail;
    const char *key; /* read, and its value is still to come */
    int key_line;
    bool key_quoted;
    size_t members, nodes_before;
    const char *anchor;
    int height; /* levels below the node */
};

struct anchor {
    const struct tree *node;
    size_t nodes;
    int height;
};

struct reader {
    struct tree_builder *b;
    struct arena *arena;
    const char *text;
    size_t len;
    int first_line; /* the text's number in its file */
    size_t alias_nodes;
    struct ht anchors; /* of this document */
    unsigned depth;
    struct frame frames[TREE_DEPTH_MAX];
};

/* What libyaml says, and what is usually behind it. */
static const struct {
    const char *problem, *hint;
} hints[] = {
    { "found character that cannot start any token",
      "indent with blanks, not tabs, and put text that starts with @, ` or % in quotes" },
    { "found a tab character", "indent with blanks" },
    { "mapping values are not allowed",
      "check the indentation, or put a value that holds ': ' in quotes" },
    { "could not find expected ':'", "a line without 'key: value', or one indented too little" },
    { "did not find expected key", "the indentation differs from that of the lines above" },
    { "did not find expected '-'", "the indentation differs from that of the list above" },
    { "found unexpected end of stream", "a quote or bracket is not closed" },
    { "found undefined tag handle", "remove the tag" },
    { "control characters are not allowed", "the text holds bytes that are not text" },
};

static int line_of(const struct reader *r, yaml_mark_t mark)
{
    return r->first_line + (int)mark.line;
}

static int syntax_err(struct reader *r, const yaml_parser_t *p)
{
    const char *problem = p->problem ? p->problem : "cannot be read", *hint = NULL;
    size_t line = p->problem_mark.line;
    for (size_t i = 0; !hint && i < ARRAY_SIZE(hints); i++)
        if (str_starts(problem, hints[i].problem))
            hint = hints[i].hint;
    if (p->error == YAML_READER_ERROR)
        line = (size_t)tree_count_lines(r->text, MIN(p->problem_offset, r->len));
    return tree_err(r->b, ERR_PARSE, r->first_line + (int)line, "not valid YAML: %s%s%s", problem,
                    hint ? "; " : "", hint ? hint : "");
}

static struct frame *top(struct reader *r)
{
    return r->depth ? &r->frames[r->depth - 1] : NULL;
}

/* Hangs a finished or opened node into its parent. */
static int attach(struct reader *r, struct tree *t, int height)
{
    struct frame *f = top(r);
    if (!f) {
        if (t->kind != TREE_NULL)
            vec_push(&r->b->docs, t);
        return 0;
    }
    f->height = MAX(f->height, height + 1);
    f->members++;
    if (f->node->kind == TREE_MAPPING) {
        t->key = f->key;
        t->key_quoted = f->key_quoted;
        t->line = f->key_line;
        f->key = NULL;
    }
    *f->tail = t;
    f->tail = &t->next;
    return 0;
}

static bool wants_key(struct reader *r)
{
    const struct frame *f = top(r);
    return f && f->node->kind == TREE_MAPPING && !f->key;
}

static int no_scalar_key(struct reader *r, int line)
{
    return tree_err(r->b, ERR_UNSUPPORTED, line,
                    "a list, a mapping or an alias as a key is not supported: use plain text");
}

static void define_anchor(struct reader *r, const char *name, const struct tree *t, size_t nodes,
                          int height)
{
    struct anchor *a = arena_zalloc(r->arena, sizeof *a);
    *a = (struct anchor){ .node = t, .nodes = nodes, .height = height };
    ht_put_str(&r->anchors, name, a);
}

static bool is_null_word(const char *s)
{
    static const char *const words[] = { "", "~", "null", "Null", "NULL" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_eq(s, words[i]))
            return true;
    return false;
}

/* Sets how the scalar is to be read; refuses tags that say more than that. */
static int scalar_kind(struct reader *r, const yaml_event_t *ev, int line, struct tree *t)
{
    const char *tag = (const char *)ev->data.scalar.tag;
    t->quoted = !ev->data.scalar.plain_implicit;
    if (tag) {
        const char *name = str_starts(tag, YAML_TAG_PREFIX) ? tag + strlen(YAML_TAG_PREFIX) : tag;
        bool string = str_eq(name, "str") || str_eq(name, "!");
        if (!string && !str_eq(name, "int") && !str_eq(name, "float") && !str_eq(name, "bool") &&
            !str_eq(name, "null"))
            return tree_err(r->b, ERR_UNSUPPORTED, line,
                            "the tag %s is not supported: write the value without it", tag);
        t->quoted = string;
    }
    t->kind = !t->quoted && is_null_word(t->text) ? TREE_NULL : TREE_SCALAR;
    return 0;
}

static int on_key(struct reader *r, const struct tree *t)
{
    struct frame *f = top(r);
    if (!t->quoted && str_eq(t->text, "<<"))
        return tree_err(r->b, ERR_UNSUPPORTED, t->line,
                        "merge keys (<<) are not supported: write the members out");
    f->key = t->text;
    f->key_quoted = t->quoted;
    f->key_line = t->line;
    return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *ev)
{
    int line = line_of(r, ev->start_mark);
    const char *text = (const char *)ev->data.scalar.value;
    const char *anchor = (const char *)ev->data.scalar.anchor;
    size_t len = ev->data.scalar.length;
    struct tree *t = arena_zalloc(r->arena, sizeof *t);
    if (memchr(text, 0, len))
        return tree_err(r->b, ERR_UNSUPPORTED, line, "the text holds a NUL character (\\0)");
    t->line = line;
    t->text = arena_strndup(r->arena, text, len);
    int code = scalar_kind(r, ev, line, t);
    if (code < 0 || (code = tree_count(r->b, 1, line)) < 0)
        return code;
    if (anchor)
        define_anchor(r, anchor, t, 1, 0);
    return wants_key(r) ? on_key(r, t) : attach(r, t, 0);
}

static int open_node(struct reader *r, uint8_t kind, const yaml_event_t *ev, const char *anchor,
                     const char *tag)
{
    int line = line_of(r, ev->start_mark);
    struct tree *t = arena_zalloc(r->arena, sizeof *t);
    if (wants_key(r))
        return no_scalar_key(r, line);
    if (tag && !str_eq(tag, YAML_TAG_PREFIX "map") && !str_eq(tag, YAML_TAG_PREFIX "seq"))
        return tree_err(r->b, ERR_UNSUPPORTED, line,
                        "the tag %s is not supported: write the value without it", tag);
    if (r->depth == TREE_DEPTH_MAX)
        return tree_err(r->b, ERR_LIMIT, line, "values are nested deeper than %d levels",
                        TREE_DEPTH_MAX);
    t->kind = kind;
    t->line = line;
    int code = attach(r, t, 0);
    if (code < 0)
        return code;
    r->frames[r->depth++] = (struct frame){
        .node = t,
        .tail = &t->child,
        .anchor = anchor ? arena_strdup(r->arena, anchor) : NULL,
        .nodes_before = r->b->nodes,
    };
    return tree_count(r->b, 1, line);
}

static int close_node(struct reader *r)
{
    struct frame f = r->frames[--r->depth];
    struct frame *up = top(r);
    if (up)
        up->height = MAX(up->height, f.height + 1);
    if (f.anchor)
        define_anchor(r, f.anchor, f.node, r->b->nodes - f.nodes_before, f.height);
    return f.node->kind == TREE_MAPPING ? tree_unique(r->b, f.node, f.members) : 0;
}

static int on_alias(struct reader *r, const yaml_event_t *ev)
{
    const char *name = (const char *)ev->data.alias.anchor;
    int line = line_of(r, ev->start_mark);
    const struct anchor *a = ht_get_str(&r->anchors, name);
    if (wants_key(r))
        return no_scalar_key(r, line);
    if (!a)
        return tree_err(r->b, ERR_INVALID, line,
                        "the alias *%s has no anchor &%s before it, or stands inside of it", name,
                        name);
    r->alias_nodes += a->nodes;
    if (r->alias_nodes > TREE_ALIAS_MAX)
        return tree_err(r->b, ERR_LIMIT, line, "aliases repeat more than %zu values",
                        TREE_ALIAS_MAX);
    if ((int)r->depth + a->height >= TREE_DEPTH_MAX)
        return tree_err(r->b, ERR_LIMIT, line, "values are nested deeper than %d levels",
                        TREE_DEPTH_MAX);
    struct tree *t = arena_memdup(r->arena, a->node, sizeof *t);
    t->next = NULL;
    t->key = NULL;
    t->line = line;
    int code = tree_count(r->b, a->nodes, line);
    return code < 0 ? code : attach(r, t, a->height);
}

static int on_event(struct reader *r, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        ht_done(&r->anchors);
        return 0;
    case YAML_SCALAR_EVENT:
        return on_scalar(r, ev);
    case YAML_ALIAS_EVENT:
        return on_alias(r, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(r, TREE_SEQUENCE, ev, (const char *)ev->data.sequence_start.anchor,
                         (const char *)ev->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return open_node(r, TREE_MAPPING, ev, (const char *)ev->data.mapping_start.anchor,
                         (const char *)ev->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(r);
    default:
        return 0;
    }
}

static int read_events(struct reader *r, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(p, &ev))
            return syntax_err(r, p);
        bool end = ev.type == YAML_STREAM_END_EVENT;
        int code = on_event(r, &ev);
        yaml_event_delete(&ev);
        if (code < 0 || end)
            return code;
    }
}

int tree_yaml(struct tree_builder *b, const char *text, size_t len, int line)
{
    struct reader r = { .b = b, .arena = b->arena, .text = text, .len = len, .first_line = line };
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return tree_err(b, ERR_LIMIT, line, "no memory for the YAML reader");
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    int code = read_events(&r, &p);
    yaml_parser_delete(&p);
    ht_done(&r.anchors);
    return code;
}
