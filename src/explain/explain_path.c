/* From the source to an address: whose it is, and through which rules. */
#include "base/str.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define CLIENT_PORT 40000 /* any will do: no rule looks at it */

/* ---- whose address it is */

struct by_address {
    const struct ip *ip;
    const struct service *found;
    const char *what;
};

static void match_service(void *ctx, const struct object *o)
{
    struct by_address *b = ctx;
    const struct service *s = service_of(o);
    const char *what = NULL;
    for (unsigned i = 0; i < s->n_cluster_ips && !what; i++)
        what = ip_equal(&s->cluster_ips[i], b->ip) ? "cluster IP" : NULL;
    for (unsigned i = 0; i < s->n_ingress && !what; i++)
        what = ip_equal(&s->ingress[i].ip, b->ip) ? "load balancer address" : NULL;
    for (unsigned i = 0; i < s->n_external_ips && !what; i++)
        what = ip_equal(&s->external_ips[i], b->ip) ? "external IP" : NULL;
    if (what && (!b->found || strcmp(s->object.meta.name, b->found->object.meta.name) < 0)) {
        b->found = s;
        b->what = what;
    }
}

static const char *object_text(const struct explain_report *r, const char *what,
                               const struct object *o)
{
    return *o->meta.namespace
               ? arena_printf(r->arena, "%s %s/%s", what, o->meta.namespace, o->meta.name)
               : arena_printf(r->arena, "%s %s", what, o->meta.name);
}

static const char *portal_text(const struct explain_report *r, const struct explain_leg *l)
{
    static const char *const kinds[] = { [FRONT_CLUSTER_IP] = "cluster IP",
                                         [FRONT_BALANCER_IP] = "load balancer address",
                                         [FRONT_EXTERNAL_IP] = "external IP",
                                         [FRONT_NODE_PORT] = "node port" };
    return arena_printf(r->arena, "%s of Service %s", kinds[l->front->kind], l->portal->owner);
}

static const char *target_text(const struct explain_report *r, const struct explain_leg *l)
{
    struct by_address b = { .ip = &l->to };
    const struct pod *p = explain_pod_at(r->request->store, &l->to);
    const struct node *n = explain_node_at(r->request->store, &l->to);
    if (l->portal)
        return portal_text(r, l);
    store_each(r->request->store, KIND_SERVICE, NULL, match_service, &b);
    if (b.found)
        return arena_printf(r->arena, "%s of Service %s/%s, at a port that it does not have",
                            b.what, b.found->object.meta.namespace, b.found->object.meta.name);
    if (p)
        return object_text(r, "pod", &p->object);
    return n ? object_text(r, "node", &n->object) : "an address that the objects do not know";
}

const struct service *explain_service_at(const struct store *s, const struct ip *ip)
{
    struct by_address b = { .ip = ip };
    store_each(s, KIND_SERVICE, NULL, match_service, &b);
    return b.found;
}

/* ---- the walk */

/* A pod's packets come by what the proxy was told that they come by. */
static const char *interface_of(const struct explain_report *r, const struct node_view *v)
{
    const struct ruleset_options *o = &v->rules[0];
    if (!r->source.pod || r->source.from_here)
        return NULL;
    if (o->local_mode == LOCAL_BRIDGE)
        return o->local_interface;
    return o->local_mode == LOCAL_PREFIX ? arena_printf(r->arena, "%s0", o->local_interface) : NULL;
}

/* Leaves the node for an address that only rules could have turned into somebody's. */
static bool is_lost(const struct explain_report *r, const struct flow_outcome *o)
{
    if (explain_service_at(r->request->store, &o->to) &&
        !explain_node_at(r->request->store, &o->to))
        return true;
    for (size_t i = 0; i < r->request->n_ranges; i++)
        if (ip_prefix_contains(&r->request->ranges[i], &o->to))
            return true;
    return false;
}

