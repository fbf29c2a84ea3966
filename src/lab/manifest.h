/* The lab's own reading of a folder of manifests: whole documents, as JSON values, because the lab
 * must hand them on with all that they say and run what Pods describe. (The objects that dns and
 * proxy work with are read by source/dir.h from what the lab writes.) */
#pragma once

#include "base/err.h"
#include "base/vec.h"

#include <jansson.h>

#define MANIFEST_FILE_MAX  (4 << 20) /* bytes of one file */
#define MANIFEST_FILES_MAX 4096

struct manifest {
    const char *kind, *namespace, *name; /* in json; namespace is "" for cluster-scoped kinds */
    json_t *json;                        /* owned */
    char *origin;                        /* "FILE:LINE" */
};

struct manifests {
    VEC(struct manifest) items; /* in order of path and place */
    VEC(char *) problems;       /* one sentence each, "FILE:LINE: ..." */
    VEC(char *) folders;        /* all that were read: what to watch */
};

/* All *.yaml, *.yml and *.json below dir; List kinds are unfolded; of two documents for one object
 * the first stands and the other is a problem. A file that does not parse keeps what it held in
 * `before`. Fails only when dir itself cannot be read. */
int manifests_read(const char *dir, const struct manifests *before, struct manifests *ret,
                   struct err *e);
/* Another folder's to those that were read: what is there already stands. */
int manifests_add(const char *dir, const struct manifests *before, struct manifests *m,
                  struct err *e);
void manifests_done(struct manifests *m);
const struct manifest *manifests_find(const struct manifests *m, const char *kind,
                                      const char *namespace, const char *name);

/* Value at a path of members ("spec.nodeName"), or NULL; text, or NULL when it is no string. */
json_t *json_at(json_t *json, const char *path);
const char *json_text(json_t *json, const char *path);

/* A YAML or JSON tree as a JSON value; unquoted numbers and booleans keep their type. */
struct tree;
json_t *manifest_json(const struct tree *t);
