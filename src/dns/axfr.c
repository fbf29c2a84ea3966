#include "dns/axfr.h"

#include "base/cleanup.h"
#include "wire/msg.h"

#define SOA_TIMES 20

/* What the head of a record says. */
struct head {
    struct name owner; /* lower case */
    uint16_t type, class, rdlen;
    uint32_t ttl;
};

void axfr_init(struct axfr *a, const uint8_t *origin, uint16_t id, zone_record_fn *record,
               void *ctx)
{
    a->origin = origin;
    a->id = id;
    a->record = record;
    a->ctx = ctx;
    a->serial = 0;
    a->records = a->bytes = 0;
    a->begun = a->whole = false;
}

struct soa_times soa_times_of(const uint8_t *rdata, size_t len)
{
    const uint8_t *p = rdata + len - SOA_TIMES;
    return (struct soa_times){ get_u32(p), get_u32(p + 4), get_u32(p + 8), get_u32(p + 12) };
}

static int malformed(struct err *e)
{
    return err_set(e, ERR_PARSE, "a message is malformed");
}

/* ---- a message's head ---- */

static int check_header(const struct axfr *a, uint16_t id, uint16_t flags, struct err *e)
{
    char rcode[16];
    if (id != a->id)
        return err_set(e, ERR_INVALID, "a message has another id than the question");
    if (!(flags & FLAG_QR) || flags_opcode(flags) != OPCODE_QUERY)
        return err_set(e, ERR_INVALID, "a message is not the response to a query");
    if ((flags & 15) != RCODE_NOERROR)
        return err_set(e, ERR_REFUSED, "the answer is %s", rcode_text(flags & 15, rcode));
    if (flags & FLAG_TC)
        return err_set(e, ERR_INVALID, "a message is truncated");
    return 0;
}

/* The question may be left out of all messages but the first (section 2.2.1); servers that leave
 * it out there, too, are understood. */
static int check_question(const struct axfr *a, struct cursor *c, unsigned n, struct err *e)
{
    struct name name;
    if (n == 0)
        return 0;
    if (n > 1 || name_parse(c, &name) < 0)
        return malformed(e);
    uint16_t type = cursor_u16(c), class = cursor_u16(c);
    if (c->bad)
        return malformed(e);
    if (!name_equal(name.wire, a->origin) || type != RR_AXFR || class != CLASS_IN)
        return err_set(e, ERR_INVALID, "a message answers another question");
    return 0;
}

/* ---- records ---- */

static bool read_head(struct cursor *c, struct head *h)
{
    if (name_parse(c, &h->owner) < 0)
        return false;
    name_lower(h->owner.wire, h->owner.wire, h->owner.len);
    h->type = cursor_u16(c);
    h->class = cursor_u16(c);
    h->ttl = cursor_u32(c);
    h->rdlen = cursor_u16(c);
    return !c->bad;
}

/* The zone's SOA opens and closes the transfer. *ret_emit: it is a record of the zone. */
static int take_soa(struct axfr *a, const struct head *h, size_t len, bool *ret_emit, struct err *e)
{
    if (!name_equal(h->owner.wire, a->origin))
        return err_set(e, ERR_INVALID, "there is a SOA record of another name");
    uint32_t serial = soa_times_of(a->rdata, len).serial;
    *ret_emit = !a->begun;
    if (!a->begun) {
        a->begun = true;
        a->serial = serial;
        return 0;
    }
    if (serial != a->serial)
        return err_set(e, ERR_INVALID,
                       "the zone changed meanwhile: it begins with serial %u and "
                       "ends with %u",
                       a->serial, serial);
    a->whole = true;
    return 0;
}

static int check_place(const struct axfr *a, const struct head *h, struct err *e)
{
    char type[16];
    if (a->whole)
        return err_set(e, ERR_INVALID, "there are records behind the closing SOA");
    if (!a->begun && h->type != RR_SOA)
        return err_set(e, ERR_INVALID, "it does not begin with the SOA of the zone");
    if (h->class != CLASS_IN)
        return err_set(e, ERR_INVALID, "there is a record of another class than IN");
    if (rr_type_is_meta(h->type))
        return err_set(e, ERR_INVALID, "there is a record of type %s, which no zone has",
                       rr_type_text(h->type, type));
    return 0;
}

static int take_record(struct axfr *a, struct cursor *c, struct err *e)
{
    struct head h;
    struct wbuf w = wbuf_of(a->rdata, sizeof a->rdata);
    bool emit = true;
    if (!read_head(c, &h))
        return malformed(e);
    int code = check_place(a, &h, e);
    if (code < 0)
        return code;
    if (rdata_expand(c, h.type, h.rdlen, &w) < 0 || w.bad)
        return malformed(e);
    if (h.type == RR_SOA)
        code = take_soa(a, &h, w.pos, &emit, e);
    if (code < 0 || !emit)
        return code;
    struct zone_record r = { .owner = h.owner.wire,
                             .rdata = a->rdata,
                             .ttl = h.ttl > ZONE_TTL_MAX ? 0 : h.ttl, /* RFC 2181 section 8 */
                             .type = h.type,
                             .rdlen = (uint16_t)w.pos };
    a->records++;
    return a->record(a->ctx, &r, e);
}

int axfr_message(struct axfr *a, const uint8_t *p, size_t len, struct err *e)
{
    struct cursor c = cursor_of(p, len);
    uint16_t id = cursor_u16(&c), flags = cursor_u16(&c);
    unsigned questions = cursor_u16(&c), answers = cursor_u16(&c);
    (void)cursor_u32(&c);
    if (c.bad)
        return malformed(e);
    a->bytes += len;
    if (a->bytes > AXFR_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "it has more than %u MiB", AXFR_BYTES_MAX >> 20);
    int code = check_header(a, id, flags, e);
    if (code == 0)
        code = check_question(a, &c, questions, e);
    for (unsigned i = 0; code == 0 && i < answers; i++)
        code = take_record(a, &c, e);
    return code < 0 ? code : a->whole;
}
