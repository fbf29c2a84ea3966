#include "explain/explain.h"

#include "base/str.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/service.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

void explain_cause(struct explain_report *r, const char *code, const char *text, const char *change)
{
    vec_push(&r->causes, (struct explain_cause){ code, text, change, false });
}

void explain_note(struct explain_report *r, const char *code, const char *text, const char *change)
{
    vec_push(&r->notes, (struct explain_cause){ code, text, change, false });
}

void explain_doubt(struct explain_report *r, const char *code, const char *text, const char *change)
{
    vec_push(&r->notes, (struct explain_cause){ code, text, change, true });
}

/* ---- the Service */

static const char *without_zone(const struct explain_report *r, const char *name)
{
    const char *zone = arena_printf(r->arena, ".svc.%s", r->request->cluster_domain);
    char *copy = str_lower(arena_strdup(r->arena, name));
    size_t len = strlen(copy);
    if (len > 0 && copy[len - 1] == '.')
        copy[--len] = '\0';
    if (!str_ends(copy, zone))
        return NULL;
    copy[len - strlen(zone)] = '\0';
    return copy;
}

/* "bar.shop" or "x.y.bar.shop" in front of "svc.ZONE". */
static const struct service *service_named(const struct explain_report *r, const char *name)
{
    const char *head = without_zone(r, name);
    const char *dot = head ? strrchr(head, '.') : NULL;
    if (!dot)
        return NULL;
    const char *first = dot;
    while (first > head && first[-1] != '.')
        first--;
    const struct object *o = store_get(r->request->store, KIND_SERVICE, dot + 1,
                                       arena_strndup(r->arena, first, (size_t)(dot - first)));
    return o ? service_of(o) : NULL;
}

static const struct service_port *port_by(const struct explain_report *r, bool node_port)
{
    const struct service *s = r->service;
    for (unsigned i = 0; i < s->n_ports; i++) {
        const struct service_port *p = &s->ports[i];
        uint16_t number = node_port ? p->node_port : p->port;
        if (p->protocol != r->request->protocol)
            continue;
        if (!r->port_text || (r->port ? number == r->port : strcmp(p->name, r->port_text) == 0))
            return p;
    }
    return NULL;
}

static unsigned ports_of_protocol(const struct explain_report *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->service->n_ports; i++)
        n += r->service->ports[i].protocol == r->request->protocol;
    return n;
}

static const char *port_list(const struct explain_report *r)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    const struct service *s = r->service;
    for (unsigned i = 0; i < s->n_ports; i++)
        strbuf_printf(&b, "%s%u/%s%s%s%s", i ? ", " : "", s->ports[i].port,
                      protocol_text(s->ports[i].protocol), *s->ports[i].name ? " (" : "",
                      s->ports[i].name, *s->ports[i].name ? ")" : "");
    return arena_strdup(r->arena, b.len ? b.p : "none");
}

static void blame_port(struct explain_report *r)
{
    const struct meta *m = &r->service->object.meta;
    explain_cause(r, "port-not-in-service",
                  arena_printf(r->arena, "Service %s/%s has no port %s over %s; its ports: %s",
                               m->namespace, m->name, r->port_text ? r->port_text : "at all",
                               protocol_text(r->request->protocol), port_list(r)),
                  "use one of them, or add the port to the Service");
}

/* The port that a client must use at a headless Service: that of the pod. */
static uint16_t endpoint_port(const struct explain_report *r)
{
    vec_each (row, &r->endpoints)
        if (row->in && row->port)
            return row->port;
    return r->service_port->target_port ? r->service_port->target_port : r->service_port->port;
}

static void choose_headless_port(struct explain_report *r)
{
    const struct service_port *p = r->service_port;
    if (!p)
        return;
    uint16_t there = endpoint_port(r);
    if (!r->port) {
        r->port = there;
    } else if (r->port == p->port && there != p->port) {
        explain_cause(
            r, "headless-port",
            arena_printf(r->arena,
                         "Service %s/%s is headless: clients meet the pods themselves, "
                         "and no rule turns port %u into the pods' port %u",
                         r->service->object.meta.namespace, r->service->object.meta.name, p->port,
                         there),
            arena_printf(r->arena, "use port %u, or give the Service a cluster IP", there));
    }
}

