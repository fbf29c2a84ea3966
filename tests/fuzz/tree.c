/* Any text as YAML or JSON; what comes of it is walked to the end and its bounds are checked. */
#include "config/tree.h"

#include <stdlib.h>
#include <string.h>

#define NODES_MAX 4000000 /* more than the aliases' limit and a fuzzer's text together */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct tree *t, bool member, int depth, size_t *nodes)
{
    if (depth > 101 || ++*nodes > NODES_MAX || t->line < 1 || member != (t->key != NULL))
        abort();
    if (t->kind == TREE_SCALAR && (!t->text || t->child))
        abort();
    for (const struct tree *c = t->child; c; c = c->next)
        walk(c, t->kind == TREE_MAPPING, depth + 1, nodes);
}

static void read_typed(const struct tree *t)
{
    struct err e;
    long number;
    bool truth;
    (void)tree_int(t, "a", -5, 80, &number, &e);
    (void)tree_bool(t, "a.b", &truth, &e);
    (void)tree_str(t, "a.b.c");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree_doc d = { 0 };
    struct err e = { 0 };
    struct arena a;
    size_t nodes = 0;
    arena_init(&a, 4096);
    if (tree_parse((const char *)data, size, "f", &a, &d, &e) < 0 && strncmp(e.text, "f:", 2) != 0)
        abort();
    for (size_t i = 0; i < d.n; i++) {
        walk(d.documents[i], false, 0, &nodes);
        read_typed(d.documents[i]);
    }
    arena_done(&a);
    return 0;
}
