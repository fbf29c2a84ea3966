/* The endpoints of a Service, each in or out with the reason; and why there is none. Who is in, the
 * portal says (proxy/select.c); here it is only put in words. */
#include "base/str.h"
#include "dns/nearest.h"
#include "explain/explain_impl.h"
#include "kube/pod.h"
#include "kube/slice.h"

#include <stdio.h>
#include <string.h>

struct gather {
    struct explain_report *r;
    const struct portal *portal; /* NULL: headless, every ready one counts */
    uint8_t family;
    uint16_t list;          /* BACKEND_CLUSTER or BACKEND_LOCAL */
    unsigned n_in, n_stale; /* rows: that are in; and of these, without a pod */
};

static const struct pod *pod_of_endpoint(const struct explain_report *r, const struct slice *s,
                                         const struct endpoint *e)
{
    const char *name = slice_str(s, slice_more(s, e).pod);
    const char *ns = slice_str(s, slice_more(s, e).pod_namespace);
    if (!*name)
        return NULL;
    const struct object *o =
        store_get(r->request->store, KIND_POD, *ns ? ns : s->object.meta.namespace, name);
    return o ? pod_of(o) : NULL;
}

static const struct slice_port *slice_port_of(const struct explain_report *r, const struct slice *s)
{
    const struct service_port *want = r->service_port;
    for (unsigned i = 0; want && i < s->n_ports; i++)
        if (s->ports[i].protocol == want->protocol && strcmp(s->ports[i].name, want->name) == 0)
            return &s->ports[i];
    return NULL;
}

/* ---- in words */

static const char *phase_text(enum pod_phase phase)
{
    static const char *const texts[] = { [POD_PENDING] = "Pending",
                                         [POD_RUNNING] = "Running",
                                         [POD_SUCCEEDED] = "Succeeded",
                                         [POD_FAILED] = "Failed",
                                         [POD_UNKNOWN] = "Unknown" };
    return texts[phase];
}

static const char *unready_text(const struct explain_report *r, const struct endpoint *e,
                                const struct pod *p)
{
    if (e->conditions & ENDPOINT_TERMINATING)
        return e->conditions & ENDPOINT_SERVING
                   ? "terminating, still serving: used only when no other is ready"
                   : "terminating, and not serving any more";
    if (p && !p->ready && p->phase != POD_RUNNING)
        return arena_printf(r->arena, "not ready: the pod is %s", phase_text(p->phase));
    return p && p->ready ? "not ready by its slice, although the pod is: the slice is stale"
                         : "not ready";
}

static bool hinted(const struct slice *s, const struct endpoint *e, const char *zone)
{
    for (unsigned i = 0; i < e->n_hints; i++)
        if (strcmp(slice_str(s, s->hints[slice_more(s, e).first_hint + i]), zone) == 0)
            return true;
    return e->n_hints == 0;
}

static const char *ready_but_out(const struct gather *g, const struct slice *s,
                                 const struct endpoint *e)
{
    const struct node_view *view = g->r->other.node ? &g->r->other.view : &g->r->view;
    const struct place *here = model_place(view->model);
    if (g->list == BACKEND_LOCAL &&
        strcmp(slice_str(s, slice_more(s, e).node), here->node_name) != 0)
        return arena_printf(g->r->arena, "ready, but not on %s: traffic policy Local",
                            *here->node_name ? here->node_name : "this node");
    if (!hinted(s, e, here->zone) || e->n_node_hints > 0)
        return arena_printf(g->r->arena, "ready, but topology hints give it to other %s",
                            e->n_node_hints ? "nodes" : "zones");
    return "ready, but not among those that the proxy uses";
}

static const char *out_text(const struct gather *g, const struct slice *s, const struct endpoint *e,
                            const struct slice_port *port)
{
    const struct explain_report *r = g->r;
    if (proxy_ignores(&s->object.meta))
        return "its slice belongs to another proxy";
    if (!port)
        return arena_printf(r->arena, "its slice %s has no port named \"%s\" (%s)",
                            s->object.meta.name, r->service_port ? r->service_port->name : "",
                            protocol_text(r->request->protocol));
    if (!(e->conditions & ENDPOINT_READY))
        return unready_text(r, e, pod_of_endpoint(r, s, e));
    return ready_but_out(g, s, e);
}

struct range_search {
    const struct ip *ip;
    bool found;
};

static void search_ranges(void *ctx, const struct object *o)
{
    struct range_search *f = ctx;
    const struct node *n = node_of(o);
    for (unsigned i = 0; i < n->n_pod_cidrs; i++)
        f->found |= ip_prefix_contains(&n->pod_cidrs[i], f->ip);
}