static void choose_port(struct explain_report *r, const struct ip *ip)
{
    const struct pod *pod = explain_pod_at(r->request->store, ip);
    bool node_port = explain_node_at(r->request->store, ip) != NULL;
    if (r->service && r->service->type != SERVICE_EXTERNAL_NAME) {
        r->service_port = port_by(r, node_port);
        if (!r->port_text && ports_of_protocol(r) > 1)
            explain_note(r, "first-port",
                         arena_printf(r->arena, "no port was given: the first of %s", port_list(r)),
                         NULL);
        if (r->service_port && !r->service->headless && !r->port)
            r->port = node_port ? r->service_port->node_port : r->service_port->port;
        return;
    }
    if (!r->port_text && pod && pod->n_ports > 0)
        r->port = pod->ports[0].port;
}

/* ---- why a packet does not arrive */

static void blame_local(struct explain_report *r, const struct explain_leg *l)
{
    const struct meta *m = &r->service->object.meta;
    bool internal = l->front->kind == FRONT_CLUSTER_IP;
    explain_cause(r, "local-without-endpoint",
                  arena_printf(r->arena,
                               "Service %s/%s has %sTrafficPolicy Local, and none of its endpoints "
                               "is on node %s",
                               m->namespace, m->name, internal ? "internal" : "external", l->node),
                  internal ? "run an endpoint on every node that has clients, or use policy Cluster"
                           : "send clients only to nodes with an endpoint "
                             "(healthCheckNodePort), or use policy Cluster");
}

static void blame_range(struct explain_report *r, const struct explain_leg *l)
{
    char text[IP_TEXT_MAX];
    const struct ip *from = &r->source.ips[l->to.family == 6];
    explain_cause(r, "source-range",
                  arena_printf(r->arena, "loadBalancerSourceRanges of Service %s do not let %s in",
                               l->portal->owner, ip_text(from, text)),
                  "add its range");
}

static bool is_let_in(const struct portal *p, const struct ip *from)
{
    for (unsigned i = 0; i < p->n_sources; i++)
        if (ip_prefix_contains(&p->sources[i], from))
            return true;
    return false;
}

static void blame_portal(struct explain_report *r, const struct explain_leg *l)
{
    const struct portal *p = l->portal;
    if (!p->has_any)
        explain_nobody(r);
    else if (front_is_guarded(p, l->front) && !is_let_in(p, &r->source.ips[l->to.family == 6]))
        blame_range(r, l);
    else
        blame_local(r, l);
}

static void blame_leg(struct explain_report *r, const struct explain_leg *l)
{
    char text[IP_TEXT_MAX];
    if (l->flow.outcomes.items[0].end == FLOW_UNKNOWN)
        explain_cause(r, "walk-limit", "the rules are too many to be walked", NULL);
    else if (l->portal && r->service)
        blame_portal(r, l);
    else if (r->service)
        blame_port(r);
    else
        explain_cause(r, "no-such-address",
                      arena_printf(r->arena,
                                   "%s is of the range of cluster IPs, but no Service has it",
                                   ip_text(&l->to, text)),
                      "ask for the Service by its name");
}

/* Packets to a pod's own address arrive only while the pod is there. */
static void check_pod(struct explain_report *r, const struct explain_leg *l)
{
    const struct pod *p = l->portal ? NULL : explain_pod_at(r->request->store, &l->to);
    if (!p || !pod_is_finished(p))
        return;
    explain_cause(r, "pod-ended",
                  arena_printf(r->arena, "pod %s/%s has ended, its address is nobody's",
                               p->object.meta.namespace, p->object.meta.name),
                  "look the address up again");
}

/* ---- the name servers */

static const struct service_port *dns_port(const struct service *s)
{
    for (unsigned i = 0; i < s->n_ports; i++)
        if (s->ports[i].port == 53 && s->ports[i].protocol == PROTO_UDP)
            return &s->ports[i];
    return NULL;
}

static void blame_dns(struct explain_report *r)
{
    const struct explain_leg *l = &r->dns.items[0];
    size_t before = r->causes.n;
    char text[IP_TEXT_MAX];
    r->service = explain_service_at(r->request->store, &l->to);
    r->service_port = r->service ? dns_port(r->service) : NULL;
    blame_leg(r, l);
    struct explain_cause *c = &r->causes.items[before];
    c->text = arena_printf(r->arena, "the cluster's DNS cannot be asked at %s: %s",
                           ip_text(&l->to, text), c->text);
    c->code = "dns-unreachable";
    if (r->service)
        explain_endpoints(r, l->portal, l->to.family, false);
}

