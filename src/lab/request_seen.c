/* What was seen of a request, as explain/outcome.h asks for it. */
#include "lab/request_impl.h"

#include "base/str.h"

#include <linux/netfilter.h>
#include <netinet/in.h>
#include <string.h>

#define DNS_PORT 53

static const char *text_of(const struct request *r, const struct ip *ip, uint16_t port)
{
    char text[IP_PORT_TEXT_MAX];
    return arena_strdup(&r->o->arena, ip_port_text(ip, port, text));
}

/* ---- the name ---- */

static bool is_same_question(const struct dns_seen *a, const struct dns_seen *b)
{
    return a->type == b->type && strcmp(a->name, b->name) == 0;
}

static bool was_repeated(const struct request *r, size_t i)
{
    const struct dns_seen *q = &r->dns.items.items[i];
    for (size_t k = i + 1; !q->answered_ns && k < r->dns.items.n; k++)
        if (is_same_question(q, &r->dns.items.items[k]))
            return true;
    return false;
}

/* Two queries of one look-up follow each other within this, on a busy machine, too. */
#define AT_ONCE_NS 250000000LL

/* The later one of two by one port at once, of which only the first was answered. */
static bool is_lost_second(const struct request *r, size_t i)
{
    const struct dns_seen *q = &r->dns.items.items[i];
    for (size_t k = 0; !q->answered_ns && k < i; k++) {
        const struct dns_seen *first = &r->dns.items.items[k];
        if (first->answered_ns && first->client_port == q->client_port && first->type != q->type &&
            strcmp(first->name, q->name) == 0 && q->asked_ns - first->asked_ns < AT_ONCE_NS)
            return true;
    }
    return false;
}

static void see_type(const struct request *r, size_t i, struct sightings *s)
{
    const struct dns_seen *q = &r->dns.items.items[i];
    s->dns.a_answered += q->type == RR_A && q->answered_ns;
    s->dns.aaaa += q->type == RR_AAAA;
    s->dns.aaaa_answered += q->type == RR_AAAA && q->answered_ns;
    s->dns.seconds_lost += is_lost_second(r, i);
    s->dns.as_typed_only &= outcome_is_typed(r->typed, q->name);
}

static void see_denials(const struct request *r, struct sightings *s)
{
    s->dns.denied = arena_alloc(&r->o->arena, (r->dns.items.n + 1) * sizeof *s->dns.denied);
    for (size_t i = 0; i < r->dns.items.n; i++) {
        const struct dns_seen *q = &r->dns.items.items[i];
        if (q->answered_ns && q->rcode == RCODE_NXDOMAIN)
            s->dns.denied[s->dns.n_denied++] = q->name;
    }
}

/* ---- queries that left together ---- */

#define TOGETHER_NS 1000000000LL /* what comes later is sent again */

struct group {
    const struct request *r;
    size_t first, end;
};

static bool has_type(const struct group *g, uint16_t type)
{
    for (size_t i = g->first; i < g->end; i++)
        if (g->r->dns.items.items[i].type == type)
            return true;
    return false;
}

static struct group group_from(const struct request *r, size_t first)
{
    struct group g = { r, first, first + 1 };
    const struct dns_seen *head = &r->dns.items.items[first];
    for (; g.end < r->dns.items.n; g.end++) {
        const struct dns_seen *q = &r->dns.items.items[g.end];
        if (strcmp(q->name, head->name) != 0 || has_type(&g, q->type) ||
            q->asked_ns - head->asked_ns > TOGETHER_NS)
            break;
    }
    return g;
}

