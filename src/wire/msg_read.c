/* Reading whole messages into an arena. */
#include "base/cleanup.h"
#include "base/err.h"
#include "wire/msg.h"

#include <string.h>

/* Bytes that names inside one rdata may add when expanded: two names at most are compressed. */
#define EXPANSION_MAX (2 * NAME_MAX_WIRE)

/* All rdata of a message lies in one buffer that moves when it grows; until the end, an RRset's
 * rdata pointer is its offset in there. */
struct reader {
    struct cursor c;
    struct arena *arena;
    struct msg *msg;
    struct wbuf rdata;
    struct name owner;      /* of the record being read */
    uint16_t owner_pointer; /* the pointer that the owner was, or 0 */
};

struct record {
    uint16_t type, class;
    uint32_t ttl;
};

static void reserve(struct reader *r, size_t n)
{
    struct wbuf *w = &r->rdata;
    if (n <= w->cap - w->pos)
        return;
    size_t cap = MAX(2 * w->cap, w->pos + n + EXPANSION_MAX);
    uint8_t *p = arena_alloc(r->arena, cap);
    if (w->pos)
        memcpy(p, w->base, w->pos);
    w->base = p;
    w->cap = cap;
}

static uint16_t cell_size(uint16_t type)
{
    return type == RR_A ? 4 : type == RR_AAAA ? 16 : 0;
}

static bool read_cell(struct reader *r, uint16_t size, uint16_t rdlen)
{
    const uint8_t *p = cursor_take(&r->c, size);
    if (!p || rdlen != size)
        return false;
    reserve(r, size);
    wbuf_put(&r->rdata, p, size);
    return true;
}

static bool read_rdata(struct reader *r, uint16_t type, uint16_t rdlen)
{
    uint16_t cell = cell_size(type);
    if (cell)
        return read_cell(r, cell, rdlen);
    reserve(r, 2u + rdlen + EXPANSION_MAX);
    size_t at = r->rdata.pos, start = at + 2;
    wbuf_u16(&r->rdata, 0);
    if (rdata_expand(&r->c, type, rdlen, &r->rdata) != 0 || r->rdata.pos - start > UINT16_MAX)
        return false;
    put_u16(r->rdata.base + at, (uint16_t)(r->rdata.pos - start));
    return true;
}

static bool continues(const struct rrset *rr, const struct record *rec, const struct name *owner)
{
    return rr->type == rec->type && rr->class == rec->class && rr->ttl == rec->ttl &&
           name_wire_len(rr->owner) == owner->len &&
           memcmp(rr->owner, owner->wire, owner->len) == 0;
}

/* Owners are the same when they are so letter by letter, for then nothing is lost by joining. */
static void add_record(struct reader *r, struct rrset_list *l, const struct record *rec, size_t at)
{
    struct rrset *last = l->n ? &l->items[l->n - 1] : NULL;
    if (last && continues(last, rec, &r->owner)) {
        last->count++;
        return;
    }
    rrset_list_add(l, r->arena,
                   (struct rrset){
                       .owner = arena_memdup(r->arena, r->owner.wire, r->owner.len),
                       .rdata = (const uint8_t *)at,
                       .ttl = rec->ttl,
                       .type = rec->type,
                       .class = rec->class,
                       .count = 1,
                       .rdlen = cell_size(rec->type),
                   });
}

static bool read_opt(struct reader *r, const struct record *rec, uint16_t rdlen)
{
    struct msg *m = r->msg;
    struct wbuf none = wbuf_of(NULL, 0);
    size_t start = r->c.pos;
    uint8_t *copy = arena_alloc(r->arena, rdlen ? rdlen : 1u);
    struct wbuf out = rdlen ? wbuf_of(copy, rdlen) : none;
    if (rdlen && rdata_expand(&r->c, RR_OPT, rdlen, &out) != 0)
        return false;
    m->edns = (struct edns){
        .present = true,
        .do_bit = rec->ttl >> 15 & 1,
        .version = (uint8_t)(rec->ttl >> 16),
        .udp_size = rec->class,
        .options = copy,
        .options_len = rdlen,
    };
    m->rcode = (uint16_t)((m->flags & 15) | (rec->ttl >> 24) << 4);
    return r->c.pos - start == rdlen;
}

/* Records of one RRset mostly have the same pointer as their owner: it need not be followed again.
 */
static bool read_owner(struct reader *r)
{
    bool pointer = cursor_left(&r->c) >= 2 && r->c.base[r->c.pos] >= 0xc0;
    uint16_t value = pointer ? get_u16(r->c.base + r->c.pos) : 0;
    if (pointer && value == r->owner_pointer)
        return cursor_take(&r->c, 2);
    r->owner_pointer = value;
    return name_parse(&r->c, &r->owner) == 0;
}

static bool read_record(struct reader *r, enum section section)
{
    struct record rec;
    if (!read_owner(r))
        return false;
    rec.type = cursor_u16(&r->c);
    rec.class = cursor_u16(&r->c);
    rec.ttl = cursor_u32(&r->c);
    uint16_t rdlen = cursor_u16(&r->c);
    if (r->c.bad || rdlen > cursor_left(&r->c))
        return false;
    if (rec.type == RR_OPT && section == SECTION_ADDITIONAL)
        return read_opt(r, &rec, rdlen);
    size_t at = r->rdata.pos;
    if (!read_rdata(r, rec.type, rdlen))
        return false;
    add_record(r, &r->msg->section[section], &rec, at);
    return true;
}

static bool read_question(struct reader *r)
{
    struct question *q = &r->msg->q;
    if (name_parse(&r->c, &q->name) != 0)
        return false;
    name_lower(q->lower, q->name.wire, q->name.len);
    q->type = cursor_u16(&r->c);
    q->class = cursor_u16(&r->c);
    r->msg->has_question = true;
    return !r->c.bad;
}

static void settle_pointers(struct reader *r)
{
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        struct rrset_list *l = &r->msg->section[s];
        for (unsigned i = 0; i < l->n; i++)
            l->items[i].rdata = r->rdata.base + (uintptr_t)l->items[i].rdata;
    }
}

static bool read_all(struct reader *r)
{
    struct msg *m = r->msg;
    uint16_t n[SECTION_COUNT], questions;
    m->id = cursor_u16(&r->c);
    m->flags = cursor_u16(&r->c);
    m->rcode = m->flags & 15;
    questions = cursor_u16(&r->c);
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        n[s] = cursor_u16(&r->c);
    if (r->c.bad || questions > 1 || (questions && !read_question(r)))
        return false;
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        for (unsigned i = 0; i < n[s]; i++) {
            if (!read_record(r, (enum section)s))
                return false;
        }
    }
    settle_pointers(r);
    return true;
}

int msg_parse(const uint8_t *p, size_t len, struct arena *a, struct msg *ret_msg)
{
    struct msg m = { 0 };
    struct reader r;
    r.c = cursor_of(p, len);
    r.arena = a;
    r.msg = &m;
    r.rdata = wbuf_of(NULL, 0);
    r.owner_pointer = 0; /* and r.owner is not set: no need to clear it */
    if (!read_all(&r))
        return ERR_PARSE;
    *ret_msg = m;
    return 0;
}