/* False: none of them can be reached. */
static bool reach_dns(struct explain_report *r, struct err *e, int *rc)
{
    const struct stub_conf *c = &r->lookup.stub;
    bool any = r->lookup.no_server || r->lookup.from_files || r->source.outside;
    for (unsigned i = 0; i < c->n_servers && !any && *rc == 0; i++) {
        size_t n = r->dns.n;
        *rc = explain_walk(r, &c->servers[i].ip, c->servers[i].port, IPPROTO_UDP, true, e);
        any |= r->dns.n == n || r->dns.items[n].ok;
    }
    return any;
}

/* ---- all of it */

static int open_view(struct explain_report *r, struct err *e)
{
    const struct node_view_options o = { .node =
                                             r->source.node ? r->source.node->object.meta.name : "",
                                         .rules = { r->request->rules[0], r->request->rules[1] },
                                         .chains = r->request->chains,
                                         .ranges = r->request->ranges,
                                         .n_ranges = r->request->n_ranges };
    int rc = node_view_open(&r->view, r->request->store, &o, e);
    r->has_view = rc == 0;
    return rc;
}

static void first_node(void *ctx, const struct object *o)
{
    const struct node **first = ctx;
    if (!*first || strcmp(o->meta.name, (*first)->object.meta.name) < 0)
        *first = node_of(o);
}

/* Where what comes from outside arrives. */
static int find_arrival(struct explain_report *r, const struct ip *ip, struct err *e)
{
    struct explain_source *s = &r->source;
    if (!s->outside || s->node)
        return 0;
    s->node = explain_node_at(r->request->store, ip);
    if (!s->node && store_count(r->request->store, KIND_NODE) == 1)
        store_each(r->request->store, KIND_NODE, NULL, first_node, &s->node);
    if (!s->node)
        return err_set(e, ERR_INVALID,
                       "%s comes from outside: say at which Node it arrives, with --at NODE",
                       r->request->from);
    return 0;
}

static const struct service *service_of_portal(const struct explain_report *r,
                                               const struct portal *p)
{
    const char *slash = strchr(p->owner, '/');
    const struct object *o = store_get(
        r->request->store, KIND_SERVICE,
        arena_strndup(r->arena, p->owner, (size_t)(slash - p->owner)),
        arena_strndup(r->arena, slash + 1, p->owner_len - (size_t)(slash + 1 - p->owner)));
    return o ? service_of(o) : NULL;
}

static const struct service *service_of_target(const struct explain_report *r, const struct ip *ip)
{
    const struct front *f;
    const struct portal *p;
    if (r->lookup.won >= 0 && r->lookup.done)
        return service_named(r, r->lookup.candidates.items[r->lookup.won].name);
    const struct service *s = explain_service_at(r->request->store, ip);
    if (s || !r->port)
        return s;
    p = node_view_portal(&r->view, ip, r->port, (uint8_t)r->request->protocol, &f);
    if (!p)
        return NULL;
    return service_of_portal(r, p);
}

static void gather_endpoints(struct explain_report *r, const struct ip *ip)
{
    const struct front *f = NULL;
    const struct portal *p = NULL;
    if (!r->service->headless && r->port)
        p = node_view_portal(&r->view, ip, r->port, (uint8_t)r->request->protocol, &f);
    bool local = p && (f->kind == FRONT_CLUSTER_IP ? p->internal_local
                                                   : front_plan(p, f).route == ROUTE_LOCAL);
    if (p || r->service->headless)
        explain_endpoints(r, p, ip->family, local);
    if (p && p->n_cluster + p->n_local > 0)
        explain_target_ports(r);
}

static int walk_all(struct explain_report *r, const struct ip *ips, size_t n, struct err *e)
{
    uint8_t protocol = protocol_number(r->request->protocol);
    int rc = 0;
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= r->source.ips[ips[i].family == 6].family != 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        if (!any || r->source.ips[ips[i].family == 6].family)
            rc = explain_walk(r, &ips[i], r->port, protocol, false, e);
    return rc;
}

