/* What a source of objects tells, and to whom. */
#pragma once

#include "kube/object.h"

struct tree;

struct sink {
    void *ctx;
    unsigned without; /* enum object_part: what nobody behind the sink looks at */
    void (*put)(void *ctx, struct object *o); /* takes ownership */
    void (*del)(void *ctx, enum kind kind, const char *ns, const char *name);
    void (*synced)(void *ctx);                    /* after the first full read */
    void (*problem)(void *ctx, const char *text); /* one sentence, "PLACE: ..." */
    void (*settled)(void *ctx); /* after each batch, the first read included; may be NULL */
    /* Every object of the kind (and namespace, NULL: all) for which keep() says false is gone.
     * Sources that list their objects anew call it; others may leave it NULL. */
    void (*sweep)(void *ctx, enum kind kind, const char *ns,
                  bool (*keep)(void *list, const char *ns, const char *name), void *list);
    /* Of a folder's file, before its objects are told; may be NULL. */
    void (*document)(void *ctx, const struct tree *document, const char *path);
};
