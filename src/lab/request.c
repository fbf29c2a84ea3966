#include "lab/request.h"

#include "base/str.h"
#include "lab/place.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <string.h>

#define RESOLV_MAX 65536

static int64_t since(const struct request *r, int64_t time_ns)
{
    return time_ns - r->start_ns;
}

static bool is_syn(const struct packet *p)
{
    return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static const struct packet *find_syn(const struct observer *o)
{
    for (size_t i = 0; i < o->packets.n; i++) {
        const struct sighting *s = &o->packets.items[i];
        if (s->pod == o->client && s->packet.outgoing && is_syn(&s->packet))
            return &s->packet;
    }
    return NULL;
}

struct flow_search {
    const struct packet *packet; /* the first of it */
    struct flow found;           /* the latest that was told */
    bool is_found;
};

static void match_flow(void *ctx, const struct flow *f)
{
    struct flow_search *s = ctx;
    const struct tuple *t = &f->original;
    const struct packet *p = s->packet;
    if (t->protocol != p->protocol || t->from_port != p->from_port || t->to_port != p->to_port ||
        !ip_equal(&t->from, &p->from) || !ip_equal(&t->to, &p->to))
        return;
    s->found = *f;
    s->is_found = true;
}

/* Among the events; in the table itself when they say nothing: the entry stood before, or the
 * kernel had too much to tell. The observer is in the node's network namespace. */
static bool find_flow(struct request *r)
{
    struct flow_search s = { .packet = r->syn };
    struct conntrack table;
    for (size_t i = 0; r->syn && i < r->o->flows.n; i++)
        match_flow(&s, &r->o->flows.items[i]);
    if (!s.is_found && r->syn && conntrack_open(&table) == 0) {
        (void)conntrack_dump(&table, match_flow, &s);
        conntrack_done(&table);
        r->flow_of_table = s.is_found;
    }
    r->found = s.found;
    return s.is_found;
}

static bool is_from_to(const struct packet *p, const struct tuple *t)
{
    return p->from_port == t->from_port && p->to_port == t->to_port && ip_equal(&p->to, &t->to);
}

/* Where a connection attempt came in, among all pods: whoever got one from outside of itself just
 * then. By the translated tuple, when the connection table told it; a node that only switches
 * between its own pods tells nothing. */
static const struct sighting *find_arrival(const struct request *r)
{
    struct tuple sent = { 0 };
    if (r->flow)
        sent = (struct tuple){ .to = r->flow->reply.from,
                               .from_port = r->flow->reply.to_port,
                               .to_port = r->flow->reply.from_port };
    else if (r->syn)
        sent = (struct tuple){ .to = r->syn->to,
                               .from_port = r->syn->from_port,
                               .to_port = r->syn->to_port };
    for (size_t i = 0; r->syn && i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        if (!s->packet.outgoing && is_syn(&s->packet) && is_from_to(&s->packet, &sent))
            return s;
    }
    return NULL;
}

struct query_search {
    const struct request *r;
    const struct dns_seen *query;
    struct flow found;
    bool is_found;
};

static void match_query(void *ctx, const struct flow *f)
{
    struct query_search *s = ctx;
    const struct dns_seen *q = s->query;
    if (f->original.to_port != 53 || f->original.from_port != q->client_port ||
        !ip_equal(&f->original.to, &q->server) ||
        !ip_equal(&f->original.from, &s->r->o->pods.items[s->r->o->client].ip))
        return;
    s->found = *f;
    s->is_found = true;
}

/* Of the query that gave the address, or the last one. Among the events; in the table itself when
 * there was none, because an earlier query had the same port and its entry still stood. The
 * observer is in the node's network namespace. */
static void find_query_flow(struct request *r)
{
    struct query_search s = { .r = r, .query = r->winner };
    struct conntrack table;
    if (!s.query && r->dns.items.n)
        s.query = &r->dns.items.items[r->dns.items.n - 1];
    for (size_t i = 0; s.query && i < r->o->flows.n; i++)
        match_query(&s, &r->o->flows.items[i]);
    if (!s.is_found && s.query && conntrack_open(&table) == 0) {
        (void)conntrack_dump(&table, match_query, &s);
        conntrack_done(&table);
        r->query_flow_of_table = s.is_found;
    }
    if (s.query && route_is_local(&r->o->node_links, &s.query->server)) {
        r->server_is_local = true;
        r->server_is_bound = request_is_bound(r, &s.query->server, 53);
    }
    r->query_flow = s.found;
    r->has_query_flow = s.is_found;
}

int request_make(struct observer *o, const char *name, const char *as, unsigned wait_s,
                 struct request *ret, struct err *e)
{
    struct request *r = ret;
    *r = (struct request){ .o = o, .typed = name, .as = as };
    observer_collect(o);
    r->search_bytes = request_search_bytes(r);
    unsigned long before = request_insert_failed(r);
    int code = request_run(r, as, wait_s, &r->ran, e);
    if (code < 0)
        return code;
    observer_collect(o);
    r->insert_failed = (unsigned)(request_insert_failed(r) - before);
    dns_seen_read(o, &r->dns);
    r->winner = dns_seen_winner(&r->dns, false);
    r->syn = find_syn(o);
    r->flow = find_flow(r) ? &r->found : NULL;
    r->arrival = find_arrival(r);
    find_query_flow(r);
    r->start_ns = r->dns.items.n ? r->dns.items.items[0].asked_ns : r->syn ? r->syn->time_ns : 0;
    return 0;
}

void request_done(struct request *r)
{
    ran_done(&r->ran);
    dns_seen_done(&r->dns);
}

static void tell_name(const struct request *r, struct journey *j)
{
    const struct watched_pod *c = &r->o->pods.items[r->o->client];
    char ip[IP_TEXT_MAX];
    journey_step(j, "name typed");
    journey_saw(j, -1, "\"%s\", by curl http://%s/ in pod %s/%s (%s, on %s)", r->typed, r->typed,
                c->namespace, c->name, ip_text(&c->ip, ip), c->node);
    if (r->as)
        journey_saw(j, -1, "looked up as %s does", r->as);
}

static void tell_resolver(const struct request *r, struct journey *j)
{
    char path[64], *line, *rest;
    snprintf(path, sizeof path, "/proc/%d/root/etc/resolv.conf",
             (int)r->o->pods.items[r->o->client].pid);
    cleanup_free char *text = place_read(path, RESOLV_MAX);
    journey_step(j, "resolver");
    if (!text || !*text) {
        journey_missed(j, "the pod's /etc/resolv.conf");
        return;
    }
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        journey_saw(j, -1, "resolv.conf: %s", line);
}

static void tell_query(const struct request *r, const struct dns_seen *q, struct journey *j)
{
    char server[IP_PORT_TEXT_MAX], type[16], rcode[24];
    journey_saw(j, since(r, q->asked_ns), "-> %s %s %s %s", ip_port_text(&q->server, 53, server),
                q->tcp ? "tcp" : "udp", q->name, rr_type_text(q->type, type));
    if (q->answered_ns)
        journey_saw(j, since(r, q->answered_ns), "<- %s %s%s%s", rr_type_text(q->type, type),
                    dns_seen_rcode(q, rcode), q->n_answers ? ": " : "", q->answer);
    else
        journey_missed(j, "an answer to %s %s", q->name, rr_type_text(q->type, type));
}

static void tell_queries(const struct request *r, struct journey *j)
{
    journey_step(j, "queries");
    for (size_t i = 0; i < r->dns.items.n; i++)
        tell_query(r, &r->dns.items.items[i], j);
    if (!r->dns.items.n)
        journey_missed(j, "a DNS query at the pod's link");
}

/* The queries are traffic to a Service themselves; but for those to the node's own cache, whose
 * rules keep them from being tracked. */
static void tell_query_path(const struct request *r, struct journey *j)
{
    const struct flow *found = r->has_query_flow ? &r->query_flow : NULL;
    char to[IP_PORT_TEXT_MAX], from[IP_PORT_TEXT_MAX], name[300];
    journey_step(j, "their way");
    if (!found && r->server_is_local)
        journey_saw(j, -1, "not tracked: %s is %s's own address, where %s",
                    ip_port_text(&r->dns.items.items[0].server, 53, to),
                    r->o->pods.items[r->o->client].node,
                    r->server_is_bound ? "its cache answers" : "nobody listens");
    else if (!found)
        journey_missed(j, "the query in the connection table of the node");
    else
        journey_saw(j, -1, "conntrack: %s became %s (%s)",
                    ip_port_text(&found->original.to, found->original.to_port, to),
                    ip_port_text(&found->reply.from, found->reply.from_port, from),
                    observer_name_of(r->o, &found->reply.from, name));
    if (found && r->query_flow_of_table)
        journey_saw(j, -1, "read from the table itself: that entry stood before");
}

/* "bar.shop.svc.cluster.local." -> the Service object that it is made of. */
static const struct manifest *service_of_name(const struct observer *o, const char *name)
{
    char label[3][64] = { "", "", "" };
    for (int i = 0; i < 3 && *name; i++) {
        size_t n = strcspn(name, ".");
        snprintf(label[i], sizeof label[i], "%.*s", (int)n, name);
        name += n + (name[n] == '.');
    }
    return strcmp(label[2], "svc") ? NULL
                                   : manifests_find(&o->objects, "Service", label[1], label[0]);
}

static void tell_record(const struct request *r, struct journey *j)
{
    char ip[IP_TEXT_MAX];
    const char *own, *name = r->winner ? r->winner->name : "";
    journey_step(j, "record, and why");
    if (!r->winner) {
        journey_missed(j, "an answer with an address");
        return;
    }
    ip_text(&r->winner->address, ip);
    journey_saw(j, -1, "%s %s, ttl %u", name, r->winner->answer, r->winner->ttl);
    const struct manifest *m = service_of_name(r->o, name);
    if (!m) {
        journey_missed(j, "a Service of that name among the objects");
        return;
    }
    own = json_text(m->json, "spec.clusterIP");
    if (own && !str_eq(own, ip))
        journey_missed(j, "the clusterIP of Service %s/%s: it is %s, the answer was %s",
                       m->namespace, m->name, own, ip);
    else
        journey_saw(
            j, -1, "because of Service %s/%s (%s): %s", m->namespace, m->name,
            observer_origin_of(r->o, m),
            own ? "its clusterIP"
                : "without a clusterIP in its manifest, so its address follows from its name");
}

static void tell_virtual_ip(const struct request *r, struct journey *j)
{
    char to[IP_PORT_TEXT_MAX], from[IP_PORT_TEXT_MAX];
    journey_step(j, "virtual IP");
    if (!r->syn || !r->winner || !ip_equal(&r->syn->to, &r->winner->address)) {
        journey_missed(j, "a TCP connection attempt to the address in the answer");
        return;
    }
    journey_saw(j, since(r, r->syn->time_ns), "SYN %s -> %s leaves the pod",
                ip_port_text(&r->syn->from, r->syn->from_port, from),
                ip_port_text(&r->syn->to, r->syn->to_port, to));
    if (observer_pod_of(r->o, &r->syn->to) || observer_node_of(r->o, &r->syn->to))
        journey_missed(j, "an address that stands for a Service: a pod or node has this one");
    else
        journey_saw(j, -1, "no pod and no node has this address");
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

/* The first event in which the packet has another destination: it was rewritten before. */
static const struct nft_trace *find_choice(const struct request *r)
{
    for (size_t i = 0; r->syn && i < r->o->traces.n; i++) {
        const struct nft_trace *t = &r->o->traces.items[i];
        if (request_met(r, t) && t->has_packet && !ip_equal(&t->to, &r->syn->to))
            return t;
    }
    return NULL;
}

/* The rules up to the choice; what comes later only lets it pass, unless it masquerades, which the
 * connection table shows. Chains that ended without a rule that decided are left out. */
static unsigned tell_rules_until(struct request *r, const struct nft_trace *end, struct journey *j)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->o->traces.n; i++) {
        const struct nft_trace *t = &r->o->traces.items[i];
        if (t == end)
            break;
        if (!request_met(r, t) || t->type != NFT_TRACE_RULE || !strcmp(t->table, TRACE_TABLE))
            continue;
        const char *text = observer_rule_text(r->o, t);
        if (!*text)
            continue;
        bool far = t->jump_to[0];
        journey_saw(j, -1, "%s %s %s: %s  => %s%s%s", nft_family_text(t->family), t->table,
                    t->chain, text, nft_verdict_text(t->verdict), far ? " " : "", t->jump_to);
        n++;
    }
    return n;
}

