/* Names of a reply on their way back to what the client asked for. */
#include "dns/plugins/rewrite.h"

#include <string.h>

char *owner_text(const struct query *q, const struct rrset *rr, char out[NAME_TEXT_MAX])
{
    return name_to_text(rr->owner ? rr->owner : q->msg.q.name.wire, out);
}

/* The name changed; false: it stays. What would be no name is left as it is. */
static bool map_name(const struct name_map *m, const char *text, struct name *ret)
{
    char out[NAME_TEXT_MAX];
    return name_map_apply(m, text, out) == MAP_DONE && name_from_text(out, ret) == 0;
}

static void map_owner(struct query *q, const struct name_map *m, struct rrset *rr)
{
    char text[NAME_TEXT_MAX];
    struct name name;
    if (map_name(m, owner_text(q, rr, text), &name))
        rr->owner = arena_memdup(&q->arena, name.wire, name.len);
}

static bool has_value(uint16_t type)
{
    return type == RR_CNAME || type == RR_DNAME || type == RR_SRV || type == RR_MX ||
           type == RR_NAPTR || type == RR_NS || type == RR_PTR || type == RR_SOA;
}

/* Where a record's first name stands. */
struct first {
    size_t off;
    bool found;
};

static void first_name(void *ctx, size_t off, bool compressible)
{
    struct first *f = ctx;
    (void)compressible;
    if (!f->found)
        *f = (struct first){ off, true };
}

/* Appends one record with its length in front. True: it was changed. */
static bool map_value(const struct name_map *m, uint16_t type, const uint8_t *rdata, size_t len,
                      struct wbuf *out)
{
    char text[NAME_TEXT_MAX];
    struct first f = { 0 };
    struct name name;
    rdata_each_name(type, rdata, len, first_name, &f);
    size_t old_len = f.found ? name_wire_len(rdata + f.off) : 0;
    if (!f.found || !map_name(m, name_to_text(rdata + f.off, text), &name)) {
        wbuf_u16(out, (uint16_t)len);
        wbuf_put(out, rdata, len);
        return false;
    }
    wbuf_u16(out, (uint16_t)(len - old_len + name.len));
    wbuf_put(out, rdata, f.off);
    wbuf_put(out, name.wire, name.len);
    wbuf_put(out, rdata + f.off + old_len, len - f.off - old_len);
    return true;
}

static void map_values(struct query *q, const struct name_map *m, struct rrset *rr)
{
    /* Each with its length in front, and with a name that may have grown. */
    size_t cap = rrset_bytes(rr) + (size_t)rr->count * (2 + NAME_MAX_WIRE);
    struct wbuf out = wbuf_of(arena_alloc(&q->arena, cap), cap);
    const uint8_t *at = rr->rdata;
    bool changed = false;
    for (uint16_t i = 0; i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        changed |= map_value(m, rr->type, rdata, len, &out);
    }
    if (!changed)
        return;
    rr->rdata = out.base;
    rr->rdlen = 0;
}

void answer_map_apply(struct query *q, const struct answer_map *m)
{
    for (int s = 0; s < SECTION_COUNT; s++) {
        struct rrset_list *l = &q->reply.section[s];
        for (uint16_t i = 0; i < l->n; i++) {
            if (m->owners)
                map_owner(q, &m->map, &l->items[i]);
            if (m->values && has_value(l->items[i].type))
                map_values(q, &m->map, &l->items[i]);
        }
    }
}
