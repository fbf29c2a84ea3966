/* Writing protocol buffers field by field. Source: protobuf.dev, "Encoding". */
#pragma once

#include "base/str.h"

#include <stdint.h>

void proto_put_varint(struct strbuf *b, uint64_t n);
/* Fields. */
void proto_put_number(struct strbuf *b, uint32_t field, uint64_t n);
void proto_put_bytes(struct strbuf *b, uint32_t field, const void *p, size_t n);
void proto_put_text(struct strbuf *b, uint32_t field, const char *text); /* NULL: nothing */
/* A message as a field; it is done with. */
void proto_put_message(struct strbuf *b, uint32_t field, struct strbuf *message);
