/* A document as the API's types have it: fields in their order, values of the right kinds, zero
 * values left out or put in as the originals write them, unknown fields found. What clients get is
 * therefore the same text that the original would send.
 *
 * Source: Kubernetes API reference for the types; encoding/json of Go for what is left out. */
#pragma once

#include "registry/fault.h"
#include "registry/schema.h"

#include <jansson.h>

#define SHAPE_DEPTH_MAX   64  /* of a document */
#define SHAPE_UNKNOWN_MAX 100 /* unknown fields that are told */

/* Reads `in` as an object of the type. The result is a new document without kind and apiVersion
 * (unless the type has fields of these names). unknown: an array to which the paths of unknown
 * fields are added as texts; NULL: nobody wants to know. Returns 0, or -1 with one sentence in
 * *ret_why, which the caller frees ("json: cannot unmarshal ..."). */
int shape_read(const struct schema_type *t, const json_t *in, json_t *unknown, json_t **ret,
               char **ret_why);
/* The same with kind and apiVersion in front, which must be those of the resource: 0, or the fault
 * is set (400). */
struct resource;
int shape_object(const struct resource *r, const json_t *in, json_t *unknown, json_t **ret,
                 struct fault *f);
/* The same as it is to be stored: the original's storage knows no empty lists, they are null. */
int shape_stored(const struct resource *r, const json_t *in, json_t **ret, struct fault *f);
