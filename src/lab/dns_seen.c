#include "lab/dns_seen.h"

#include "base/str.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define DNS_PORT 53

struct payload {
    const uint8_t *bytes;
    size_t len;
};

/* The message of a packet to or from port 53; over TCP it has its length in front. */
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

static void add_query(struct observer *o, struct dns_seen_list *l, const struct packet *p)
{
    struct payload m = message_of(p);
    struct query_msg q;
    char text[NAME_TEXT_MAX];
    if (!m.bytes || msg_parse_query(m.bytes, m.len, &q) != QUERY_OK)
        return;
    vec_push(&l->items,
             (struct dns_seen){ .asked_ns = p->time_ns,
                                .server = p->to,
                                .client_port = p->from_port,
                                .id = q.id,
                                .type = q.q.type,
                                .tcp = p->protocol == IPPROTO_TCP,
                                .name = arena_strdup(&o->arena, name_to_text(q.q.name.wire, text)),
                                .answer = "" });
}

/* The latest that it may answer: a query that is sent again has the same number. */
static struct dns_seen *query_of(struct dns_seen_list *l, const struct packet *p,
                                 const struct msg *m)
{
    for (size_t i = l->items.n; i-- > 0;) {
        struct dns_seen *q = &l->items.items[i];
        if (!q->answered_ns && q->id == m->id && q->client_port == p->to_port &&
            ip_equal(&q->server, &p->from) && (!m->has_question || m->q.type == q->type))
            return q;
    }
    return NULL;
}

static void read_record(struct dns_seen *q, const struct rrset *rr, const uint8_t *data, size_t len,
                        struct strbuf *out)
{
    char type[16];
    strbuf_printf(out, "%s%s ", out->len ? ", " : "", rr_type_text(rr->type, type));
    rdata_to_text(rr->type, data, len, out);
    if (!q->n_answers++)
        q->ttl = rr->ttl;
    bool address = (rr->type == RR_A && len == 4) || (rr->type == RR_AAAA && len == 16);
    if (address && !q->address.family) {
        q->address.family = len == 4 ? 4 : 6;
        memcpy(q->address.bytes, data, len);
    }
}

static void add_answer(struct observer *o, struct dns_seen_list *l, const struct packet *p)
{
    struct payload bytes = message_of(p);
    struct msg m;
    struct strbuf text = { 0 };
    if (!bytes.bytes || msg_parse(bytes.bytes, bytes.len, &o->arena, &m) < 0)
        return;
    struct dns_seen *q = query_of(l, p, &m);
    if (!q)
        return;
    q->answered_ns = p->time_ns;
    q->rcode = m.rcode;
    for (unsigned i = 0; i < m.section[SECTION_ANSWER].n; i++) {
        const struct rrset *rr = &m.section[SECTION_ANSWER].items[i];
        const uint8_t *at = rr->rdata;
        for (unsigned k = 0; k < rr->count; k++) {
            size_t len;
            const uint8_t *rdata = rrset_next(rr, &at, &len);
            read_record(q, rr, rdata, len, &text);
        }
    }
    if (text.len)
        q->answer = arena_strdup(&o->arena, text.p);
    strbuf_done(&text);
}

void dns_seen_read(struct observer *o, struct dns_seen_list *ret)
{
    *ret = (struct dns_seen_list){ 0 };
    for (size_t i = 0; i < o->packets.n; i++) {
        const struct packet *p = &o->packets.items[i].packet;
        if (o->packets.items[i].pod != o->client || !p->payload_len)
            continue;
        if (p->outgoing && p->to_port == DNS_PORT)
            add_query(o, ret, p);
        else if (!p->outgoing && p->from_port == DNS_PORT)
            add_answer(o, ret, p);
    }
}

void dns_seen_done(struct dns_seen_list *l)
{
    vec_done(&l->items);
}

const struct dns_seen *dns_seen_winner(const struct dns_seen_list *l, bool any)
{
    for (size_t i = 0; i < l->items.n; i++) {
        const struct dns_seen *q = &l->items.items[i];
        if (q->address.family || (any && q->n_answers))
            return q;
    }
    return NULL;
}

const char *dns_seen_rcode(const struct dns_seen *q, char buf[24])
{
    char text[16];
    if (!q->answered_ns)
        return "no answer";
    if (q->rcode == RCODE_NOERROR)
        return q->n_answers ? "NOERROR" : "NODATA";
    snprintf(buf, 24, "%s", rcode_text(q->rcode, text));
    return buf;
}