static void tell_rules(struct request *r, struct journey *j)
{
    const struct nft_trace *choice = find_choice(r);
    char to[IP_PORT_TEXT_MAX], name[300];
    journey_step(j, "rule and endpoint");
    if (!tell_rules_until(r, choice, j))
        journey_missed(j, "a rule that the connection attempt met");
    else if (choice)
        journey_saw(j, -1, "by chain %s the packet is for %s, %s: this is the choice",
                    choice->chain, ip_port_text(&choice->to, choice->to_port, to),
                    observer_name_of(r->o, &choice->to, name));
    else if (r->flow && !ip_equal(&r->flow->reply.from, &r->syn->to))
        journey_saw(j, -1, "chosen, by the connection table: %s, %s",
                    ip_port_text(&r->flow->reply.from, r->flow->reply.from_port, to),
                    observer_name_of(r->o, &r->flow->reply.from, name));
    else
        journey_missed(j, "which endpoint was chosen");
}

static void tell_route(struct request *r, struct journey *j)
{
    struct link_route route;
    char out[16], to[IP_TEXT_MAX], gateway[IP_TEXT_MAX];
    const char *node = r->o->pods.items[r->o->client].node;
    journey_step(j, "route");
    int in = link_index(&r->o->node_links, "cni0");
    if (!r->flow || in < 0 ||
        route_get(&r->o->node_links, &r->flow->reply.from, &r->syn->from, in, &route) < 0) {
        journey_missed(j, "the kernel's route on %s to the chosen endpoint", node);
        return;
    }
    bool via = route.gateway.family != 0;
    journey_saw(j, -1, "on %s, %s is behind %s%s%s", node, ip_text(&r->flow->reply.from, to),
                link_name(&r->o->node_links, route.out, out), via ? " via " : ": the same node",
                via ? ip_text(&route.gateway, gateway) : "");
}