/* An address says all; else the codes, each once. */
static void put_results(const struct group *g, struct sighted_exchange *x, struct strbuf *out)
{
    char text[IP_TEXT_MAX], rcode[24], type[16];
    for (size_t i = g->first; i < g->end; i++) {
        const struct dns_seen *q = &g->r->dns.items.items[i];
        const char *word =
            q->address.family ? ip_text(&q->address, text) : dns_seen_rcode(q, rcode);
        x->has_address |= q->address.family != 0;
        if (q->answered_ns)
            x->answered_ns = MAX(x->answered_ns, q->answered_ns - g->r->start_ns);
        x->failed |= !q->answered_ns || (q->rcode != RCODE_NOERROR && q->rcode != RCODE_NXDOMAIN);
        if (!q->answered_ns)
            strbuf_printf(out, "%s%s: no answer", out->len ? "; " : "",
                          rr_type_text(q->type, type));
        else if (!(x->has_address && !q->address.family) && !(out->p && strstr(out->p, word)))
            strbuf_printf(out, "%s%s", out->len ? "; " : "", word);
    }
}

static struct sighted_exchange exchange_of(const struct group *g)
{
    cleanup(strbuf_done) struct strbuf types = { 0 }, results = { 0 };
    const struct dns_seen *head = &g->r->dns.items.items[g->first];
    struct sighted_exchange x = { .name = head->name,
                                  .at_ns = head->asked_ns - g->r->start_ns,
                                  .answered_ns = -1 };
    char type[16];
    for (size_t i = g->first; i < g->end; i++)
        strbuf_printf(&types, "%s%s", types.len ? ", " : "",
                      rr_type_text(g->r->dns.items.items[i].type, type));
    put_results(g, &x, &results);
    x.types = arena_strdup(&g->r->o->arena, types.p);
    x.result = arena_strdup(&g->r->o->arena, results.p ? results.p : "");
    return x;
}

static void see_exchanges(const struct request *r, struct sightings *s)
{
    struct sighted_exchange *x = arena_alloc(&r->o->arena, (r->dns.items.n + 1) * sizeof *x);
    s->dns.exchanges = x;
    for (size_t i = 0; i < r->dns.items.n;) {
        struct group g = group_from(r, i);
        x[s->dns.n_exchanges++] = exchange_of(&g);
        i = g.end;
    }
}

static void see_server(const struct request *r, struct sightings *s)
{
    const struct flow *f = &r->query_flow;
    char name[300];
    s->dns.chosen = "";
    if (r->has_query_flow && !ip_equal(&f->reply.from, &f->original.to))
        s->dns.chosen =
            arena_printf(&r->o->arena, "%s, %s", observer_name_of(r->o, &f->reply.from, name),
                         text_of(r, &f->reply.from, f->reply.from_port));
}

static void see_entry(const struct request *r, struct sightings *s)
{
    const struct flow *f = &r->query_flow;
    s->dns.entry = "";
    bool unknown = !r->o->dir && !r->o->store; /* who has which address */
    if (unknown || !r->has_query_flow || ip_equal(&f->reply.from, &f->original.to) ||
        observer_pod_of(r->o, &f->reply.from) || observer_node_of(r->o, &f->reply.from))
        return;
    s->dns.entry = text_of(r, &f->reply.from, f->reply.from_port);
    s->dns.port = f->original.from_port;
}

static void see_answer(const struct request *r, const struct dns_seen *q, struct sightings *s)
{
    char rcode[24];
    s->dns.answered++;
    if (q->rcode == RCODE_NOERROR && !q->address.family)
        s->dns.empty = q->name;
    else if (q->rcode != RCODE_NOERROR && q->rcode != RCODE_NXDOMAIN)
        s->dns.failure = arena_strdup(&r->o->arena, dns_seen_rcode(q, rcode));
}

static bool is_arrived_query(const struct request *r, const struct sighting *s)
{
    return s->pod != r->o->client && !s->packet.outgoing && s->packet.to_port == DNS_PORT &&
           s->packet.payload_len > 0;
}

/* Did this query come in at a pod? On a node others ask as well. */
static bool was_heard(const struct request *r, const struct dns_seen *q)
{
    struct flow f;
    bool found = request_flow_of_query(r, q, &f, NULL);
    const struct ip *to = found ? &f.reply.from : &q->server;
    uint16_t from_port = found ? f.reply.to_port : q->client_port;
    for (size_t i = 0; i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        if (is_arrived_query(r, s) && s->packet.from_port == from_port &&
            ip_equal(&s->packet.to, to))
            return true;
    }
    return false;
}

