/* The table of resources: what the API offers, one row each. Rows are constant; a resource is known
 * by its row's address. */
#pragma once

#include "registry/fault.h"
#include "registry/schema.h"

#include <jansson.h>

struct request;
struct registry;
struct item;

#define RESOURCES_MAX       32
#define RESOURCE_FIELDS_MAX 12 /* that selectors may ask for, besides name and namespace */

enum verb {
    VERB_GET = 1,
    VERB_LIST = 2,
    VERB_WATCH = 4,
    VERB_CREATE = 8,
    VERB_UPDATE = 16,
    VERB_PATCH = 32,
    VERB_DELETE = 64,
    VERB_DELETE_COLLECTION = 128,
    VERBS_READ = VERB_GET | VERB_LIST | VERB_WATCH,
    VERBS_ALL = 255,
};

/* A column of the tables that `kubectl get` shows. */
struct column {
    const char *name, *type, *format; /* format: "name" or "" */
    int priority;                     /* 1: only with -o wide */
    /* The cell of an object. */
    json_t *(*cell)(const json_t *doc);
};

/* What a write must know: the document is changed in place. `old` is NULL for a create. */
struct write {
    struct registry *registry;
    const struct resource *resource;
    const char *sub; /* "" or "status" */
    json_t *doc;
    const json_t *old;
    bool dry_run;
};

struct resource {
    const char *group, *version; /* "" for the core group */
    const char *name, *singular, *kind;
    const char *short_names[3];
    const char *category; /* "all", or NULL */
    const char *warning;  /* that every answer carries, or NULL */
    bool namespaced, has_status;
    unsigned verbs;
    const char *type_name; /* of the schema */
    const char *fields[RESOURCE_FIELDS_MAX];
    const struct column *columns; /* ends with a NULL name; NULL: name and age */
    bool counts;                  /* metadata.generation goes up when the spec changes */
    bool put_creates;             /* an update of what is not there makes it */
    bool needs_version;           /* an update must name the version that it changes */
    /* Checks a name: one sentence part, or NULL. */
    const char *(*name_wrong)(const char *name);
    /* In this order: the defaults of its type, which belong to whoever writes; what the server
     * itself fills in; what others must not have, addresses and ports (0, or the fault is set);
     * what is wrong is added to the fault. */
    void (*fill)(struct write *w);
    void (*prepare)(struct write *w);
    int (*take)(struct write *w, struct fault *f);
    void (*check)(struct write *w, struct fault *f);
};

extern const struct resource resources[];
extern const size_t n_resources;

const struct resource *resource_find(const char *group, const char *version, const char *name);
const struct resource *resource_of_kind(const char *api_version, const char *kind);
/* Both results are constant once asked for; control thread only. */
const struct schema_type *resource_type(const struct resource *r);
/* "v1", "discovery.k8s.io/v1" */
const char *resource_api_version(const struct resource *r);
/* Which groups there are, the core group first. */
const char *const *resource_groups(size_t *ret_n);
