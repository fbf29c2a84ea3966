/* Making a request, and finding its traces. */
#include "base/str.h"
#include "lab/request_impl.h"

#include <netinet/in.h>
#include <string.h>

#define DNS_PORT 53

void asked_done(struct asked *a)
{
    free(a->by);
    free(a->said);
    free(a->error);
    vec_done(&a->ports.items);
}

/* ---- what was seen ---- */

static bool is_syn(const struct packet *p)
{
    return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Connection attempts; of datagrams all. */
static bool is_attempt(const struct request *r, const struct packet *p)
{
    return r->protocol == IPPROTO_TCP ? is_syn(p) : p->protocol == r->protocol;
}

static bool is_of_tuple(const struct packet *p, const struct tuple *t)
{
    return !t->from.family ||
           (p->from_port == t->from_port && p->to_port == t->to_port && ip_equal(&p->to, &t->to));
}

static const struct packet *find_syn(const struct request *r)
{
    for (size_t i = 0; i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        if (s->pod == r->o->client && s->packet.outgoing && is_attempt(r, &s->packet) &&
            is_of_tuple(&s->packet, &r->asked.tuple))
            return &s->packet;
    }
    return NULL;
}

/* Where it came in, among all pods: whoever got one from outside of itself just then. By the
 * translated tuple, when the connection table told it; a node that only switches between its own
 * pods tells nothing. */
static const struct sighting *find_arrival(const struct request *r)
{
    struct tuple sent = { 0 };
    if (r->flow)
        sent = (struct tuple){ .from = r->syn->from,
                               .to = r->flow->reply.from,
                               .from_port = r->flow->reply.to_port,
                               .to_port = r->flow->reply.from_port };
    else if (r->syn)
        sent = packet_tuple(r->syn);
    for (size_t i = 0; r->syn && i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        if ((!s->packet.outgoing || s->packet.loopback) && is_attempt(r, &s->packet) &&
            is_of_tuple(&s->packet, &sent))
            return s;
    }
    return NULL;
}

bool request_flow_of_query(const struct request *r, const struct dns_seen *q, struct flow *ret,
                           bool *ret_began)
{
    const struct tuple t = { q->client, q->server, q->client_port, DNS_PORT,
                             q->tcp ? IPPROTO_TCP : IPPROTO_UDP };
    return observer_flow(r->o, &t, ret, ret_began);
}

/* Of the query that gave the address, or the last one. */
static void find_query_flow(struct request *r)
{
    const struct dns_seen *q = r->winner;
    bool began = false;
    if (!q && r->dns.items.n)
        q = &r->dns.items.items[r->dns.items.n - 1];
    if (!q)
        return;
    r->has_query_flow = request_flow_of_query(r, q, &r->query_flow, &began);
    r->query_flow_of_table = r->has_query_flow && !began;
    r->server_is_local = route_is_local(&r->o->node_links, &q->server);
    r->server_is_bound = r->server_is_local && request_is_bound(r, &q->server, DNS_PORT);
}

static void find_flow(struct request *r)
{
    bool began = false;
    if (!r->syn)
        return;
    const struct tuple t = packet_tuple(r->syn);
    r->flow = observer_flow(r->o, &t, &r->table, &began) ? &r->table : NULL;
    r->flow_of_table = r->flow && !began;
}

const struct ip *request_end(const struct request *r)
{
    return r->flow ? &r->flow->reply.from : &r->syn->to;
}

bool request_is_asked(const struct request *r, const struct packet *p)
{
    return p->outgoing && p->protocol == r->protocol && p->from_port == r->syn->from_port &&
           ip_equal(&p->to, &r->syn->to) && p->to_port == r->syn->to_port;
}

bool request_is_answer(const struct request *r, const struct packet *p)
{
    return (!p->outgoing || p->loopback) && p->protocol == r->protocol &&
           p->to_port == r->syn->from_port && ip_equal(&p->from, &r->syn->to);
}

bool request_met(const struct request *r, const struct nft_trace *t)
{
    for (size_t i = 0; r->syn && i < r->o->traces.n; i++) {
        const struct nft_trace *first = &r->o->traces.items[i];
        if (first->id == t->id && first->has_packet && first->from_port == r->syn->from_port &&
            ip_equal(&first->from, &r->syn->from))
            return true;
    }
    return false;
}

/* ---- */

static bool is_literal(const char *typed)
{
    struct ip ip;
    char host[IP_TEXT_MAX];
    size_t n = *typed == '[' ? strcspn(++typed, "]") : strcspn(typed, ":");
    (void)snprintf(host, sizeof host, "%.*s", (int)n, typed);
    return n < sizeof host && ip_parse(host, &ip) == 0;
}

int request_make(struct observer *o, const struct request_how *how, struct request *ret,
                 struct err *e)
{
    struct request *r = ret;
    *r = (struct request){ .o = o, .typed = how->typed, .as = how->as, .protocol = how->protocol };
    r->literal = is_literal(how->typed);
    observer_collect(o);
    r->search_bytes = request_search_bytes(r);
    unsigned long before = request_insert_failed(r);
    int code = how->ask(how->ctx, o, how, &r->asked, e);
    if (code < 0) {
        observer_unmark(o);
        return code;
    }
    observer_collect(o);
    r->insert_failed = (unsigned)(request_insert_failed(r) - before);
    dns_seen_read(o, r->asked.by_ports ? &r->asked.ports : NULL, &r->dns);
    r->winner = dns_seen_winner(&r->dns, false);
    r->syn = find_syn(r);
    find_flow(r);
    find_query_flow(r);
    r->arrival = find_arrival(r);
    r->start_ns = r->dns.items.n ? r->dns.items.items[0].asked_ns : r->syn ? r->syn->time_ns : 0;
    observer_unmark(o);
    return 0;
}

void request_done(struct request *r)
{
    asked_done(&r->asked);
    dns_seen_done(&r->dns);
}
