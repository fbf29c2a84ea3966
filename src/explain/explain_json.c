/* A report as JSON, for programs. */
#include "base/json.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

static void member(struct strbuf *out, bool first, const char *key, const char *text)
{
    if (!first)
        strbuf_putc(out, ',');
    json_put_member(out, key, text);
}

static void key(struct strbuf *out, const char *name)
{
    strbuf_printf(out, ",\"%s\":", name);
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

static const char *address(const struct explain_report *r, const struct ip *ip)
{
    return ip->family ? explain_port_text(r, ip, 0) : NULL;
}

static void put_texts(struct strbuf *out, const char *const *items, size_t n)
{
    strbuf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            strbuf_putc(out, ',');
        json_put_text(out, items[i]);
    }
    strbuf_putc(out, ']');
}

static void put_source(const struct explain_report *r, struct strbuf *out)
{
    const struct explain_source *s = &r->source;
    strbuf_puts(out, "\"source\":{");
    member(out, true, "text", s->text);
    member(out, false, "node", s->node ? s->node->object.meta.name : NULL);
    member(out, false, "ipv4", address(r, &s->ips[0]));
    member(out, false, "ipv6", address(r, &s->ips[1]));
    strbuf_putc(out, '}');
}

static void put_candidate(const struct explain_report *r, const struct explain_candidate *c,
                          struct strbuf *out)
{
    strbuf_putc(out, '{');
    member(out, true, "name", c->name);
    member(out, false, "outcome", walk_outcome_text(c->outcome));
    member(out, false, "answer", explain_answer_text(r, c));
    key(out, "near");
    put_texts(out, c->answer.near, c->answer.n_near);
    strbuf_putc(out, '}');
}

static void put_lookup(const struct explain_report *r, struct strbuf *out)
{
    const struct explain_lookup *l = &r->lookup;
    key(out, "lookup");
    if (!l->done) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_putc(out, '{');
    member(out, true, "files", l->from_files);
    strbuf_printf(out, ",\"ndots\":%u,\"won\":%d", l->ndots, l->won);
    key(out, "search");
    put_texts(out, l->conf.searches.items, l->conf.searches.n);
    strbuf_puts(out, ",\"candidates\":[");
    for (size_t i = 0; i < l->candidates.n; i++) {
        strbuf_puts(out, i ? "," : "");
        put_candidate(r, &l->candidates.items[i], out);
    }
    strbuf_puts(out, "]}");
}

static void put_service(const struct explain_report *r, struct strbuf *out)
{
    key(out, "service");
    if (!r->service) {
        strbuf_puts(out, "null");
        return;
    }
    strbuf_putc(out, '{');
    member(out, true, "namespace", r->service->object.meta.namespace);
    member(out, false, "name", r->service->object.meta.name);
    member(out, false, "text", explain_service_text(r));
    strbuf_putc(out, '}');
}

static void put_endpoints(const struct explain_report *r, struct strbuf *out)
{
    strbuf_puts(out, ",\"endpoints\":[");
    for (size_t i = 0; i < r->endpoints.n; i++) {
        const struct explain_endpoint *p = &r->endpoints.items[i];
        strbuf_puts(out, i ? ",{" : "{");
        member(out, true, "ip", address(r, &p->ip));
        strbuf_printf(out, ",\"port\":%u,\"in\":%s", p->port, truth(p->in));
        member(out, false, "pod", p->pod);
        member(out, false, "node", p->node);
        member(out, false, "zone", p->zone);
        member(out, false, "why", p->why);
        strbuf_putc(out, '}');
    }
    strbuf_putc(out, ']');
}

static void put_steps(const struct explain_report *r, const struct flow_outcome *o,
                      struct strbuf *out)
{
    const struct flow_step *const *steps;
    size_t n = flow_steps(o, r->arena, &steps);
    strbuf_puts(out, ",\"steps\":[");
    for (size_t i = 0; i < n; i++) {
        const struct flow_step *s = steps[i];
        strbuf_puts(out, i ? ",{" : "{");
        member(out, true, "chain", s->chain->name);
        member(out, false, "rule", s->rule->text);
        member(out, false, "map", s->map ? s->map->name : NULL);
        member(out, false, "element", s->element);
        strbuf_putc(out, '}');
    }
    strbuf_putc(out, ']');
}

static void put_outcome(const struct explain_report *r, const struct explain_leg *l,
                        const struct flow_outcome *o, struct strbuf *out)
{
    const struct pod *p = explain_pod_at(r->request->store, &o->to);
    bool arrives = o->end == FLOW_SENT || o->end == FLOW_HERE;
    strbuf_putc(out, '{');
    member(out, true, "end", flow_end_text(o->end));
    member(out, false, "ip", address(r, &o->to));
    strbuf_printf(out, ",\"port\":%u,\"share\":%.9g,\"dnat\":%s,\"masquerade\":%s,\"kept\":%u",
                  o->to_port, o->share, truth(o->translated), truth(o->masqueraded), o->remembered);
    member(out, false, "why", explain_masquerade_text(r, o));
    member(out, false, "pod",
           p ? arena_printf(r->arena, "%s/%s", p->object.meta.namespace, p->object.meta.name)
             : NULL);
    member(out, false, "reply", arrives ? explain_reply_text(r, l, o) : NULL);
    put_steps(r, o, out);
    strbuf_putc(out, '}');
}

static void put_leg(const struct explain_report *r, const struct explain_leg *l, struct strbuf *out)
{
    strbuf_putc(out, '{');
    member(out, true, "ip", address(r, &l->to));
    strbuf_printf(out, ",\"port\":%u,\"ok\":%s", l->port, truth(l->ok));
    member(out, false, "node", l->node);
    member(out, false, "target", l->target);
    member(out, false, "next", l->next);
    strbuf_puts(out, ",\"outcomes\":[");
    for (size_t i = 0; i < l->flow.outcomes.n; i++) {
        strbuf_puts(out, i ? "," : "");
        put_outcome(r, l, &l->flow.outcomes.items[i], out);
    }
    strbuf_puts(out, "]}");
}

static void put_legs(const struct explain_report *r, const char *name,
                     const struct explain_leg *legs, size_t n, struct strbuf *out)
{
    strbuf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        strbuf_puts(out, i ? "," : "");
        put_leg(r, &legs[i], out);
    }
    strbuf_putc(out, ']');
}

static void put_causes(const char *name, const struct explain_cause *items, size_t n,
                       struct strbuf *out)
{
    strbuf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        strbuf_puts(out, i ? ",{" : "{");
        member(out, true, "code", items[i].code);
        member(out, false, "text", items[i].text);
        member(out, false, "change", items[i].change);
        strbuf_printf(out, ",\"doubt\":%s}", truth(items[i].doubt));
    }
    strbuf_putc(out, ']');
}

void explain_json(const struct explain_report *r, struct strbuf *out)
{
    strbuf_putc(out, '{');
    put_source(r, out);
    member(out, false, "target", r->name);
    strbuf_printf(out, ",\"port\":%u", r->port);
    put_lookup(r, out);
    put_legs(r, "name_servers", r->dns.items, r->dns.n, out);
    put_service(r, out);
    put_endpoints(r, out);
    put_legs(r, "ways", r->legs.items, r->legs.n, out);
    put_causes("causes", r->causes.items, r->causes.n, out);
    put_causes("notes", r->notes.items, r->notes.n, out);
    key(out, "near");
    put_texts(out, r->near.items, r->near.n);
    strbuf_printf(out, ",\"reachable\":%s", truth(r->reachable));
    member(out, false, "verdict", r->verdict);
    strbuf_puts(out, "}\n");
}
