#include "lab/request.h"

#include "base/str.h"
#include "lab/process_file.h"
#include "lab/request_impl.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <string.h>

#define RESOLV_MAX 65536

static int64_t since(const struct request *r, int64_t time_ns)
{
    return time_ns - r->start_ns;
}

static const struct watched_pod *client_of(const struct request *r)
{
    return &r->o->pods.items[r->o->client];
}

static const char *unit(const struct request *r)
{
    return r->protocol == IPPROTO_UDP ? "datagram" : "SYN";
}

static void tell_name(const struct request *r, struct journey *j)
{
    const struct watched_pod *c = client_of(r);
    char ip[IP_TEXT_MAX] = "without an address";
    journey_step(j, "name typed");
    if (c->ip.family)
        ip_text(&c->ip, ip);
    journey_saw(j, -1, "\"%s\", by %s in %s (%s%s%s)", r->typed, r->asked.by, c->label, ip,
                *r->o->node ? ", on " : "", r->o->node);
    if (r->as && r->o->dir && r->protocol == IPPROTO_TCP)
        journey_saw(j, -1, "looked up as %s does", r->as);
    if (r->o->lost)
        journey_missed(j, "%u packets or reports could not be read in time", r->o->lost);
}

static void tell_resolver(const struct request *r, struct journey *j)
{
    char *line, *rest;
    cleanup_free char *text = process_file(client_of(r)->pid, "etc/resolv.conf", RESOLV_MAX);
    journey_step(j, "resolver");
    if (!text || !*text) {
        journey_missed(j, "the client's /etc/resolv.conf");
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
    if (r->literal)
        journey_saw(j, -1, "none: an address was typed");
    else if (!r->dns.items.n)
        journey_missed(j, "a DNS query at the client's link");
}

/* The queries are traffic to a Service themselves; but for those to the node's own cache, whose
 * rules keep them from being tracked. */
static void tell_query_path(const struct request *r, struct journey *j)
{
    const struct flow *found = r->has_query_flow ? &r->query_flow : NULL;
    char to[IP_PORT_TEXT_MAX], from[IP_PORT_TEXT_MAX], name[300];
    journey_step(j, "their way");
    if (r->literal)
        journey_saw(j, -1, "none: an address was typed");
    else if (found)
        journey_saw(j, -1, "conntrack: %s became %s (%s)",
                    ip_port_text(&found->original.to, found->original.to_port, to),
                    ip_port_text(&found->reply.from, found->reply.from_port, from),
                    observer_name_of(r->o, &found->reply.from, name));
    else if (r->server_is_local)
        journey_saw(j, -1, "not tracked: %s is %s's own address, where %s",
                    ip_port_text(&r->dns.items.items[0].server, 53, to),
                    *r->o->node ? r->o->node : "the node",
                    r->server_is_bound ? "its cache answers" : "nobody listens");
    else if (*r->o->blind_table)
        journey_blind(j, "%s", r->o->blind_table);
    else
        journey_missed(j, "the query in the connection table of the node");
    if (found && r->query_flow_of_table)
        journey_saw(j, -1, "read from the table itself: that entry stood before");
}

/* "bar.shop.svc.cluster.local." -> the Service that it is made of. */
static bool service_of_name(const struct observer *o, const char *name, char full[300],
                            struct observed_service *ret)
{
    char label[3][64] = { "", "", "" };
    for (int i = 0; i < 3 && *name; i++) {
        size_t n = strcspn(name, ".");
        snprintf(label[i], sizeof label[i], "%.*s", (int)n, name);
        name += n + (name[n] == '.');
    }
    snprintf(full, 300, "%s/%s", label[1], label[0]);
    return !strcmp(label[2], "svc") && observer_service(o, label[1], label[0], ret);
}

static void tell_reason(const struct request *r, struct journey *j)
{
    char full[300], ip[IP_TEXT_MAX];
    struct observed_service s;
    ip_text(&r->winner->address, ip);
    if (!r->o->dir && !r->o->store)
        journey_blind(j, "no objects were given that could tell what the name stands for");
    else if (!service_of_name(r->o, r->winner->name, full, &s))
        journey_missed(j, "a Service of that name among the objects");
    else if (s.cluster_ip && !str_eq(s.cluster_ip, ip))
        journey_missed(j, "the clusterIP of Service %s: it is %s, the answer was %s", full,
                       s.cluster_ip, ip);
    else
        journey_saw(j, -1, "because of Service %s (%s)%s", full, s.origin,
                    s.cluster_ip ? ": its clusterIP"
                    : r->o->dir  ? ": without a clusterIP in its manifest, so its address follows "
                                   "from its name"
                                 : "");
}

static void tell_record(const struct request *r, struct journey *j)
{
    journey_step(j, "record, and why");
    if (r->winner) {
        journey_saw(j, -1, "%s %s, ttl %u", r->winner->name, r->winner->answer, r->winner->ttl);
        tell_reason(r, j);
    } else if (r->literal) {
        journey_saw(j, -1, "none: an address was typed");
    } else {
        journey_missed(j, "an answer with an address");
    }
}

static void tell_virtual_ip(const struct request *r, struct journey *j)
{
    char to[IP_PORT_TEXT_MAX], from[IP_PORT_TEXT_MAX];
    journey_step(j, "virtual IP");
    if (!r->syn || (!r->literal && (!r->winner || !ip_equal(&r->syn->to, &r->winner->address)))) {
        journey_missed(j, "a %s to the address in the answer", unit(r));
        return;
    }
    journey_saw(j, since(r, r->syn->time_ns), "%s %s -> %s leaves the client", unit(r),
                ip_port_text(&r->syn->from, r->syn->from_port, from),
                ip_port_text(&r->syn->to, r->syn->to_port, to));
    if (!r->o->dir && !r->o->store)
        journey_blind(j, "no objects were given that could tell who has this address");
    else if (observer_pod_of(r->o, &r->syn->to) || observer_node_of(r->o, &r->syn->to))
        journey_missed(j, "an address that stands for a Service: a pod or node has this one");
    else
        journey_saw(j, -1, "no pod and no node has this address");
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
        if (!request_met(r, t) || t->type != NFT_TRACE_RULE || str_starts(t->table, TRACE_TABLE))
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
    if (*r->o->blind_rules)
        journey_blind(j, "%s", r->o->blind_rules);
    if (!tell_rules_until(r, choice, j) && !*r->o->blind_rules)
        journey_missed(j, "a rule that the %s met", unit(r));
    else if (choice)
        journey_saw(j, -1, "by chain %s the packet is for %s, %s: this is the choice",
                    choice->chain, ip_port_text(&choice->to, choice->to_port, to),
                    observer_name_of(r->o, &choice->to, name));
    else if (r->flow && !ip_equal(&r->flow->reply.from, &r->syn->to))
        journey_saw(j, -1, "chosen, by the connection table: %s, %s",
                    ip_port_text(&r->flow->reply.from, r->flow->reply.from_port, to),
                    observer_name_of(r->o, &r->flow->reply.from, name));
    else if (!*r->o->blind_rules)
        journey_missed(j, "which endpoint was chosen");
}

static void tell_route(struct request *r, struct journey *j)
{
    struct link_route route;
    char out[16], to[IP_TEXT_MAX], gateway[IP_TEXT_MAX];
    const char *node = *r->o->node ? r->o->node : "the node";
    int in = r->o->dir ? link_index(&r->o->node_links, "cni0") : 0;
    journey_step(j, "route");
    if (!r->flow && *r->o->blind_table) {
        journey_blind(j, "%s", r->o->blind_table);
        return;
    }
    if (!r->flow || in < 0 ||
        route_get(&r->o->node_links, &r->flow->reply.from, in ? &r->syn->from : NULL, in, &route) <
            0) {
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
    json_t *json = json_loads(r->asked.said, 0, NULL);
    if (!str_eq(json_text(json, "pod"), pod->name) || !str_eq(json_text(json, "client"), client))
        journey_missed(j, "the same in the answer of the pod: %s", r->asked.said);
    else
        journey_saw(j, -1, "the pod itself says: %s", r->asked.said);
    json_decref(json);
}

static void tell_arrival(const struct request *r, struct journey *j)
{
    char from[IP_PORT_TEXT_MAX], to[IP_PORT_TEXT_MAX];
    journey_step(j, "arrival");
    if (!r->arrival && r->syn && !observer_sees(r->o, request_end(r))) {
        journey_blind(j, "%s is not a pod that is watched from here",
                      ip_text(request_end(r), from));
        return;
    }
    if (!r->arrival) {
        journey_missed(j, "the %s at the link of any pod", unit(r));
        return;
    }
    const struct packet *p = &r->arrival->packet;
    const struct watched_pod *pod = &r->o->pods.items[r->arrival->pod];
    journey_saw(j, since(r, p->time_ns), "%s %s -> %s at the link of %s on %s", unit(r),
                ip_port_text(&p->from, p->from_port, from), ip_port_text(&p->to, p->to_port, to),
                pod->label, pod->node);
    journey_saw(j, -1, "%s",
                ip_equal(&p->from, &r->syn->from)
                    ? "the source is the client's own address: nothing was masqueraded"
                : r->arrival->pod == r->o->client
                    ? "the source is not the client's address: it was masqueraded, because it is "
                      "sent to itself"
                    : "the source is not the client's address: it was masqueraded");
    if (r->o->dir && r->protocol == IPPROTO_TCP)
        tell_own_words(r, pod, ip_port_text(&p->from, p->from_port, from), j);
}

static void tell_conntrack(const struct request *r, struct journey *j)
{
    char a[IP_PORT_TEXT_MAX], b[IP_PORT_TEXT_MAX];
    const struct flow *f = r->flow;
    journey_step(j, "conntrack");
    if (!f && *r->o->blind_table) {
        journey_blind(j, "%s", r->o->blind_table);
        return;
    }
    if (!f) {
        journey_missed(j, "an entry for it in the node's table");
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
        if (s->pod == r->o->client && request_is_answer(r, p) &&
            p->payload_len > (r->protocol == IPPROTO_TCP ? 12 : 0))
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
        journey_missed(j, "data from the virtual IP at the client's link: %s", r->asked.error);
        return;
    }
    ip_port_text(&p->from, p->from_port, from);
    ip_port_text(&p->to, p->to_port, to);
    if (r->protocol == IPPROTO_UDP)
        journey_saw(j, since(r, p->time_ns),
                    "a datagram of %zu bytes, from %s to %s: translated back", p->payload_len, from,
                    to);
    else
        journey_saw(j, since(r, p->time_ns), "%.*s, from %s to %s: translated back", first_line(p),
                    (const char *)p->payload, from, to);
}

static void tell_total(const struct request *r, struct journey *j)
{
    const struct asked *a = &r->asked;
    journey_step(j, "total");
    if (a->complete)
        journey_saw(j, a->total_ns,
                    "%.2f ms as the client counts: name %.2f, connection %.2f, request and answer "
                    "%.2f",
                    (double)a->total_ns / 1e6, (double)a->name_ns / 1e6,
                    (double)(a->connect_ns - a->name_ns) / 1e6,
                    (double)(a->total_ns - a->connect_ns) / 1e6);
    else
        journey_missed(j, "a complete answer: %s", a->error);
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
    const struct request_how how = {
        .typed = name, .wait_s = REQUEST_WAIT_S, .protocol = IPPROTO_TCP, .ask = request_by_curl
    };
    int code = request_make(o, &how, &r, e);
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
