/* In which form a request's body came, and in which form its answer is wanted. Source: Kubernetes
 * API concepts, "Alternate representations of resources" and "Receiving resources as Tables". */
#pragma once

#include "registry/fault.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define BODY_BYTES_MAX ((size_t)3 << 20) /* as the original has it */
#define BODY_DEPTH_MAX 100

enum form { FORM_JSON, FORM_YAML, FORM_PROTO };
enum view { VIEW_OBJECT, VIEW_TABLE, VIEW_METADATA, VIEW_METADATA_LIST };

struct wish {
    enum form form;
    enum view view;
    bool v1beta1; /* of the group meta.k8s.io: old clients ask for tables in it */
};

/* accept NULL: JSON. -1: nothing that is asked for is offered (406). */
int wish_read(const char *accept, struct wish *ret, struct fault *f);
/* The value of Content-Type for a form. */
const char *wish_type(const struct wish *w);
/* Reads a body by its Content-Type (NULL: JSON); a new document. -1: 400 or 415. */
int body_read(const char *type, const char *body, size_t len, json_t **ret, struct fault *f);
/* Is the media type that one, parameters aside? */
bool media_is(const char *type, const char *media);
/* A document as YAML. */
struct strbuf;
void yaml_put(const json_t *doc, struct strbuf *out);
/* In the form that was wished for, or in JSON where its kind has no such form: then the wish says
 * so. */
void wish_put(struct wish *w, const json_t *doc, struct strbuf *out);
