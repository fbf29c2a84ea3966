#include "explain/dns_packet.h"

#include "base/cleanup.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct payload {
    const uint8_t *bytes;
    size_t len;
};

/* Over TCP a message has its length in front. */
static struct payload message_of(const struct packet *p)
{
    struct payload m = { p->payload, p->payload_len };
    if (p->protocol == IPPROTO_TCP && m.len > 2) {
        size_t want = get_u16(m.bytes);
        m.bytes += 2;
        m.len = want <= m.len - 2 ? want : 0;
    }
    return m.len >= MSG_HEADER ? m : (struct payload){ NULL, 0 };
}

bool dns_packet_query(const struct packet *p, struct query_msg *ret)
{
    struct payload m = message_of(p);
    return m.bytes && msg_parse_query(m.bytes, m.len, ret) == QUERY_OK;
}

static void add_address(struct dns_answer *d, const uint8_t *data, size_t len)
{
    if (d->n_ips == DNS_PACKET_IPS)
        return;
    struct ip *ip = &d->ips[d->n_ips++];
    *ip = (struct ip){ .family = len == 4 ? 4 : 6 };
    memcpy(ip->bytes, data, len);
}

static void add_record(struct dns_answer *d, const struct rrset *rr, const uint8_t *data,
                       size_t len, struct strbuf *text)
{
    char type[16];
    strbuf_printf(text, "%s%s ", text->len ? ", " : "", rr_type_text(rr->type, type));
    rdata_to_text(rr->type, data, len, text);
    if (!d->n_records++)
        d->ttl = rr->ttl;
    if ((rr->type == RR_A && len == 4) || (rr->type == RR_AAAA && len == 16))
        add_address(d, data, len);
}

bool dns_packet_answer(const struct packet *p, struct arena *a, struct dns_answer *ret)
{
    struct payload bytes = message_of(p);
    cleanup(strbuf_done) struct strbuf text = { 0 };
    struct msg m;
    if (!bytes.bytes || msg_parse(bytes.bytes, bytes.len, a, &m) < 0 || !(m.flags & FLAG_QR))
        return false;
    struct dns_answer d = { .id = m.id, .rcode = m.rcode, .has_question = m.has_question };
    d.type = m.has_question ? m.q.type : 0;
    for (unsigned i = 0; i < m.section[SECTION_ANSWER].n; i++) {
        const struct rrset *rr = &m.section[SECTION_ANSWER].items[i];
        const uint8_t *at = rr->rdata;
        for (unsigned k = 0; k < rr->count; k++) {
            size_t len;
            const uint8_t *rdata = rrset_next(rr, &at, &len);
            add_record(&d, rr, rdata, len, &text);
        }
    }
    d.text = text.len ? arena_strdup(a, text.p) : "";
    *ret = d;
    return true;
}

const char *dns_packet_rcode(uint16_t rcode, unsigned n_records, char buf[24])
{
    char text[16];
    if (rcode == RCODE_NOERROR)
        return n_records ? "NOERROR" : "NODATA";
    (void)snprintf(buf, 24, "%s", rcode_text(rcode, text));
    return buf;
}
