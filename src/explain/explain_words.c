/* The parts of a report in words. */
#include "base/str.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <stdio.h>
#include <string.h>

const char *explain_port_text(const struct explain_report *r, const struct ip *ip, uint16_t port)
{
    char text[IP_PORT_TEXT_MAX];
    if (!ip->family)
        return "";
    return arena_strdup(r->arena, port ? ip_port_text(ip, port, text) : ip_text(ip, text));
}

const char *explain_service_text(const struct explain_report *r)
{
    static const char *const types[] = { [SERVICE_CLUSTER_IP] = "ClusterIP",
                                         [SERVICE_NODE_PORT] = "NodePort",
                                         [SERVICE_LOAD_BALANCER] = "LoadBalancer",
                                         [SERVICE_EXTERNAL_NAME] = "ExternalName" };
    const struct service *s = r->service;
    const struct service_port *p = r->service_port;
    cleanup(strbuf_done) struct strbuf b = { 0 };
    if (s->type == SERVICE_EXTERNAL_NAME)
        return arena_printf(r->arena, "ExternalName %s", s->external_name);
    strbuf_puts(&b, s->headless ? "headless" : types[s->type]);
    if (p && p->target_name)
        strbuf_printf(&b, ", port %u/%s to \"%s\"", p->port, protocol_text(p->protocol),
                      p->target_name);
    else if (p)
        strbuf_printf(&b, ", port %u/%s to %u", p->port, protocol_text(p->protocol),
                      p->target_port ? p->target_port : p->port);
    strbuf_printf(&b, ", traffic policies: internal %s, external %s",
                  s->internal_local ? "Local" : "Cluster", s->external_local ? "Local" : "Cluster");
    if (s->affinity_seconds)
        strbuf_printf(&b, ", a client stays for %u s", s->affinity_seconds);
    if (s->traffic_distribution)
        strbuf_printf(&b, ", trafficDistribution %s", s->traffic_distribution);
    return arena_strdup(r->arena, b.p);
}

const char *explain_answer_text(const struct explain_report *r, const struct explain_candidate *c)
{
    const struct explain_answer *a = &c->answer;
    cleanup(strbuf_done) struct strbuf b = { 0 };
    char text[IP_TEXT_MAX];
    if (a->kind == ANSWER_OUTSIDE)
        return c->outcome == WALK_FOUND ? "outside: the objects do not say what it means"
                                        : "outside: taken as not there";
    if (a->kind == ANSWER_NODATA || a->kind == ANSWER_NXDOMAIN || a->kind == ANSWER_FAILED)
        return a->cause ? arena_printf(r->arena, "%s: %s", walk_outcome_text(c->outcome), a->cause)
                        : walk_outcome_text(c->outcome);
    if (a->alias)
        strbuf_printf(&b, "CNAME %s", a->alias);
    for (size_t i = 0; i < a->n_ips; i++)
        strbuf_printf(&b, "%s%s %s", b.len ? ", " : "", a->ips[i].family == 4 ? "A" : "AAAA",
                      ip_text(&a->ips[i], text));
    return arena_strdup(r->arena, b.len ? b.p : "found");
}

const char *explain_owner_text(const struct explain_report *r, const struct ip *ip)
{
    const struct pod *p = explain_pod_at(r->request->store, ip);
    const struct node *n = explain_node_at(r->request->store, ip);
    if (p)
        return arena_printf(r->arena, "pod %s/%s%s%s", p->object.meta.namespace,
                            p->object.meta.name, *p->node ? " on " : "", p->node);
    return n ? arena_printf(r->arena, "node %s", n->object.meta.name) : "";
}

/* Conditions that tell one Service or client from others; those on states of packets do not. */
static bool tells_apart(const struct part *p)
{
    if (p->kind == PART_EQUAL)
        return p->expression.terms[0].field == FIELD_PORT ||
               p->expression.terms[0].field == FIELD_PRIORITY;
    return p->kind == PART_PREFIX || p->kind == PART_NAME || p->kind == PART_CHANCE ||
           p->kind == PART_KEPT;
}