static void walk_at(struct explain_report *r, const struct node_view *v, const struct packet *p,
                    struct explain_leg *l)
{
    static const enum protocol protocols[] = { PROTO_TCP, PROTO_UDP, PROTO_SCTP };
    enum protocol protocol = PROTO_TCP;
    for (unsigned i = 0; i < ARRAY_SIZE(protocols); i++)
        if (protocol_number(protocols[i]) == p->protocol)
            protocol = protocols[i];
    l->portal = node_view_portal(v, &p->to, p->to_port, (uint8_t)protocol, &l->front);
    l->target = target_text(r, l);
    flow_walk(&v->firewall, v->addresses.items, v->addresses.n, p, r->arena, &l->flow);
    l->all_ok = true;
    vec_each (o, &l->flow.outcomes) {
        bool arrives = (o->end == FLOW_SENT && !is_lost(r, o)) || o->end == FLOW_HERE;
        l->ok |= arrives;
        l->all_ok &= arrives;
    }
}

/* The Node to which the only way leads: its rules come next. */
static const struct node *next_node(const struct explain_report *r, const struct explain_leg *l)
{
    const struct flow_outcome *o = l->flow.outcomes.items;
    if (l->flow.outcomes.n != 1 || o->end != FLOW_SENT)
        return NULL;
    const struct node *n = explain_node_at(r->request->store, &o->to);
    return n && strcmp(n->object.meta.name, l->node) != 0 ? n : NULL;
}

static int open_other(struct explain_report *r, const struct node *n, struct err *e)
{
    const struct node_view_options o = { .node = n->object.meta.name,
                                         .rules = { r->request->rules[0], r->request->rules[1] },
                                         .chains = r->request->chains,
                                         .ranges = r->request->ranges,
                                         .n_ranges = r->request->n_ranges };
    if (r->other.node && strcmp(r->other.node, n->object.meta.name) == 0)
        return 0;
    if (r->other.node)
        return 0; /* two nodes are as many as a packet ever sees */
    int rc = node_view_open(&r->other.view, r->request->store, &o, e);
    if (rc == 0)
        r->other.node = n->object.meta.name;
    return rc;
}

static int walk_on(struct explain_report *r, const struct explain_leg *before,
                   const struct packet *p, const struct node *n, struct err *e)
{
    const struct flow_outcome *o = before->flow.outcomes.items;
    struct explain_leg l = { .to = o->to, .port = o->to_port, .node = n->object.meta.name };
    struct packet again = *p;
    int rc = open_other(r, n, e);
    if (rc < 0 || strcmp(r->other.node, l.node) != 0)
        return rc;
    again.to = o->to;
    again.to_port = o->to_port;
    again.from_here = false;
    for (unsigned i = 0; o->masqueraded && r->source.node && i < r->source.node->n_internal_ips;
         i++)
        if (r->source.node->internal_ips[i].family == p->from.family)
            again.from = r->source.node->internal_ips[i];
    walk_at(r, &r->other.view, &again, &l);
    vec_push(&r->legs, l);
    return 0;
}

static void no_address(struct explain_report *r, const struct ip *to)
{
    const struct explain_source *s = &r->source;
    bool none = !s->ips[0].family && !s->ips[1].family;
    if (none)
        explain_cause(r, "source-without-address",
                      arena_printf(r->arena, "%s has no address yet", s->text),
                      "wait until it runs");
    else
        explain_cause(r, "no-common-family",
                      arena_printf(r->arena,
                                   "%s has no IPv%u address, and %s is only there in IPv%u",
                                   s->text, to->family, r->name, to->family),
                      "give the Service the family of its clients (ipFamilies)");
}

int explain_walk(struct explain_report *r, const struct ip *to, uint16_t port, uint8_t protocol,
                 bool dns, struct err *e)
{
    const struct ip *from = &r->source.ips[to->family == 6];
    struct explain_leg l = { .to = *to, .port = port, .node = "" };
    if (!from->family) {
        no_address(r, to);
        return 0;
    }
    struct packet p = { .protocol = protocol,
                        .from = *from,
                        .to = *to,
                        .from_port = CLIENT_PORT,
                        .to_port = port,
                        .in = interface_of(r, &r->view),
                        .from_here = r->source.from_here };
    if (r->source.node)
        l.node = r->source.node->object.meta.name;
    walk_at(r, &r->view, &p, &l);
    const struct node *next = dns ? NULL : next_node(r, &l);
    l.next = next ? next->object.meta.name : NULL;
    if (dns)
        vec_push(&r->dns, l);
    else
        vec_push(&r->legs, l);
    return next ? walk_on(r, &l, &p, next, e) : 0;
}