/* The slice names a pod that is there no more, or an address of pods that none has. */
static bool is_stale(const struct explain_report *r, const struct slice *s,
                     const struct endpoint *e)
{
    const struct store *store = r->request->store;
    struct range_search f = { .ip = &e->ip };
    if (store_count(store, KIND_POD) == 0)
        return false;
    if (*slice_str(s, slice_more(s, e).pod))
        return !pod_of_endpoint(r, s, e);
    store_each(store, KIND_NODE, NULL, search_ranges, &f);
    return f.found && !explain_pod_at(store, &e->ip);
}

static const char *in_text(const struct explain_report *r, const struct slice *s,
                           const struct endpoint *e)
{
    if (is_stale(r, s, e))
        return "in its slice, but there is no such pod";
    if (!(e->conditions & ENDPOINT_READY))
        return "terminating, but serving, and no other is ready";
    return r->service->publish_not_ready ? "counts as ready: publishNotReadyAddresses" : "ready";
}

/* ---- the rows */

static uint16_t use_of(const struct portal *p, const struct ip *ip, uint16_t port)
{
    for (uint32_t i = 0; i < p->n_backends; i++)
        if (memcmp(p->backends[i].ip, ip->bytes, ip_len(ip)) == 0 && p->backends[i].port == port)
            return p->backends[i].use;
    return 0;
}

static const char *pod_text(const struct explain_report *r, const struct slice *s,
                            const struct endpoint *e)
{
    const char *name = slice_str(s, slice_more(s, e).pod),
               *ns = slice_str(s, slice_more(s, e).pod_namespace);
    return *name ? arena_printf(r->arena, "%s/%s", *ns ? ns : s->object.meta.namespace, name) : "";
}

static void add_row(struct gather *g, const struct slice *s, const struct endpoint *e)
{
    struct explain_report *r = g->r;
    const struct slice_port *port = slice_port_of(r, s);
    struct explain_endpoint row = { .ip = e->ip,
                                    .port = port && port->port > 0 ? (uint16_t)port->port : 0,
                                    .pod = pod_text(r, s, e),
                                    .node = slice_str(s, slice_more(s, e).node),
                                    .zone = slice_str(s, e->zone) };
    if (r->endpoints.n == EXPLAIN_ENDPOINTS_MAX)
        return;
    row.in = g->portal ? (use_of(g->portal, &e->ip, row.port) & g->list) != 0
                       : (e->conditions & ENDPOINT_READY) != 0;
    g->n_in += row.in;
    g->n_stale += row.in && is_stale(r, s, e);
    row.why = row.in ? in_text(r, s, e) : out_text(g, s, e, port);
    vec_push(&r->endpoints, row);
}

static void each_slice(void *ctx, const struct object *o)
{
    struct gather *g = ctx;
    const struct slice *s = slice_of(o);
    for (uint32_t i = 0; i < s->n_endpoints; i++)
        if (s->endpoints[i].ip.family == g->family)
            add_row(g, s, &s->endpoints[i]);
}

static int compare_rows(const void *a, const void *b)
{
    const struct explain_endpoint *x = a, *y = b;
    return x->in != y->in ? y->in - x->in : ip_compare(&x->ip, &y->ip);
}

/* Pods that the selector means, but that no slice has. */
static bool has_row(const struct explain_report *r, const char *pod)
{
    vec_each (row, &r->endpoints)
        if (strcmp(row->pod, pod) == 0)
            return true;
    return false;
}

static const char *absent_text(const struct explain_report *r, const struct pod *p)
{
    if (pod_is_finished(p))
        return arena_printf(r->arena, "not an endpoint: the pod has ended (%s)",
                            phase_text(p->phase));
    if (p->n_ips == 0)
        return arena_printf(r->arena, "not an endpoint: the pod has no address yet (%s)",
                            phase_text(p->phase));
    return "in no EndpointSlice, although the selector means it";
}

static void each_pod(void *ctx, const struct object *o)
{
    struct gather *g = ctx;
    struct explain_report *r = g->r;
    const struct pod *p = pod_of(o);
    if (!labels_match(&o->meta, r->service->selector, r->service->n_selector))
        return;
    const char *name = arena_printf(r->arena, "%s/%s", o->meta.namespace, o->meta.name);
    if (has_row(r, name) || r->endpoints.n == EXPLAIN_ENDPOINTS_MAX)
        return;
    struct explain_endpoint row = { .pod = name, .node = p->node, .zone = "" };
    for (unsigned i = 0; i < p->n_ips && !row.ip.family; i++)
        if (p->ips[i].family == g->family)
            row.ip = p->ips[i];
    row.why = absent_text(r, p);
    vec_push(&r->endpoints, row);
}