bool explain_step_matters(const struct flow_step *s)
{
    if (s->element)
        return true;
    for (unsigned i = 0; i < s->rule->n_parts; i++) {
        const struct part *p = &s->rule->parts[i];
        bool leads_on = p->kind == PART_VERDICT &&
                        (p->verdict.kind == FIREWALL_JUMP || p->verdict.kind == FIREWALL_GOTO ||
                         p->verdict.kind == FIREWALL_RETURN);
        if (tells_apart(p) ||
            (p->kind >= PART_SET_MARK && p->kind != PART_SET_PRIORITY && !leads_on))
            return true;
    }
    return false;
}

static bool has_part(const struct flow_step *s, enum part_kind kind)
{
    for (unsigned i = 0; i < s->rule->n_parts; i++)
        if (s->rule->parts[i].kind == kind)
            return true;
    return false;
}

/* The mark means: masquerade; who set it has the reason. In iptables mode marks are set in a chain
 * of their own, and the step before tells who jumped there. */
static const char *mark_text(const struct explain_report *r, const struct flow_step *mark)
{
    static const struct {
        const char *chain, *text;
    } known[] = {
        { "external", "came to a node port or an address of the outside, which with policy Cluster "
                      "may lead to another node: the replies must come back by this one" },
        { "nat KUBE-EXT-",
          "came to a node port or an address of the outside: the replies must come "
          "back by this node" },
        { "by-source", "this node itself asks" },
        { "nat KUBE-SEP-", "to oneself" },
        { "nat KUBE-SVC-", "from outside the cluster, or everyone is" },
        { "nat KUBE-SVL-", "from outside the cluster, or everyone is" },
    };
    const struct flow_step *by =
        strcmp(mark->chain->name, "nat KUBE-MARK-MASQ") == 0 && mark->before ? mark->before : mark;
    if (by == mark && mark->rule->comment)
        return mark->rule->comment;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_starts(by->chain->name, known[i].chain))
            return known[i].text;
    return arena_printf(r->arena, "marked in %s", by->chain->name);
}

const char *explain_masquerade_text(const struct explain_report *r, const struct flow_outcome *o)
{
    const struct flow_step *mark = NULL, *masquerade = NULL;
    if (!o->masqueraded)
        return NULL;
    for (const struct flow_step *s = o->last; s; s = s->before) {
        bool ends = has_part(s, PART_MASQUERADE);
        if (ends)
            masquerade = s;
        else if (has_part(s, PART_SET_MARK) && !has_part(s, PART_VERDICT) &&
                 strcmp(s->chain->name, "nat KUBE-POSTROUTING") != 0)
            mark = s;
    }
    if (masquerade && masquerade->map)
        return masquerade->rule->comment;
    return mark ? mark_text(r, mark) : "by a rule";
}

const char *explain_reply_text(const struct explain_report *r, const struct explain_leg *l,
                               const struct flow_outcome *o)
{
    const char *end = explain_port_text(r, &o->to, o->to_port);
    const char *front = explain_port_text(r, &l->to, l->port);
    const char *node = *l->node ? arena_printf(r->arena, "node %s", l->node) : "the node";
    const char *client = explain_port_text(r, &r->source.ips[l->to.family == 6], 0);
    if (o->masqueraded)
        return arena_printf(
            r->arena,
            "%s answers the address of %s, whose connection tracking turns it back: "
            "from %s, to %s",
            end, node, front, client);
    if (o->translated)
        return arena_printf(r->arena,
                            "%s answers %s; on the way the connection tracking of %s turns the "
                            "sender back into %s",
                            end, client, node, front);
    return arena_printf(r->arena, "%s answers %s, nothing is translated", end, client);
}