/* What the server answered must fit what was seen on its link. */
static void tell_own_words(const struct request *r, const struct watched_pod *pod,
                           const char *client, struct journey *j)
{
    size_t line = strcspn(r->ran.out.p, "\n");
    json_t *json = json_loadb(r->ran.out.p, line, 0, NULL);
    if (!str_eq(json_text(json, "pod"), pod->name) || !str_eq(json_text(json, "client"), client))
        journey_missed(j, "the same in the answer of the pod: %.*s", (int)line, r->ran.out.p);
    else
        journey_saw(j, -1, "the pod itself says: %.*s", (int)line, r->ran.out.p);
    json_decref(json);
}

static void tell_arrival(const struct request *r, struct journey *j)
{
    char from[IP_PORT_TEXT_MAX], to[IP_PORT_TEXT_MAX];
    journey_step(j, "arrival");
    if (!r->arrival) {
        journey_missed(j, "the connection attempt at the link of any pod");
        return;
    }
    const struct packet *p = &r->arrival->packet;
    const struct watched_pod *pod = &r->o->pods.items[r->arrival->pod];
    journey_saw(j, since(r, p->time_ns), "SYN %s -> %s at eth0 of pod %s on %s",
                ip_port_text(&p->from, p->from_port, from), ip_port_text(&p->to, p->to_port, to),
                pod->name, pod->node);
    journey_saw(j, -1, "%s",
                ip_equal(&p->from, &r->syn->from)
                    ? "the source is the client's own address: nothing was masqueraded"
                    : "the source is not the client's address: it was masqueraded");
    tell_own_words(r, pod, ip_port_text(&p->from, p->from_port, from), j);
}

