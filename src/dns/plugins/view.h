/* Expressions of the `view` plugin, compiled to a small tree with types checked.
 *
 *     or:      and { ("||" | "or") and }
 *     and:     compare { ("&&" | "and") compare }
 *     compare: unary [ operator unary ]      == != < <= > >= in, not in, startsWith endsWith
 * contains matches unary:   ("!" | "not") unary | primary primary: number | 'text' | "text" | true
 * | false | name(arguments) | [list] | (or)
 *
 * Types are bool, number (64-bit integer) and text; the right side of `in` is a list of literals,
 * that of `matches` a text literal. What the language of the reference has beyond this is refused
 * by name. */
#pragma once

#include "base/arena.h"
#include "dns/plugins/metadata.h"
#include "dns/regex.h"

#define VIEW_TEXT_MAX  4096 /* bytes of an expression */
#define VIEW_DEPTH_MAX 64   /* parentheses and negations inside each other */
#define VIEW_LIST_MAX  256

enum view_type { VIEW_BOOL, VIEW_NUMBER, VIEW_TEXT };

struct view_value {
    enum view_type type;
    int64_t number; /* a bool: 0 or 1 */
    const char *text;
    size_t len;
};

enum view_op {
    VIEW_LITERAL,
    VIEW_CALL,
    VIEW_NOT,
    VIEW_AND,
    VIEW_OR,
    VIEW_EQUAL,
    VIEW_DIFFERENT,
    VIEW_LESS,
    VIEW_AT_MOST,
    VIEW_MORE,
    VIEW_AT_LEAST,
    VIEW_IN,
    VIEW_STARTS,
    VIEW_ENDS,
    VIEW_CONTAINS,
    VIEW_MATCHES,
};

struct view_node;
typedef struct view_value view_call(struct query *q, const struct view_node *n);

struct view_node {
    enum view_op op;
    enum view_type type; /* of the result */
    const struct view_node *a, *b;
    struct view_value literal;
    const struct view_value *list; /* VIEW_IN */
    unsigned n_list;
    const struct regex *regex; /* VIEW_MATCHES */
    view_call *call;
    const struct ip_prefix *prefix;  /* incidr() with a literal */
    const struct metadata *metadata; /* metadata() */
};

/* Where expressions are compiled. */
struct view_compiler {
    struct arena *arena;
    const struct metadata *metadata;           /* or NULL */
    void (*keep)(void *ctx, struct regex *re); /* is given each regular expression, to be freed */
    void *ctx;
};

/* Compiles one expression, which must give a bool. view_parse.c */
int view_compile(const struct view_compiler *c, const char *text, const struct view_node **ret,
                 struct err *e);

/* view_eval.c */
struct view_value view_eval(const struct view_node *n, struct query *q);

struct view_function {
    const char *name;
    view_call *call;
    enum view_type type;
    uint8_t n_args; /* all of them texts */
};
const struct view_function *view_function_find(const char *name, size_t len);
