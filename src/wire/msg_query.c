/* The fast way to read a query: one pass, nothing allocated. The rules of acceptance are those that
 * clients of cluster DNS are used to: one question, at most one answer record (NOTIFY carries a
 * SOA), one authority record (IXFR carries a SOA) and two additional ones (OPT and TSIG). */
#include "wire/msg.h"
#include "wire/rdata_table.h"

#define QUERY_ANSWERS_MAX    1
#define QUERY_AUTHORITY_MAX  1
#define QUERY_ADDITIONAL_MAX 2

static bool read_opt(struct cursor *c, struct edns *ret_edns)
{
    struct edns e = { .present = true, .udp_size = cursor_u16(c) };
    uint32_t ttl = cursor_u32(c);
    e.version = (uint8_t)(ttl >> 16);
    e.do_bit = ttl >> 15 & 1;
    e.options_len = cursor_u16(c);
    size_t start = c->pos;
    if (e.options_len && !rdata_check(c, RR_OPT, e.options_len))
        return false;
    e.options = c->base + start;
    *ret_edns = e;
    return !c->bad;
}

static bool skip_owner(struct cursor *c)
{
    if (cursor_left(c) && c->base[c->pos] == 0)
        return cursor_take(c, 1);
    struct name n;
    return name_parse(c, &n) == 0;
}

/* edns: NULL where an OPT record means nothing. */
static bool read_record(struct cursor *c, struct edns *edns)
{
    if (!skip_owner(c))
        return false;
    uint16_t type = cursor_u16(c);
    if (type == RR_OPT && edns)
        return read_opt(c, edns);
    cursor_take(c, 6); /* class and TTL */
    uint16_t rdlen = cursor_u16(c);
    return !c->bad && rdata_check(c, type, rdlen);
}

static bool read_question(struct cursor *c, struct question *ret_q)
{
    if (name_parse_plain(c, &ret_q->name) != 0)
        return false;
    const uint8_t *p = cursor_take(c, 4);
    if (!p)
        return false;
    name_lower(ret_q->lower, ret_q->name.wire, ret_q->name.len);
    ret_q->type = get_u16(p);
    ret_q->class = get_u16(p + 2);
    return true;
}

static bool read_records(struct cursor *c, const unsigned n[SECTION_COUNT], struct query_msg *q)
{
    for (unsigned i = 0; i < n[SECTION_ANSWER]; i++) {
        if (!read_record(c, NULL))
            return false;
    }
    if (n[SECTION_AUTHORITY])
        q->authority_off = (uint16_t)c->pos;
    for (unsigned i = 0; i < n[SECTION_AUTHORITY]; i++) {
        if (!read_record(c, NULL))
            return false;
    }
    for (unsigned i = 0; i < n[SECTION_ADDITIONAL]; i++) {
        if (!read_record(c, &q->edns))
            return false;
    }
    return true;
}

enum query_form msg_parse_query(const uint8_t *p, size_t len, struct query_msg *ret_q)
{
    if (len < MSG_HEADER)
        return QUERY_DROP;
    ret_q->id = get_u16(p);
    ret_q->flags = get_u16(p + 2);
    if (ret_q->flags & FLAG_QR)
        return QUERY_DROP;
    unsigned opcode = flags_opcode(ret_q->flags);
    if (opcode != OPCODE_QUERY && opcode != OPCODE_NOTIFY)
        return QUERY_NOTIMP;
    unsigned n[SECTION_COUNT] = { get_u16(p + 6), get_u16(p + 8), get_u16(p + 10) };
    if (get_u16(p + 4) != 1 || n[SECTION_ANSWER] > QUERY_ANSWERS_MAX ||
        n[SECTION_AUTHORITY] > QUERY_AUTHORITY_MAX || n[SECTION_ADDITIONAL] > QUERY_ADDITIONAL_MAX)
        return QUERY_FORMERR;
    if (len == MSG_HEADER)
        return QUERY_EMPTY;
    ret_q->raw = p;
    ret_q->raw_len = ret_q->size = len;
    ret_q->authority_off = 0;
    ret_q->edns = (struct edns){ 0 };
    struct cursor c = { .base = p, .pos = MSG_HEADER, .len = len };
    if (!read_question(&c, &ret_q->q) || !read_records(&c, n, ret_q))
        return QUERY_FORMERR;
    return QUERY_OK;
}
