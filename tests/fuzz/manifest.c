/* Any text as a manifest: tree, decoders, copies and comparisons of what comes out. */
#include "config/tree.h"
#include "kube/decode.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *ctx, struct object *o)
{
    struct object *copy = object_copy(o);
    (void)ctx;
    if (!object_equal(o, copy) || !o->meta.name || !o->meta.namespace)
        abort();
    object_free(copy);
    object_free(o);
}

static void refuse(void *ctx, const struct err *e)
{
    (void)ctx;
    if (!e->code || !e->text[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct tree_doc doc;
    arena_init(&arena, 65536);
    if (tree_parse((const char *)data, size, "m.yaml", &arena, &doc, NULL) == 0)
        for (size_t i = 0; i < doc.n; i++)
            (void)object_decode_each(doc.documents[i], "m.yaml", 0, take, refuse, NULL);
    arena_done(&arena);
    return 0;
}
