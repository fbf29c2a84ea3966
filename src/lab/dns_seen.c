#include "lab/dns_seen.h"

#include "base/str.h"
#include "explain/dns_packet.h"

#include <netinet/in.h>

static void add_query(struct observer *o, struct dns_seen_list *l, const struct packet *p)
{
    struct query_msg q;
    char text[NAME_TEXT_MAX];
    if (!dns_packet_query(p, &q))
        return;
    vec_push(&l->items,
             (struct dns_seen){ .asked_ns = p->time_ns,
                                .client = p->from,
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
                                 const struct dns_answer *d)
{
    for (size_t i = l->items.n; i-- > 0;) {
        struct dns_seen *q = &l->items.items[i];
        if (!q->answered_ns && q->id == d->id && q->client_port == p->to_port &&
            ip_equal(&q->server, &p->from) && (!d->has_question || d->type == q->type))
            return q;
    }
    return NULL;
}

static void add_answer(struct observer *o, struct dns_seen_list *l, const struct packet *p)
{
    struct dns_answer d;
    struct dns_seen *q = dns_packet_answer(p, &o->arena, &d) ? query_of(l, p, &d) : NULL;
    if (!q)
        return;
    q->answered_ns = p->time_ns;
    q->rcode = d.rcode;
    q->n_answers = d.n_records;
    q->ttl = d.ttl;
    q->answer = d.text;
    if (d.n_ips)
        q->address = d.ips[0];
}

static bool is_meant(const struct dns_ports *ports, uint16_t port)
{
    for (size_t i = 0; ports && i < ports->items.n; i++)
        if (ports->items.items[i] == port)
            return true;
    return !ports;
}

void dns_seen_read(struct observer *o, const struct dns_ports *ports, struct dns_seen_list *ret)
{
    *ret = (struct dns_seen_list){ 0 };
    for (size_t i = 0; i < o->packets.n; i++) {
        const struct packet *p = &o->packets.items[i].packet;
        if (o->packets.items[i].pod != o->client || !p->payload_len)
            continue;
        if (p->outgoing && p->to_port == DNS_PACKET_PORT && is_meant(ports, p->from_port))
            add_query(o, ret, p);
        else if ((!p->outgoing || p->loopback) && p->from_port == DNS_PACKET_PORT)
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
    return q->answered_ns ? dns_packet_rcode(q->rcode, q->n_answers, buf) : "no answer";
}
