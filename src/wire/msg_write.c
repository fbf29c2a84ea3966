/* Writing messages. The common answer, addresses under the question's own name, is a row of cells
 * of equal size and takes no look-up at all; the compression dictionary is made only when a name
 * other than the question's may be written. */
#include "base/arena.h"
#include "base/cleanup.h"
#include "wire/dict.h"
#include "wire/msg.h"
#include "wire/rdata_table.h"

#include <string.h>

#define OPT_FIXED   11 /* root name, type, size, extended rcode and flags, length */
#define CELL_FIXED  12 /* pointer, type, class, TTL, length */
#define NO_POINTER  0u
#define SOA_NUMBERS 20 /* bytes behind its names */

struct encoder {
    struct wbuf w;     /* ends where the OPT record must begin at the latest */
    struct dict *dict; /* NULL: no name but the question's is written */
    unsigned question; /* offset of the question's name; NO_POINTER: it is the root */
};

static size_t opt_len(const struct edns *e)
{
    return e->present ? OPT_FIXED + (size_t)e->options_len : 0;
}

static void put_opt(struct wbuf *w, const struct edns *e, uint16_t rcode)
{
    wbuf_u8(w, 0);
    wbuf_u16(w, RR_OPT);
    wbuf_u16(w, e->udp_size);
    wbuf_u8(w, (uint8_t)(rcode >> 4));
    wbuf_u8(w, e->version);
    wbuf_u16(w, e->do_bit ? 0x8000 : 0);
    wbuf_u16(w, e->options_len);
    wbuf_put(w, e->options, e->options_len);
}

/* Without an OPT record an extended rcode cannot be told; a failure it is all the same. */
static uint16_t header_flags(const struct reply *r, bool opt, bool tc)
{
    unsigned rcode = r->rcode > 15 && !opt ? RCODE_SERVFAIL : r->rcode & 15u;
    return (uint16_t)((r->flags & ~(FLAG_TC | 15u)) | (tc ? FLAG_TC : 0u) | rcode);
}

static bool wants_dict(const struct reply *r)
{
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        const struct rrset *rr = r->section[s].items;
        for (unsigned i = 0; i < r->section[s].n; i++, rr++) {
            if (rr->owner || rr_row(rr->type)->names == NAMES_COMPRESSED)
                return true;
        }
    }
    return false;
}

/* Rdata, its names compressed where that is allowed and all of them noted as targets. */
static void put_rdata(struct encoder *e, uint16_t type, const uint8_t *rdata, size_t len)
{
    size_t at = e->w.pos, done = 0, off = 0;
    bool compress;
    wbuf_u16(&e->w, (uint16_t)len);
    if (e->dict && rr_row(type)->names != NAMES_NONE) {
        struct rdata_names it = rdata_names_of(type, rdata, len);
        while (rdata_names_next(&it, &off, &compress)) {
            wbuf_put(&e->w, rdata + done, off - done);
            (void)dict_put_name(e->dict, &e->w, rdata + off, compress);
            done = it.c.pos;
        }
    }
    wbuf_put(&e->w, rdata + done, len - done);
    if (!e->w.bad)
        put_u16(e->w.base + at, (uint16_t)(e->w.pos - at - 2));
}

/* Returns the offset under which the owner can be pointed at from now on, or NO_POINTER. */
static unsigned put_owner(struct encoder *e, const uint8_t *owner, unsigned known)
{
    if (known != NO_POINTER) {
        wbuf_u16(&e->w, (uint16_t)(0xc000 | known));
        return known;
    }
    if (owner)
        return dict_put_name(e->dict, &e->w, owner, true);
    wbuf_u8(&e->w, 0); /* the question's name, which is the root */
    return NO_POINTER;
}

/* One record, or nothing of it. *known: the owner's offset, NO_POINTER before the first record. */
static bool put_record(struct encoder *e, const struct rrset *rr, const uint8_t *rdata, size_t len,
                       unsigned *known)
{
    size_t start = e->w.pos;
    unsigned owner = put_owner(e, rr->owner, *known);
    wbuf_u16(&e->w, rr->type);
    wbuf_u16(&e->w, rr->class);
    wbuf_u32(&e->w, rr->ttl);
    put_rdata(e, rr->type, rdata, len);
    if (e->w.bad) {
        e->w.bad = false;
        e->w.pos = start;
        return false;
    }
    *known = owner;
    return true;
}

/* `size` is a constant in each call, so that the copies become single moves. */
static inline __attribute__((always_inline)) void fill_cells(uint8_t *p, const uint8_t *head,
                                                             const uint8_t *rdata, size_t n,
                                                             size_t size)
{
    for (; n; n--, p += CELL_FIXED + size, rdata += size) {
        memcpy(p, head, CELL_FIXED);
        memcpy(p + CELL_FIXED, rdata, size);
    }
}

