/* A message in the text form that people know from dig. */
#include "base/cleanup.h"
#include "wire/msg.h"
#include "wire/radix.h"
#include "wire/words.h"

#include <stdio.h>

static const char *opcode_text(unsigned opcode, char buf[16])
{
    static const char *const names[] = { "QUERY", "IQUERY", "STATUS", NULL, "NOTIFY", "UPDATE" };
    if (opcode < ARRAY_SIZE(names) && names[opcode])
        return names[opcode];
    snprintf(buf, 16, "OPCODE%u", opcode);
    return buf;
}

static void put_flags(struct strbuf *out, uint16_t flags)
{
    static const struct {
        uint16_t bit;
        const char *name;
    } names[] = {
        { FLAG_QR, "qr" }, { FLAG_AA, "aa" }, { FLAG_TC, "tc" }, { FLAG_RD, "rd" },
        { FLAG_RA, "ra" }, { FLAG_Z, "z" },   { FLAG_AD, "ad" }, { FLAG_CD, "cd" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (flags & names[i].bit)
            strbuf_printf(out, " %s", names[i].name);
    }
}

static unsigned count_records(const struct rrset_list *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->n; i++)
        n += l->items[i].count;
    return n;
}

static void put_header(const struct msg *m, struct strbuf *out)
{
    char opcode[16], rcode[16];
    strbuf_printf(out, ";; ->>HEADER<<- opcode: %s, status: %s, id: %u\n;; flags:",
                  opcode_text(flags_opcode(m->flags), opcode), rcode_text(m->rcode, rcode), m->id);
    put_flags(out, m->flags);
    strbuf_printf(out, "; QUERY: %d, ANSWER: %u, AUTHORITY: %u, ADDITIONAL: %u\n", m->has_question,
                  count_records(&m->section[SECTION_ANSWER]),
                  count_records(&m->section[SECTION_AUTHORITY]),
                  count_records(&m->section[SECTION_ADDITIONAL]) + m->edns.present);
}

static void put_option(struct strbuf *out, uint16_t code, const uint8_t *p, uint16_t len)
{
    static const struct {
        uint16_t code;
        const char *name;
    } names[] = {
        { EDNS_NSID, "NSID" },     { EDNS_SUBNET, "CLIENT-SUBNET" },    { EDNS_EXPIRE, "EXPIRE" },
        { EDNS_COOKIE, "COOKIE" }, { EDNS_KEEPALIVE, "TCP-KEEPALIVE" }, { EDNS_PADDING, "PADDING" },
        { EDNS_EDE, "EDE" },
    };
    size_t i = 0;
    while (i < ARRAY_SIZE(names) && names[i].code != code)
        i++;
    if (i < ARRAY_SIZE(names))
        strbuf_printf(out, "; %s:", names[i].name);
    else
        strbuf_printf(out, "; OPT=%u:", code);
    if (len)
        strbuf_putc(out, ' ');
    if (code == EDNS_PADDING) {
        strbuf_printf(out, "(%u bytes)", len);
    } else if (code == EDNS_EDE && len >= 2) {
        strbuf_printf(out, "%u ", get_u16(p));
        text_quote(out, p + 2, len - 2u);
    } else {
        radix_put(out, &radix_lower_hex, p, len);
    }
    strbuf_putc(out, '\n');
}

static void put_edns(const struct edns *e, struct strbuf *out)
{
    struct cursor c = cursor_of(e->options, e->options_len);
    strbuf_printf(out, "\n;; OPT PSEUDOSECTION:\n; EDNS: version: %u, flags:%s; udp: %u\n",
                  e->version, e->do_bit ? " do" : "", e->udp_size);
    while (cursor_left(&c) && !c.bad) {
        uint16_t code = cursor_u16(&c), len = cursor_u16(&c);
        const uint8_t *p = cursor_take(&c, len);
        if (p)
            put_option(out, code, p, len);
    }
}

static void put_question(const struct question *q, struct strbuf *out)
{
    char name[NAME_TEXT_MAX], class[16], type[16];
    strbuf_printf(out, "\n;; QUESTION SECTION:\n;%s\t%s\t%s\n", name_to_text(q->name.wire, name),
                  rr_class_text(q->class, class), rr_type_text(q->type, type));
}

static void put_rrset(const struct rrset *rr, const struct msg *m, struct strbuf *out)
{
    const uint8_t *at = rr->rdata;
    const uint8_t *owner = rr->owner ? rr->owner : m->q.name.wire;
    for (unsigned i = 0; i < rr->count; i++) {
        size_t len;
        const uint8_t *rdata = rrset_next(rr, &at, &len);
        rr_to_text(owner, rr->ttl, rr->class, rr->type, rdata, len, out);
        strbuf_putc(out, '\n');
    }
}

void msg_to_text(const struct msg *m, struct strbuf *out)
{
    static const char *const titles[SECTION_COUNT] = { "ANSWER", "AUTHORITY", "ADDITIONAL" };
    put_header(m, out);
    if (m->edns.present)
        put_edns(&m->edns, out);
    if (m->has_question)
        put_question(&m->q, out);
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        if (m->section[s].n)
            strbuf_printf(out, "\n;; %s SECTION:\n", titles[s]);
        for (unsigned i = 0; i < m->section[s].n; i++)
            put_rrset(&m->section[s].items[i], m, out);
    }
}
