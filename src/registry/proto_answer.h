/* Documents in protocol buffers, by the table of types: the bytes that the original gives for the
 * same object, which writes plain fields even when they are zero. What a document must not have by
 * its type is left out; what it lacks is zero. Sources: protobuf.dev, "Encoding"; Kubernetes API
 * concepts, "Kubernetes Protobuf encoding"; generated.proto of k8s.io/apimachinery. */
#pragma once

#include "registry/schema.h"

#include <jansson.h>
#include <stdbool.h>

struct strbuf;

#define PROTO_MEDIA "application/vnd.kubernetes.protobuf"

/* A message without its envelope. doc NULL: all of it is zero. */
void proto_message_put(const struct schema_type *t, const json_t *doc, struct strbuf *out);
/* An object, a list or a Status with its envelope. False: its kind has no such form. */
bool proto_document_put(const json_t *doc, struct strbuf *out);
/* The envelope around a message that is there already. */
void proto_envelope_put(const char *api_version, const char *kind, const struct strbuf *message,
                        struct strbuf *out);
/* A watch event as a frame of a stream: its length in four bytes, then what has happened and the
 * object with its envelope. */
void proto_event_put(const char *type, const char *object, size_t len, struct strbuf *out);