/* What stands before the rdata when the owner is a pointer. */
static inline void put_head(uint8_t *p, const struct rrset *rr, unsigned owner, uint16_t rdlen)
{
    put_u16(p, (uint16_t)(0xc000 | owner));
    put_u16(p + 2, rr->type);
    put_u16(p + 4, rr->class);
    put_u32(p + 6, rr->ttl);
    put_u16(p + 10, rdlen);
}

/* n records of equal size whose owner is a pointer. Returns how many were written. */
static unsigned put_cells(struct encoder *e, const struct rrset *rr, const uint8_t *rdata,
                          unsigned n, unsigned owner)
{
    uint8_t head[CELL_FIXED];
    put_head(head, rr, owner, rr->rdlen);
    size_t fit = (e->w.cap - e->w.pos) / (CELL_FIXED + (size_t)rr->rdlen);
    n = (unsigned)MIN(n, fit);
    uint8_t *p = wbuf_take(&e->w, n * (CELL_FIXED + (size_t)rr->rdlen));
    if (rr->rdlen == 4)
        fill_cells(p, head, rdata, n, 4);
    else if (rr->rdlen == 16)
        fill_cells(p, head, rdata, n, 16);
    else
        fill_cells(p, head, rdata, n, rr->rdlen);
    return n;
}

static bool is_cell(const struct encoder *e, const struct rrset *rr)
{
    return rr->rdlen && (!e->dict || rr_row(rr->type)->names == NAMES_NONE);
}

/* Returns how many of the RRset's records were written. */
static unsigned put_rrset(struct encoder *e, const struct rrset *rr)
{
    const uint8_t *at = rr->rdata;
    unsigned known = rr->owner ? NO_POINTER : e->question;
    for (unsigned i = 0; i < rr->count; i++) {
        if (known != NO_POINTER && is_cell(e, rr))
            return i + put_cells(e, rr, at, rr->count - i, known);
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        if (!put_record(e, rr, rdata, len, &known))
            return i;
    }
    return rr->count;
}

/* Writes the sections in order; counts go to the header. False: something did not fit. */
static bool put_sections(struct encoder *e, const struct reply *r)
{
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        const struct rrset *rr = r->section[s].items;
        unsigned n = 0;
        bool whole = true;
        for (unsigned i = 0; i < r->section[s].n && whole; i++, rr++) {
            unsigned put = put_rrset(e, rr);
            n += put;
            whole = put == rr->count;
        }
        put_u16(e->w.base + 6 + 2 * s, (uint16_t)n);
        if (!whole)
            return false;
    }
    return true;
}

/* ---- denials ---- */

/* The place in the question's name where `name` begins, when it is an end of it letter by letter;
 * -1: it is none. */
static int end_of_question(const struct name *question, const uint8_t *name, size_t *ret_len)
{
    unsigned n = 0, len = 0;
    for (; name[len]; len += 1u + name[len])
        n++;
    *ret_len = ++len;
    if (n == 0 || n > question->n_labels)
        return -1;
    unsigned off = question->off[question->n_labels - n];
    return question->len - off == len && memcmp(question->wire + off, name, len) == 0 ? (int)off
                                                                                      : -1;
}

/* The bytes of a name of len bytes in front of its end `tail`; -1: it does not end so. */
static int front_of(const uint8_t *name, size_t len, const uint8_t *tail, size_t tail_len)
{
    size_t at = 0;
    while (len - at > tail_len)
        at += 1u + name[at];
    return len - at == tail_len && memcmp(name + at, tail, tail_len) == 0 ? (int)at : -1;
}

/* A name that ends like the owner: its own labels and a pointer. Returns what lies behind it in the
 * rdata; NULL: it ends otherwise, or there is no room. */
static const uint8_t *put_below(struct wbuf *w, const uint8_t *name, unsigned owner_at,
                                const uint8_t *owner, size_t owner_len)
{
    size_t len = name_wire_len(name);
    int front = front_of(name, len, owner, owner_len);
    uint8_t *out = front < 0 ? NULL : wbuf_take(w, (size_t)front + 2);
    if (!out)
        return NULL;
    memcpy(out, name, (size_t)front);
    put_u16(out + front, (uint16_t)(0xc000 | owner_at));
    return name + len;
}

/* Nothing but the SOA record of a zone that the question lies in, whose own names lie there, too:
 * half of all that a cluster asks is answered so, and it takes no dictionary. False: it is
 * something else, and nothing was written. */
