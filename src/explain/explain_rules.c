/* What the rules of others on the source's Node do to the request: to its queries, to its packets,
 * and to the source of what a Service sends back to its own sender. */
#include "explain/explain_impl.h"
#include "explain/others.h"
#include "kube/pod.h"

#include <netinet/in.h>
#include <string.h>

struct look {
    struct explain_report *r;
    struct others rules;
    const char *node;
};

static struct others_packet packet_to(const struct explain_report *r, const struct ip *to,
                                      uint16_t port, uint8_t protocol)
{
    return (struct others_packet){
        .protocol = protocol, .from = r->source.ips[to->family == 6], .to = *to, .to_port = port
    };
}

/* Where it enters the Node, and where it leaves it for the place that the leg leads to. */
static bool is_dropped(const struct look *k, const struct explain_leg *l, uint8_t protocol,
                       struct others_finding *ret)
{
    struct explain_report *r = k->r;
    struct others_packet p = packet_to(r, &l->to, l->port, protocol);
    if (others_drop(&k->rules, r->source.from_here ? HOOK_OUTPUT : HOOK_PREROUTING, &p, r->arena,
                    ret))
        return true;
    for (size_t i = 0; i < l->flow.outcomes.n; i++) {
        const struct flow_outcome *o = &l->flow.outcomes.items[i];
        if (o->end != FLOW_SENT)
            continue;
        p = packet_to(r, &o->to, o->to_port, protocol);
        if (others_drop(&k->rules, HOOK_FORWARD, &p, r->arena, ret))
            return true;
    }
    return false;
}

/* ---- queries ---- */

static void tell_lost_queries(const struct look *k, const struct explain_leg *l,
                              const struct others_finding *f)
{
    struct explain_report *r = k->r;
    char to[IP_TEXT_MAX];
    ip_text(&l->to, to);
    if (f->which == OTHERS_ALL)
        explain_cause(
            r, "dns-dropped",
            arena_printf(r->arena, "%s on %s drops what it asks %s", f->where, k->node, to),
            "take the rule away");
    else if (f->which == OTHERS_AAAA)
        explain_doubt(r, "lost-aaaa",
                      arena_printf(r->arena,
                                   "%s on %s drops queries for AAAA to %s: each look-up waits "
                                   "until the resolver has given up on them",
                                   f->where, k->node, to),
                      "take the rule away, or answer such queries with an empty answer");
    else
        explain_doubt(r, "five-seconds",
                      arena_printf(r->arena,
                                   "%s on %s drops the second of two queries that leave by one "
                                   "port, as A and AAAA do: such a look-up takes five seconds more",
                                   f->where, k->node),
                      "use a cache on the node, or options single-request-reopen or use-vc");
}

static bool is_translated(const struct explain_leg *l)
{
    for (size_t i = 0; i < l->flow.outcomes.n; i++)
        if (l->flow.outcomes.items[i].translated)
            return true;
    return false;
}

/* Two queries by one port at once, translated, and nothing that keeps them out of the connection
 * table: then two entries are made for one tuple at the same moment, and one packet is dropped. */
static bool can_race(const struct look *k, const struct explain_leg *l)
{
    const struct explain_report *r = k->r;
    const struct stub_conf *c = &r->lookup.stub;
    struct others_packet p = packet_to(r, &l->to, l->port, IPPROTO_UDP);
    struct others_finding f;
    return strcmp(r->request->way->name, "glibc") == 0 && !c->single_request &&
           !c->single_request_reopen && !c->use_vc && is_translated(l) &&
           !others_untrack(&k->rules, &p, r->arena, &f);
}

static void look_at_queries(const struct look *k)
{
    struct explain_report *r = k->r;
    struct others_finding f;
    char to[IP_TEXT_MAX];
    if (r->lookup.from_files || r->dns.n == 0)
        return;
    const struct explain_leg *l = &r->dns.items[0];
    if (is_dropped(k, l, IPPROTO_UDP, &f))
        tell_lost_queries(k, l, &f);
    else if (can_race(k, l))
        explain_note(r, "five-seconds",
                     arena_printf(r->arena,
                                  "glibc sends A and AAAA by one port at once, %s translates them "
                                  "for %s, and no cache on the node keeps them out of the "
                                  "connection table: when both are entered at the same moment, "
                                  "one is dropped, and the look-up takes five seconds more",
                                  k->node, ip_text(&l->to, to)),
                     "use a cache on the node, or options single-request-reopen or use-vc");
}

/* ---- the request itself ---- */

static void look_at_way(const struct look *k)
{
    struct explain_report *r = k->r;
    struct others_finding f;
    uint8_t protocol = protocol_number(r->request->protocol);
    vec_each (l, &r->legs) {
        if (strcmp(l->node, k->node) != 0 || protocol == IPPROTO_SCTP ||
            !is_dropped(k, l, protocol, &f) || f.which != OTHERS_ALL)
            continue;
        explain_cause(r, "rule-of-others",
                      arena_printf(r->arena, "%s on %s drops it, which is no rule of the proxy",
                                   f.where, k->node),
                      "take the rule away");
        return;
    }
}

/* A way back to the sender whose source is settled before the proxy masquerades it. */
static bool is_kept(const struct look *k, const struct flow_outcome *o, struct others_finding *ret)
{
    struct explain_report *r = k->r;
    const struct ip *own = &r->source.ips[o->to.family == 6];
    struct others_packet p =
        packet_to(r, &o->to, o->to_port, protocol_number(r->request->protocol));
    return o->translated && ip_equal(&o->to, own) &&
           others_keep_source(&k->rules, &p, r->arena, ret);
}

static void look_at_hairpin(const struct look *k)
{
    struct explain_report *r = k->r;
    struct others_finding f;
    vec_each (l, &r->legs) {
        vec_each (o, &l->flow.outcomes) {
            if (!is_kept(k, o, &f))
                continue;
            (l->flow.outcomes.n == 1 ? explain_cause : explain_doubt)(
                r, "hairpin",
                arena_printf(r->arena,
                             "%s is sent to itself, and %s on %s keeps it from being "
                             "masqueraded: it takes no connection that comes from its own address",
                             r->source.text, f.where, k->node),
                "take the rule away: the proxy masquerades such connections");
            return;
        }
    }
}

void explain_rules_of_others(struct explain_report *r)
{
    struct look k = { .r = r, .node = r->source.node ? r->source.node->object.meta.name : "" };
    struct err e;
    if (!r->request->around.rules || r->source.outside)
        return;
    if (others_read(r->request->around.rules, r->arena, &k.rules, &e) < 0) {
        explain_note(r, "rules", arena_printf(r->arena, "%s", e.text), NULL);
        return;
    }
    look_at_queries(&k);
    look_at_way(&k);
    look_at_hairpin(&k);
}