static void tell_stale(const struct gather *g)
{
    struct explain_report *r = g->r;
    bool all = g->n_stale == g->n_in && r->causes.n == 0;
    if (g->n_stale == 0)
        return;
    (all ? explain_cause : explain_note)(
        r, "stale-endpoint",
        arena_printf(r->arena,
                     "%u of %u endpoint%s of Service %s/%s belong to pods that are not there: "
                     "connections to them end in silence",
                     g->n_stale, g->n_in, g->n_in == 1 ? "" : "s",
                     r->service->object.meta.namespace, r->service->object.meta.name),
        "see who looks after the EndpointSlices: the controller, or whoever wrote them");
}

void explain_endpoints(struct explain_report *r, const struct portal *portal, uint8_t family,
                       bool local)
{
    struct gather g = {
        .r = r, .portal = portal, .family = family, .list = local ? BACKEND_LOCAL : BACKEND_CLUSTER
    };
    const struct meta *m = &r->service->object.meta;
    vec_clear(&r->endpoints);
    store_each_slice_of(r->request->store, m->namespace, m->name, each_slice, &g);
    tell_stale(&g);
    if (r->service->n_selector > 0)
        store_each(r->request->store, KIND_POD, m->namespace, each_pod, &g);
    if (r->endpoints.n > 1)
        qsort(r->endpoints.items, r->endpoints.n, sizeof *r->endpoints.items, compare_rows);
}

/* ---- nobody */

struct crowd {
    const struct service *service;
    unsigned matched, ready, addressed;
    const struct pod *nearest; /* of those that do not match, the one that lacks least */
    unsigned lacks;
    const struct label *lacking;
    unsigned named; /* of the matched ones, those that have a port of the wanted name */
    const char *port_name;
    const struct pod *first;
};

/* How much a pod's labels are away from the selector; *ret: one that differs. */
static unsigned lack(const struct service *s, const struct meta *m, const struct label **ret)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < s->n_selector; i++) {
        const char *has = meta_label(m, s->selector[i].key);
        if (str_eq(has, s->selector[i].value))
            continue;
        *ret = &s->selector[i];
        sum += has ? edit_distance(has, s->selector[i].value, NEAREST_WORD) : NEAREST_WORD;
    }
    return sum;
}

static void count_pod(void *ctx, const struct object *o)
{
    struct crowd *c = ctx;
    const struct pod *p = pod_of(o);
    const struct label *lacking = NULL;
    unsigned lacks = lack(c->service, &o->meta, &lacking);
    if (lacks > 0) {
        if (!c->nearest || lacks < c->lacks) {
            c->nearest = p;
            c->lacks = lacks;
            c->lacking = lacking;
        }
        return;
    }
    c->matched++;
    c->first = c->first ? c->first : p;
    c->ready += p->ready;
    c->addressed += p->n_ips > 0;
    for (unsigned i = 0; i < p->n_ports && c->port_name; i++)
        c->named += str_eq(p->ports[i].name, c->port_name);
}

static const char *selector_text(const struct explain_report *r)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    for (unsigned i = 0; i < r->service->n_selector; i++)
        strbuf_printf(&b, "%s%s=%s", i ? "," : "", r->service->selector[i].key,
                      r->service->selector[i].value);
    return arena_strdup(r->arena, b.p ? b.p : "");
}

static const char *ports_text(const struct explain_report *r, const struct pod *p)
{
    cleanup(strbuf_done) struct strbuf b = { 0 };
    for (unsigned i = 0; i < p->n_ports; i++)
        strbuf_printf(&b, "%s%s%s%u", i ? ", " : "", p->ports[i].name ? p->ports[i].name : "",
                      p->ports[i].name ? "=" : "", p->ports[i].port);
    return arena_strdup(r->arena, b.len ? b.p : "none");
}

static void blame_selector(struct explain_report *r, const struct crowd *c)
{
    const struct meta *m = &r->service->object.meta;
    const char *change = "let the selector and the labels of the pods agree";
    const char *has = c->nearest ? meta_label(&c->nearest->object.meta, c->lacking->key) : NULL;
    if (has && c->lacks <= 1 + strlen(c->lacking->value) / 4)
        change = arena_printf(r->arena, "did you mean %s=%s, as pod %s has it?", c->lacking->key,
                              has, c->nearest->object.meta.name);
    explain_cause(r, "selector-matches-nothing",
                  arena_printf(r->arena,
                               "Service %s/%s has no endpoint: its selector %s matches no pod of "
                               "the namespace",
                               m->namespace, m->name, selector_text(r)),
                  change);
}