static bool put_denial(struct encoder *e, const struct reply *r)
{
    const struct rrset *rr = r->section[SECTION_AUTHORITY].items;
    size_t start = e->w.pos, owner_len;
    if (r->section[SECTION_ANSWER].n || r->section[SECTION_AUTHORITY].n != 1 ||
        r->section[SECTION_ADDITIONAL].n || rr->type != RR_SOA || rr->count != 1 || rr->rdlen ||
        !rr->owner)
        return false;
    int off = end_of_question(&r->q->name, rr->owner, &owner_len);
    uint8_t *head = off < 0 ? NULL : wbuf_take(&e->w, CELL_FIXED);
    unsigned at = MSG_HEADER + (unsigned)off;
    const uint8_t *p = head ? put_below(&e->w, rr->rdata + 2, at, rr->owner, owner_len) : NULL;
    p = p ? put_below(&e->w, p, at, rr->owner, owner_len) : NULL;
    uint8_t *numbers = p ? wbuf_take(&e->w, SOA_NUMBERS) : NULL;
    if (!numbers) {
        e->w.pos = start;
        e->w.bad = false;
        return false;
    }
    memcpy(numbers, p, SOA_NUMBERS);
    put_head(head, rr, at, (uint16_t)(e->w.pos - start - CELL_FIXED));
    put_u16(e->w.base + 8, 1);
    return true;
}

/* ---- messages ---- */

static void put_question(struct encoder *e, const struct question *q)
{
    wbuf_put(&e->w, q->name.wire, q->name.len);
    wbuf_u16(&e->w, q->type);
    wbuf_u16(&e->w, q->class);
    put_u16(e->w.base + 4, 1);
    e->question = q->name.len > 1 ? MSG_HEADER : NO_POINTER;
}

/* The sections with a dictionary; a function of its own because only here the stack is needed. */
static __attribute__((noinline)) bool put_with_dict(struct encoder *e, const struct reply *r)
{
    struct dict dict;
    dict_init(&dict);
    dict_add_name(&dict, &r->q->name, MSG_HEADER);
    e->dict = &dict;
    bool whole = put_sections(e, r);
    e->dict = NULL;
    return whole;
}

size_t msg_encode(const struct reply *r, uint8_t *out, size_t limit)
{
    struct edns edns = r->edns;
    limit = MIN(limit, (size_t)MSG_MAX);
    size_t question_len = r->q ? r->q->name.len + 4u : 0;
    if (limit < MSG_HEADER)
        return 0;
    if (MSG_HEADER + question_len + opt_len(&edns) > limit)
        edns.options_len = 0; /* rather than none of it: options are a courtesy */
    if (MSG_HEADER + opt_len(&edns) > limit)
        edns.present = false;
    struct encoder e = { .w = wbuf_of(out, limit - opt_len(&edns)) };
    memset(wbuf_take(&e.w, MSG_HEADER), 0, MSG_HEADER);
    bool whole = MSG_HEADER + question_len + opt_len(&edns) <= limit;
    if (r->q && whole) {
        put_question(&e, r->q);
        if (!put_denial(&e, r))
            whole = wants_dict(r) ? put_with_dict(&e, r) : put_sections(&e, r);
    }
    put_u16(out, r->id);
    put_u16(out + 2, header_flags(r, edns.present, r->tc || !whole));
    e.w.cap = limit;
    if (edns.present) {
        put_opt(&e.w, &edns, r->rcode);
        put_u16(out + 10, (uint16_t)(get_u16(out + 10) + 1));
    }
    return e.w.pos;
}

size_t msg_encode_query(uint8_t *out, uint16_t id, const uint8_t *qname, uint16_t qtype,
                        uint16_t udp_size)
{
    struct wbuf w = wbuf_of(out, NAME_MAX_WIRE + 32);
    struct edns edns = { .present = udp_size > 0, .udp_size = udp_size };
    wbuf_u16(&w, id);
    wbuf_u16(&w, FLAG_RD);
    wbuf_u16(&w, 1);
    wbuf_u32(&w, 0);
    wbuf_u16(&w, edns.present);
    wbuf_put(&w, qname, name_wire_len(qname));
    wbuf_u16(&w, qtype);
    wbuf_u16(&w, CLASS_IN);
    if (edns.present)
        put_opt(&w, &edns, 0);
    return w.pos;
}

void rrset_list_add(struct rrset_list *l, struct arena *a, struct rrset rr)
{
    if (l->n == UINT16_MAX)
        return;
    if (l->n == l->capacity) {
        unsigned capacity = l->capacity ? MIN(2u * l->capacity, (unsigned)UINT16_MAX) : 4;
        struct rrset *items = arena_alloc(a, capacity * sizeof *items);
        if (l->n)
            memcpy(items, l->items, l->n * sizeof *items);
        l->items = items;
        l->capacity = (uint16_t)capacity;
    }
    l->items[l->n++] = rr;
}
