/* What a request asks for, read from its target: the path's parts and the query's options. Source:
 * Kubernetes API concepts, "Resource URIs"; API reference, "Common Parameters". */
#pragma once

#include "base/arena.h"
#include "registry/fault.h"
#include "registry/resource.h"

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_TARGET_MAX 16384 /* bytes of a target */
#define REQUEST_QUERY_MAX  64    /* parameters */

enum field_validation { FIELDS_WARN, FIELDS_IGNORE, FIELDS_STRICT };

struct request_parameter {
    const char *name, *value;
};

struct request {
    const char *method;
    const char *path; /* decoded, without the query */
    char **parts;     /* of the path */
    unsigned n_parts;
    struct request_parameter query[REQUEST_QUERY_MAX];
    unsigned n_query;
    /* of resources */
    const char *group, *version;
    const struct resource *resource; /* NULL: the path is not one of a resource */
    const char *namespace;           /* "" when the path names none */
    const char *name;                /* "" for the collection */
    const char *sub;                 /* "" or "status", ... */
};

/* Splits the target; nothing but bad syntax fails (400). All memory is in the arena. */
int request_read(const char *method, const char *target, struct arena *a, struct request *ret,
                 struct fault *f);
/* The value of a parameter, or NULL. */
const char *request_get(const struct request *r, const char *name);
/* "true" or "1", or the parameter without a value: set. */
bool request_is(const struct request *r, const char *name);
/* A whole number; fallback when absent. -1: the fault is set (400). */
int request_number(const struct request *r, const char *name, int64_t fallback, int64_t *ret,
                   struct fault *f);
/* dryRun=All; -1: the fault is set. */
int request_dry_run(const struct request *r, bool *ret, struct fault *f);
int request_field_validation(const struct request *r, enum field_validation *ret, struct fault *f);
