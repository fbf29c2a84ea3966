/* What the two readers of tree.h share; not for other rooms. */
#pragma once

#include "base/vec.h"
#include "config/tree.h"

/* Limits of one text. */
#define TREE_BYTES_MAX ((size_t)512 * 1024 * 1024)
#define TREE_NODES_MAX ((size_t)20 * 1000 * 1000)
#define TREE_DEPTH_MAX 100
#define TREE_ALIAS_MAX ((size_t)1000 * 1000) /* nodes that aliases repeat */

struct tree_builder {
    struct arena *arena;
    const char *name; /* of the text, for errors */
    struct err *e;
    size_t nodes; /* those reached through aliases count each time */
    VEC(const struct tree *) docs;
};

/* "NAME:LINE: <text>"; returns code. */
int tree_err(struct tree_builder *b, int code, int line, const char *fmt, ...) printf_like(4, 5);
/* Counts n nodes against the limit. */
int tree_count(struct tree_builder *b, size_t n, int line);
/* ERR_INVALID when the mapping holds a key twice. */
int tree_unique(struct tree_builder *b, const struct tree *mapping, size_t n);

int tree_count_lines(const char *text, size_t len); /* its line ends */

/* All documents of the text, whose first line has this number. */
int tree_yaml(struct tree_builder *b, const char *text, size_t len, int line);
/* One document; *ret_used is its length. */
int tree_json(struct tree_builder *b, const char *text, size_t len, int line, size_t *ret_used);