static void tell_conntrack(const struct request *r, struct journey *j)
{
    char a[IP_PORT_TEXT_MAX], b[IP_PORT_TEXT_MAX];
    const struct flow *f = r->flow;
    journey_step(j, "conntrack");
    if (!f) {
        journey_missed(j, "an entry for the connection in the node's table");
        return;
    }
    journey_saw(j, -1, "original  %s -> %s",
                ip_port_text(&f->original.from, f->original.from_port, a),
                ip_port_text(&f->original.to, f->original.to_port, b));
    journey_saw(j, -1, "reply     %s -> %s", ip_port_text(&f->reply.from, f->reply.from_port, a),
                ip_port_text(&f->reply.to, f->reply.to_port, b));
    bool destination = !ip_equal(&f->original.to, &f->reply.from);
    bool source = !ip_equal(&f->original.from, &f->reply.to);
    journey_saw(j, -1, "destination %s, source %s%s%s", destination ? "translated" : "kept",
                source ? "translated" : "kept", f->tcp_state ? ", last state " : "",
                flow_tcp_state(f->tcp_state));
    if (r->flow_of_table)
        journey_saw(j, -1, "read from the table itself: of this entry no event was seen");
    if (!(f->status & IPS_SEEN_REPLY))
        journey_missed(j, "a reply in that entry");
}