/* In a lab all that came in while the request went on, whatever their sender looked like by then: a
 * node's cache may ask in its place. */
static unsigned count_arrivals(const struct request *r)
{
    unsigned n = 0;
    for (size_t i = 0; r->o->dir && i < r->o->packets.n; i++)
        n += is_arrived_query(r, &r->o->packets.items[i]);
    for (size_t i = 0; !r->o->dir && i < r->dns.items.n; i++)
        n += was_heard(r, &r->dns.items.items[i]);
    return n;
}

/* Nobody watches where the first query went. One that left the node is in the connection table, but
 * for those to the node itself, whose cache may keep them from being tracked. */
static bool is_name_blind(const struct request *r)
{
    struct flow f;
    if (!r->dns.items.n || r->o->dir)
        return false;
    const struct dns_seen *q = &r->dns.items.items[0];
    if (request_flow_of_query(r, q, &f, NULL))
        return !observer_sees(r->o, &f.reply.from);
    return *r->o->blind_table || route_is_local(&r->o->node_links, &q->server);
}

static void see_name(const struct request *r, struct sightings *s)
{
    s->dns.asked = (unsigned)r->dns.items.n;
    s->dns.server = s->dns.name = s->dns.failure = s->dns.empty = "";
    s->dns.as_typed_only = r->dns.items.n > 0;
    s->dns.insert_failed = r->insert_failed;
    s->dns.search_bytes = r->search_bytes;
    s->dns.local = r->server_is_local;
    s->dns.bound = r->server_is_bound;
    s->dns.tracked = r->has_query_flow;
    for (size_t i = 0; i < r->dns.items.n; i++) {
        const struct dns_seen *q = &r->dns.items.items[i];
        s->dns.repeated += was_repeated(r, i);
        see_type(r, i, s);
        s->dns.before += r->winner && strcmp(q->name, r->winner->name) != 0;
        s->dns.server = text_of(r, &q->server, DNS_PORT);
        if (q->answered_ns)
            see_answer(r, q, s);
        s->dns.ns = MAX(s->dns.ns, q->answered_ns - r->dns.items.items[0].asked_ns);
    }
    s->dns.server_got = count_arrivals(r);
    see_denials(r, s);
    see_exchanges(r, s);
    see_server(r, s);
    see_entry(r, s);
    s->dns.blind = !s->dns.answered && is_name_blind(r);
    if (r->winner)
        s->dns.name = r->winner->name;
}

/* ---- the connection ---- */

/* It says that nobody listens there, or that a rule rejects, for a packet from that port. */
static bool is_error_about(const struct packet *p, uint16_t from_port, uint16_t to_port)
{
    struct packet about;
    return packet_is_port_unreachable(p) && packet_icmp_error(p, &about) &&
           about.from_port == from_port && about.to_port == to_port;
}

static bool is_refusal(const struct request *r, const struct packet *p)
{
    return request_is_answer(r, p) && p->protocol == IPPROTO_TCP && (p->tcp_flags & TCP_RST);
}

static void see_at_client(const struct request *r, const struct packet *p, struct sightings *s)
{
    bool udp = r->protocol == IPPROTO_UDP;
    bool attempt = udp || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
    bool accepts = udp || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
    if (request_is_asked(r, p))
        s->tcp.attempts += attempt;
    if (request_is_answer(r, p)) {
        if (accepts && !s->tcp.answer_came) {
            s->tcp.answer_came = true;
            s->tcp.answer_at_ns = p->time_ns - r->start_ns;
        }
        if (p->payload_len && !s->reply_bytes)
            s->tcp.reply_at_ns = p->time_ns - r->start_ns;
        s->reply_bytes += p->payload_len;
    }
    if (is_refusal(r, p) || is_error_about(p, r->syn->from_port, r->syn->to_port))
        s->tcp.refused_here |= !s->tcp.answer_came;
}

