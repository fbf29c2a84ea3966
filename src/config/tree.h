/* YAML and JSON as one tree of mappings, sequences and scalars that remembers its lines.
 *
 * YAML by libyaml (anchors and aliases resolved with a limit on growth, merge keys not), JSON by
 * jansson when the text starts with '{' or '[' (faster; its nodes carry the document's first line).
 * Several JSON documents may follow one another, with or without "---" lines.
 *
 * Refused by name: a key set twice, merge keys (<<), keys that are no text, tags but the standard
 * ones, NUL characters. Limits: 512 MiB of text, 20 million values, 100 levels, one million values
 * repeated by aliases (whose children are shared, and never changed). All memory is in the caller's
 * arena. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tree_kind { TREE_NULL, TREE_SCALAR, TREE_SEQUENCE, TREE_MAPPING };

struct tree {
    uint8_t kind;
    bool quoted;        /* a scalar in quotes: "true" and "80" are strings then */
    bool key_quoted;    /* inside a mapping: so is its key */
    int line;           /* of the key, inside a mapping */
    const char *key;    /* inside a mapping: its key */
    const char *text;   /* scalar */
    struct tree *child; /* first element or member */
    struct tree *next;  /* sibling */
};

struct tree_doc {
    const struct tree **documents; /* empty documents are left out */
    size_t n;
};

/* Reads all documents of a file's text. name is for errors: "NAME:LINE: ...". */
int tree_parse(const char *text, size_t len, const char *name, struct arena *a,
               struct tree_doc *ret_doc, struct err *e);

/* Look-ups; all accept NULL and give NULL or the default. A path is "spec.selector". */
const struct tree *tree_get(const struct tree *t, const char *key);
const struct tree *tree_path(const struct tree *t, const char *path);
const char *tree_text(const struct tree *t);                  /* scalar text, or NULL */
const char *tree_str(const struct tree *t, const char *path); /* text at path, or NULL */
/* Typed reads: 1 when present and right, 0 when absent or null, negative with e set when the value
 * has another type ("NAME:LINE: spec.ports[0].port: ..." is the caller's wrap). */
int tree_int(const struct tree *t, const char *path, long min, long max, long *ret, struct err *e);
int tree_bool(const struct tree *t, const char *path, bool *ret, struct err *e);
/* Appends it as JSON. Plain scalars of YAML that look like JSON's numbers and truth values are
 * such, all others are strings. */
struct strbuf;
void tree_print_json(struct strbuf *out, const struct tree *t);
