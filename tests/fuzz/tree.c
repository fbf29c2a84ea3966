/* Any text as YAML or JSON; what comes of it is walked to the end and its bounds are checked. */
#include "config/tree.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define NODES_MAX   4000000 /* more than the aliases' limit and a fuzzer's text together */
#define PRINTED_MAX 10000

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

/* The reader of JSON gives numbers in a form of its own, if they are not too large for it. */
static bool has_number(const struct tree *t)
{
    if (t->kind == TREE_SCALAR && !t->quoted && strspn(t->text, "-0123456789"))
        return true;
    for (const struct tree *c = t->child; c; c = c->next)
        if (has_number(c))
            return true;
    return false;
}

/* What is printed as JSON says the same when it is read again. */
static void print(const struct tree *t, struct arena *a)
{
    struct strbuf first = { 0 }, second = { 0 };
    struct tree_doc d = { 0 };
    tree_print_json(&first, t);
    if (tree_parse(first.p, first.len, "f", a, &d, NULL) < 0 || d.n != 1)
        abort();
    tree_print_json(&second, d.documents[0]);
    if (strcmp(first.p, second.p) != 0)
        abort();
    strbuf_done(&first);
    strbuf_done(&second);
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
    if (d.n && nodes < PRINTED_MAX && d.documents[0]->kind >= TREE_SEQUENCE &&
        !has_number(d.documents[0]))
        print(d.documents[0], &a);
    arena_done(&a);
    return 0;
}