/* What the pod at which it arrived sent back. */
static void see_at_peer(const struct request *r, const struct packet *p, struct sightings *s)
{
    const struct packet *in = &r->arrival->packet;
    bool udp = r->protocol == IPPROTO_UDP;
    if (p->outgoing && is_error_about(p, in->from_port, in->to_port))
        s->tcp.refused_there |= !s->tcp.answered_there;
    if (!p->outgoing || p->protocol != r->protocol || p->from_port != in->to_port ||
        p->to_port != in->from_port || !ip_equal(&p->to, &in->from))
        return;
    s->tcp.answered_there |= udp || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
    s->tcp.refused_there |= !udp && (p->tcp_flags & TCP_RST) && !s->tcp.answered_there;
}

/* The last rule that the attempt met, when it ended it. */
static void see_end(struct request *r, struct sightings *s)
{
    const struct nft_trace *end = NULL;
    for (size_t i = 0; i < r->o->traces.n; i++) {
        const struct nft_trace *t = &r->o->traces.items[i];
        if (request_met(r, t) && t->type == NFT_TRACE_RULE && t->verdict == NF_DROP)
            end = t;
    }
    s->tcp.rule = "";
    if (!end)
        return;
    const char *text = observer_rule_text(r->o, end);
    s->tcp.rejected = strstr(text, "reject") != NULL;
    s->tcp.dropped = !s->tcp.rejected;
    s->tcp.rule = arena_printf(&r->o->arena, "%s %s %s: %s", nft_family_text(end->family),
                               end->table, end->chain, text);
}

static void see_peer(const struct request *r, struct sightings *s)
{
    const struct watched_pod *pod = NULL;
    const struct ip *to = request_end(r);
    s->tcp.to = text_of(r, &r->syn->to, r->syn->to_port);
    s->tcp.chosen = text_of(r, to, r->flow ? r->flow->reply.from_port : r->syn->to_port);
    s->tcp.translated = !ip_equal(to, &r->syn->to);
    s->tcp.to_is_somebody =
        observer_pod_of(r->o, &r->syn->to) || observer_node_of(r->o, &r->syn->to);
    s->tcp.arrived = r->arrival != NULL;
    s->tcp.to_itself = r->arrival && r->arrival->pod == r->o->client &&
                       ip_equal(&r->arrival->packet.from, &r->o->pods.items[r->o->client].ip);
    s->tcp.blind = !r->arrival && !observer_sees(r->o, to);
    pod = r->arrival ? &r->o->pods.items[r->arrival->pod] : observer_pod_of(r->o, to);
    const char *node = observer_node_of(r->o, to);
    s->tcp.peer = pod    ? arena_printf(&r->o->arena, "%s on %s", pod->label,
                                     *pod->node ? pod->node : "this node")
                  : node ? arena_printf(&r->o->arena, "node %s", node)
                         : "";
}

static void see_connection(struct request *r, struct sightings *s)
{
    s->tcp.at_ns = r->syn->time_ns - r->start_ns;
    if (r->arrival)
        s->tcp.arrived_at_ns = r->arrival->packet.time_ns - r->start_ns;
    see_peer(r, s);
    see_end(r, s);
    for (size_t i = 0; i < r->o->packets.n; i++) {
        const struct sighting *seen = &r->o->packets.items[i];
        if (seen->pod == r->o->client)
            see_at_client(r, &seen->packet, s);
        if (r->arrival && seen->pod == r->arrival->pod)
            see_at_peer(r, &seen->packet, s);
    }
}

void request_sightings(struct request *r, struct sightings *ret)
{
    *ret = (struct sightings){
        .client = r->o->pods.items[r->o->client].label,
        .typed = r->typed,
        .node = r->o->node,
        .literal = r->literal,
        .udp = r->protocol == IPPROTO_UDP,
        .tcp = { .to = "", .chosen = "", .peer = "", .rule = "" },
        .status = r->asked.status,
        .total_ns = r->asked.total_ns,
    };
    see_name(r, ret);
    if (r->syn)
        see_connection(r, ret);
}