static void blame_pods(struct explain_report *r, const struct crowd *c)
{
    const struct meta *m = &r->service->object.meta;
    explain_cause(
        r, "pods-not-ready",
        arena_printf(r->arena,
                     "Service %s/%s has no ready endpoint: of %u pod%s that the selector %s "
                     "matches, %u %s an address and %u %s ready",
                     m->namespace, m->name, c->matched, c->matched == 1 ? "" : "s",
                     selector_text(r), c->addressed, c->addressed == 1 ? "has" : "have", c->ready,
                     c->ready == 1 ? "is" : "are"),
        arena_printf(r->arena, "look why pod %s/%s is not ready", c->first->object.meta.namespace,
                     c->first->object.meta.name));
}

static void blame_port_name(struct explain_report *r, const struct crowd *c)
{
    const struct meta *m = &r->service->object.meta;
    explain_cause(r, "named-port-missing",
                  arena_printf(r->arena,
                               "Service %s/%s has no endpoint for its port %u: targetPort \"%s\" "
                               "is the name of no container port of pod %s (%s)",
                               m->namespace, m->name, r->service_port->port,
                               r->service_port->target_name, c->first->object.meta.name,
                               ports_text(r, c->first)),
                  "name the container's port so, or let targetPort name one that is there");
}

static void blame_slices(struct explain_report *r, const struct crowd *c)
{
    const struct meta *m = &r->service->object.meta;
    bool wrong_name = false;
    vec_each (row, &r->endpoints)
        wrong_name |= row->ip.family && row->port == 0 && strstr(row->why, "no port named");
    const char *code = wrong_name ? "wrong-port-name" : "slice-missing";
    const char *what = wrong_name   ? "no EndpointSlice of it has a port of that name"
                       : c->matched ? "its pods are ready, but no EndpointSlice has them"
                                    : "it has no selector, and nobody made an EndpointSlice for it";
    explain_cause(
        r, code,
        arena_printf(r->arena, "Service %s/%s has no endpoint: %s", m->namespace, m->name, what),
        wrong_name   ? "let the names of the ports in Service and slice agree"
        : c->matched ? "see whether the EndpointSlice controller runs"
                     : "make a slice with the label " LABEL_SERVICE_NAME
                       ", or give the Service a selector");
}

void explain_nobody(struct explain_report *r)
{
    struct crowd c = { .service = r->service };
    const struct meta *m = &r->service->object.meta;
    c.port_name = r->service_port ? r->service_port->target_name : NULL;
    if (r->service->n_selector > 0)
        store_each(r->request->store, KIND_POD, m->namespace, count_pod, &c);
    if (r->service->n_selector > 0 && c.matched == 0)
        blame_selector(r, &c);
    else if (c.matched > 0 && c.port_name && c.named == 0)
        blame_port_name(r, &c);
    else if (c.matched > 0 && c.ready == 0)
        blame_pods(r, &c);
    else
        blame_slices(r, &c);
}

/* ---- ports that no container declares: a hint, as containers need not declare them */

static const struct pod *pod_named(const struct explain_report *r, const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash)
        return NULL;
    const char *ns = arena_strndup(r->arena, text, (size_t)(slash - text));
    const struct object *o = store_get(r->request->store, KIND_POD, ns, slash + 1);
    return o ? pod_of(o) : NULL;
}

static bool declares(const struct pod *p, uint16_t port)
{
    for (unsigned i = 0; i < p->n_ports; i++)
        if (p->ports[i].port == port)
            return true;
    return p->n_ports == 0;
}

void explain_target_ports(struct explain_report *r)
{
    unsigned wrong = 0, in = 0;
    const struct pod *one = NULL;
    uint16_t port = 0;
    vec_each (row, &r->endpoints) {
        const struct pod *p = pod_named(r, row->pod);
        in += row->in;
        if (!row->in || !p || declares(p, row->port))
            continue;
        one = one ? one : p;
        port = row->port;
        wrong++;
    }
    if (wrong == 0)
        return;
    explain_doubt(r, "wrong-target-port",
                  arena_printf(r->arena,
                               "%u of %u endpoints get connections at port %u, which no container "
                               "of pod %s declares (%s): probably nobody listens there",
                               wrong, in, port, one->object.meta.name, ports_text(r, one)),
                  "let targetPort be a port that the container listens at");
}
