#include "dns/plugins/dnstap_message.h"

#define PART_MAX  128 /* of a message: the fields before or behind a DNS message */
#define FIXED_MAX 384 /* all that is neither a DNS message nor a text */
#define SECOND_NS 1000000000LL

/* Numbers of the fields in dnstap.proto. */
enum { DNSTAP_IDENTITY = 1, DNSTAP_VERSION, DNSTAP_EXTRA, DNSTAP_MESSAGE = 14, DNSTAP_TYPE };
enum {
    MESSAGE_TYPE = 1,
    MESSAGE_SOCKET_FAMILY,
    MESSAGE_SOCKET_PROTOCOL,
    MESSAGE_QUERY_ADDRESS,
    MESSAGE_RESPONSE_ADDRESS,
    MESSAGE_QUERY_PORT,
    MESSAGE_RESPONSE_PORT,
    MESSAGE_QUERY_TIME_SEC,
    MESSAGE_QUERY_TIME_NSEC,
    MESSAGE_QUERY_MESSAGE,
    MESSAGE_RESPONSE_TIME_SEC = 12,
    MESSAGE_RESPONSE_TIME_NSEC,
    MESSAGE_RESPONSE_MESSAGE,
};
enum { WIRE_VARINT, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- protocol buffers ---- */

static void put_varint(struct wbuf *w, uint64_t v)
{
    for (; v > 127; v >>= 7)
        wbuf_u8(w, (uint8_t)(v | 128));
    wbuf_u8(w, (uint8_t)v);
}

static void put_number(struct wbuf *w, unsigned field, uint64_t v)
{
    put_varint(w, field << 3 | WIRE_VARINT);
    put_varint(w, v);
}

static void put_fixed32(struct wbuf *w, unsigned field, uint32_t v)
{
    put_varint(w, field << 3 | WIRE_FIXED32);
    for (int shift = 0; shift < 32; shift += 8)
        wbuf_u8(w, (uint8_t)(v >> shift));
}

static void put_bytes_head(struct wbuf *w, unsigned field, size_t len)
{
    put_varint(w, field << 3 | WIRE_BYTES);
    put_varint(w, len);
}

/* Nothing is written of what is empty. */
static void put_bytes(struct wbuf *w, unsigned field, struct tap_bytes b)
{
    if (!b.len)
        return;
    put_bytes_head(w, field, b.len);
    wbuf_put(w, b.p, b.len);
}

static size_t bytes_size(unsigned field, struct tap_bytes b)
{
    uint8_t head[16];
    struct wbuf w = wbuf_of(head, sizeof head);
    if (!b.len)
        return 0;
    put_bytes_head(&w, field, b.len);
    return w.pos + b.len;
}

/* ---- dnstap ---- */

static void put_time(struct wbuf *w, unsigned field, int64_t ns)
{
    if (!ns)
        return;
    put_number(w, field, (uint64_t)(ns / SECOND_NS));
    put_fixed32(w, field + 1, (uint32_t)(ns % SECOND_NS));
}

static struct tap_bytes address(const struct ip *ip)
{
    return (struct tap_bytes){ ip->bytes, ip_len(ip) };
}

static void put_head(struct wbuf *w, const struct tap_message *m)
{
    const struct ip *ip = m->query.family ? &m->query : &m->response;
    put_number(w, MESSAGE_TYPE, m->type);
    put_number(w, MESSAGE_SOCKET_FAMILY, ip->family == 6 ? 2 : 1);
    put_number(w, MESSAGE_SOCKET_PROTOCOL, m->tcp ? 2 : 1);
    put_bytes(w, MESSAGE_QUERY_ADDRESS, address(&m->query));
    put_bytes(w, MESSAGE_RESPONSE_ADDRESS, address(&m->response));
    if (m->query.family)
        put_number(w, MESSAGE_QUERY_PORT, m->query_port);
    if (m->response.family)
        put_number(w, MESSAGE_RESPONSE_PORT, m->response_port);
    put_time(w, MESSAGE_QUERY_TIME_SEC, m->query_ns);
}

size_t tap_message_room(const struct tap_message *m)
{
    return FIXED_MAX + m->identity.len + m->version.len + m->extra.len + m->query_msg.len +
           m->response_msg.len;
}

size_t tap_message_write(const struct tap_message *m, uint8_t *out)
{
    uint8_t head_bytes[PART_MAX], tail_bytes[PART_MAX];
    struct wbuf head = wbuf_of(head_bytes, sizeof head_bytes);
    struct wbuf tail = wbuf_of(tail_bytes, sizeof tail_bytes);
    struct wbuf w = wbuf_of(out, tap_message_room(m));
    put_head(&head, m);
    put_time(&tail, MESSAGE_RESPONSE_TIME_SEC, m->response_ns);
    put_bytes(&w, DNSTAP_IDENTITY, m->identity);
    put_bytes(&w, DNSTAP_VERSION, m->version);
    put_bytes(&w, DNSTAP_EXTRA, m->extra);
    put_bytes_head(&w, DNSTAP_MESSAGE,
                   head.pos + bytes_size(MESSAGE_QUERY_MESSAGE, m->query_msg) + tail.pos +
                       bytes_size(MESSAGE_RESPONSE_MESSAGE, m->response_msg));
    wbuf_put(&w, head.base, head.pos);
    put_bytes(&w, MESSAGE_QUERY_MESSAGE, m->query_msg);
    wbuf_put(&w, tail.base, tail.pos);
    put_bytes(&w, MESSAGE_RESPONSE_MESSAGE, m->response_msg);
    put_number(&w, DNSTAP_TYPE, 1);
    return w.pos;
}