static const struct packet *find_reply(const struct request *r)
{
    for (size_t i = 0; r->syn && i < r->o->packets.n; i++) {
        const struct sighting *s = &r->o->packets.items[i];
        const struct packet *p = &s->packet;
        if (s->pod == r->o->client && !p->outgoing && p->payload_len > 12 &&
            p->to_port == r->syn->from_port && ip_equal(&p->from, &r->syn->to))
            return p;
    }
    return NULL;
}

static int first_line(const struct packet *p)
{
    const void *end = memchr(p->payload, '\r', p->payload_len);
    return (int)(end ? (const uint8_t *)end - p->payload : (ptrdiff_t)p->payload_len);
}

static void tell_reply(const struct request *r, struct journey *j)
{
    const struct packet *p = find_reply(r);
    char from[IP_PORT_TEXT_MAX], to[IP_PORT_TEXT_MAX];
    journey_step(j, "reply");
    if (!p) {
        journey_missed(j, "data from the virtual IP at the client's link: %.*s",
                       (int)strcspn(r->ran.err.p, "\n"), r->ran.err.p);
        return;
    }
    journey_saw(j, since(r, p->time_ns), "%.*s, from %s to %s: translated back", first_line(p),
                (const char *)p->payload, ip_port_text(&p->from, p->from_port, from),
                ip_port_text(&p->to, p->to_port, to));
}

static void tell_total(const struct request *r, struct journey *j)
{
    double lookup, connect, total;
    int status;
    const char *last = strrchr(r->ran.out.p, '\n');
    journey_step(j, "total");
    if (r->ran.status ||
        sscanf(last ? last + 1 : r->ran.out.p, "%d %lf %lf %lf", &status, &lookup, &connect,
               &total) != 4 ||
        status != 200)
        journey_missed(j, "a complete answer: curl ended with %d", r->ran.status);
    else
        journey_saw(j, (int64_t)(total * 1e9),
                    "%.2f ms as curl counts: name %.2f, connection %.2f, request and answer %.2f",
                    total * 1e3, lookup * 1e3, (connect - lookup) * 1e3, (total - connect) * 1e3);
}

void request_tell(struct request *r, struct journey *j)
{
    tell_name(r, j);
    tell_resolver(r, j);
    tell_queries(r, j);
    tell_query_path(r, j);
    tell_record(r, j);
    tell_virtual_ip(r, j);
    tell_rules(r, j);
    tell_route(r, j);
    tell_arrival(r, j);
    tell_conntrack(r, j);
    tell_reply(r, j);
    tell_total(r, j);
}

int request_show(struct observer *o, const char *name, FILE *out, struct err *e)
{
    struct request r;
    struct journey j = { 0 };
    int code = request_make(o, name, NULL, REQUEST_WAIT_S, &r, e);
    if (code < 0)
        return code;
    request_tell(&r, &j);
    journey_print(&j, "One request, from the name to the pod and back", out);
    const char *missing = journey_first_missing(&j);
    if (missing)
        code = err_set(e, ERR_REFUSED, "the walk is incomplete: \"%s\" was not observed", missing);
    journey_done(&j);
    request_done(&r);
    return code;
}
