/* Objects as text, for golden files: every field that differs from its zero value, one object a few
 * lines. Also the reading of manifests that several tests share. */
#pragma once

#include "base/str.h"
#include "base/vec.h"
#include "kube/object.h"

struct objects {
    VEC(struct object *) list;
    struct strbuf errors; /* one line each */
};

void dump_object(struct strbuf *b, const struct object *o);
/* In order of kind, namespace, name. */
void dump_sorted(struct strbuf *b, struct objects *o);
/* Decodes every document of a text; what fails to parse ends up in errors. name is shown in errors
 * and origins. */
void objects_read(struct objects *o, const char *text, size_t len, const char *name);
void objects_done(struct objects *o); /* frees the objects, too */

/* A whole file, NUL-terminated, to be freed; NULL when there is none. */
char *text_of_file(const char *path, size_t *ret_len);
