/* Bodies in protocol buffers, as client libraries send those of built-in kinds, read by the table
 * of types into the document that the same object in JSON would give. Source: protobuf.dev,
 * "Encoding"; Kubernetes API concepts, "Kubernetes Protobuf encoding". */
#pragma once

#include "registry/fault.h"

#include <jansson.h>
#include <stddef.h>

#define PROTO_BODY_DEPTH_MAX 64

/* With its envelope. -1: the fault is set (400). */
int proto_body_read(const void *p, size_t n, json_t **ret, struct fault *f);