/* Every address is a try of the client's; what counts is whether one of them leads somewhere. */
static void judge_legs(struct explain_report *r)
{
    const struct explain_leg *failed = NULL;
    bool ok = false;
    vec_each (l, &r->legs) {
        if (l->next)
            continue; /* the next leg is its end */
        ok |= l->ok;
        if (!l->ok && !failed)
            failed = l;
        check_pod(r, l);
    }
    if (!ok && failed)
        blame_leg(r, failed);
}

/* A node port of another Node: whose it is, only that Node's rules know. */
static void meet_elsewhere(struct explain_report *r)
{
    const struct explain_leg *l = r->legs.n ? &r->legs.items[r->legs.n - 1] : NULL;
    if (!l || !l->portal)
        return;
    r->service = service_of_portal(r, l->portal);
    if (!r->service)
        return;
    r->service_port = port_by(r, true);
    explain_endpoints(r, l->portal, l->to.family, l->portal->external_local);
}

static int follow(struct explain_report *r, const struct ip *ips, size_t n, struct err *e)
{
    int rc = find_arrival(r, &ips[0], e);
    if (rc == 0 && !r->has_view)
        rc = open_view(r, e);
    if (rc < 0)
        return rc;
    r->service = service_of_target(r, &ips[0]);
    choose_port(r, &ips[0]);
    if (r->service)
        gather_endpoints(r, &ips[0]);
    if (r->service && r->service->headless)
        choose_headless_port(r);
    if (r->service && r->port_text && !r->port) {
        blame_port(r);
        return 0;
    }
    rc = walk_all(r, ips, n, e);
    if (rc == 0 && !r->service)
        meet_elsewhere(r);
    if (rc == 0 && r->causes.n == 0)
        judge_legs(r);
    return rc;
}

/* The name leads to another one, of which the objects know nothing. */
static void note_alias(struct explain_report *r)
{
    const struct explain_candidate *c = &r->lookup.candidates.items[r->lookup.won];
    r->service = service_named(r, c->name);
    if (!c->answer.alias)
        return;
    explain_note(r, "external-name",
                 arena_printf(r->arena,
                              "%s is another name for %s: no rule of the proxy has a part", c->name,
                              c->answer.alias),
                 "clients that check names (TLS, HTTP Host) see the other one");
}

static int explain_name(struct explain_report *r, struct err *e)
{
    struct ip ips[EXPLAIN_ADDRESSES_MAX];
    size_t n;
    int rc = 0;
    if (r->source.outside)
        return err_set(e, ERR_INVALID,
                       "%s is outside of the cluster and has no search list: give "
                       "an address to go to",
                       r->request->from);
    int found = explain_look_up(r, ips, &n);
    if (!reach_dns(r, e, &rc)) {
        vec_clear(&r->causes);
        blame_dns(r);
        return rc;
    }
    if (rc < 0 || !explain_name_server(r) || found < 0)
        return rc;
    if (n > 0)
        return follow(r, ips, n, e);
    note_alias(r);
    return 0;
}

int explain_build(const struct explain_request *q, struct arena *a, struct explain_report *ret,
                  struct err *e)
{
    struct ip ip;
    struct explain_report *r = ret;
    *r = (struct explain_report){ .arena = a, .request = q };
    r->lookup.won = -1;
    int rc = explain_find_source(r, e);
    if (rc == 0)
        rc = explain_find_target(r, e);
    if (rc == 0 && (r->source.node || !r->source.outside))
        rc = open_view(r, e);
    if (rc == 0)
        rc = ip_parse(r->name, &ip) == 0 ? follow(r, &ip, 1, e) : explain_name(r, e);
    if (rc < 0) {
        explain_done(r);
        return rc;
    }
    explain_rules_of_others(r);
    explain_old_entries(r);
    explain_judge(r);
    return 0;
}

static void legs_done(struct explain_leg *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        flow_done(&items[i].flow);
}

void explain_done(struct explain_report *r)
{
    legs_done(r->legs.items, r->legs.n);
    legs_done(r->dns.items, r->dns.n);
    vec_done(&r->legs);
    vec_done(&r->dns);
    vec_done(&r->lookup.candidates);
    vec_done(&r->endpoints);
    vec_done(&r->causes);
    vec_done(&r->notes);
    vec_done(&r->near);
    if (r->has_view)
        node_view_done(&r->view);
    if (r->other.node)
        node_view_done(&r->other.view);
    r->has_view = false;
    r->other.node = NULL;
}
