#include "lab/failure.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char failures_text[];

static bool is_head(const struct tree *doc)
{
    return str_eq(tree_str(doc, "kind"), "Failure");
}

static struct failure read_head(const struct tree *doc)
{
    return (struct failure){
        .name = tree_str(doc, "metadata.name"),
        .summary = tree_str(doc, "summary"),
        .from = tree_str(doc, "request.from"),
        .to = tree_str(doc, "request.to"),
        .as = tree_str(doc, "request.as"),
        .outcome = tree_str(doc, "request.outcome"),
        .cost = tree_str(doc, "request.cost"),
        .rules = tree_get(doc, "rules"),
        .first = tree_get(doc, "first"),
    };
}

void failures_read(struct failures *ret)
{
    struct tree_doc docs;
    struct err e;
    *ret = (struct failures){ .n = 0 };
    arena_init(&ret->arena, 65536);
    if (tree_parse(failures_text, strlen(failures_text), "failures.yaml", &ret->arena, &docs, &e) <
        0) {
        (void)fprintf(stderr, "%s\n", e.text); /* our own text: a test reads it */
        abort();
    }
    ret->items = arena_alloc(&ret->arena, (docs.n + 1) * sizeof *ret->items);
    for (size_t i = 0; i < docs.n; i++) {
        if (is_head(docs.documents[i])) {
            ret->items[ret->n] = read_head(docs.documents[i]);
            ret->items[ret->n++].objects = docs.documents + i + 1;
        } else {
            ret->items[ret->n - 1].n_objects++;
        }
    }
}

void failures_done(struct failures *f)
{
    arena_done(&f->arena);
}

int failures_find(const struct failures *f, const char *name, const struct failure **ret,
                  struct err *e)
{
    cleanup(strbuf_done) struct strbuf all = { 0 };
    for (size_t i = 0; i < f->n; i++) {
        if (str_eq(f->items[i].name, name)) {
            *ret = &f->items[i];
            return 0;
        }
        strbuf_printf(&all, "%s%s", i ? ", " : "", f->items[i].name);
    }
    return err_set(e, ERR_NOT_FOUND, "there is no failure \"%s\"; there are: %s", name, all.p);
}
