#include "registry/proto_put.h"

#include <string.h>

enum wire { WIRE_VARINT, WIRE_BYTES = 2 };

void proto_put_varint(struct strbuf *b, uint64_t n)
{
    while (n > 0x7f) {
        strbuf_putc(b, (char)(n | 0x80));
        n >>= 7;
    }
    strbuf_putc(b, (char)n);
}

void proto_put_number(struct strbuf *b, uint32_t field, uint64_t n)
{
    proto_put_varint(b, (uint64_t)field << 3 | WIRE_VARINT);
    proto_put_varint(b, n);
}

void proto_put_bytes(struct strbuf *b, uint32_t field, const void *p, size_t n)
{
    proto_put_varint(b, (uint64_t)field << 3 | WIRE_BYTES);
    proto_put_varint(b, n);
    if (n)
        strbuf_add(b, p, n);
}

void proto_put_text(struct strbuf *b, uint32_t field, const char *text)
{
    if (text)
        proto_put_bytes(b, field, text, strlen(text));
}

void proto_put_message(struct strbuf *b, uint32_t field, struct strbuf *message)
{
    proto_put_bytes(b, field, message->p, message->len);
    strbuf_done(message);
}
