#include "dump.h"

#include "base/file.h"
#include "config/tree.h"
#include "kube/decode.h"
#include "kube/endpoints.h"
#include "kube/pod.h"
#include "kube/service.h"
#include "kube/slice.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_MAX (64u << 20) /* bytes of a file */

static void dump_text(struct strbuf *b, const char *name, const char *text)
{
    if (text && *text)
        strbuf_printf(b, " %s=%s", name, text);
}

static void dump_labels(struct strbuf *b, const char *name, const struct label *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        strbuf_printf(b, "  %s %s=%s\n", name, l[i].key, l[i].value);
}

static void dump_ips(struct strbuf *b, const char *name, const struct ip *ips, size_t n)
{
    char text[IP_TEXT_MAX];
    if (n)
        strbuf_putc(b, ' ');
    for (size_t i = 0; i < n; i++)
        strbuf_printf(b, "%s%s%s", i ? "," : name, i ? "" : "=", ip_text(&ips[i], text));
}

static void dump_prefixes(struct strbuf *b, const char *name, const struct ip_prefix *p, size_t n)
{
    char text[IP_TEXT_MAX];
    for (size_t i = 0; i < n; i++)
        strbuf_printf(b, " %s=%s/%u", name, ip_text(&p[i].ip, text), p[i].bits);
}

static void dump_service(struct strbuf *b, const struct service *s)
{
    static const char *const types[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName" };
    char text[IP_TEXT_MAX];
    strbuf_printf(b, "  type=%s families=%u,%u%s", types[s->type], s->families[0], s->families[1],
                  s->headless ? " headless" : "");
    dump_ips(b, "ips", s->cluster_ips, s->n_cluster_ips);
    dump_ips(b, "external", s->external_ips, s->n_external_ips);
    dump_text(b, "externalName", s->external_name);
    dump_text(b, "distribution", s->traffic_distribution);
    dump_text(b, "class", s->load_balancer_class);
    dump_prefixes(b, "from", s->source_ranges, s->n_source_ranges);
    strbuf_printf(b, "%s%s%s%s", s->external_local ? " externalLocal" : "",
                  s->internal_local ? " internalLocal" : "",
                  s->publish_not_ready ? " publishNotReady" : "",
                  s->dual_stack_wanted ? " dualWanted" : "");
    if (s->affinity_seconds)
        strbuf_printf(b, " affinity=%u", s->affinity_seconds);
    if (s->health_check_node_port)
        strbuf_printf(b, " healthCheck=%u", s->health_check_node_port);
    strbuf_putc(b, '\n');
    for (unsigned i = 0; i < s->n_ingress; i++)
        strbuf_printf(b, "  ingress ip=%s host=%s%s\n", ip_text(&s->ingress[i].ip, text),
                      s->ingress[i].hostname ? s->ingress[i].hostname : "-",
                      s->ingress[i].proxy_mode ? " proxy" : "");
    for (unsigned i = 0; i < s->n_ports; i++) {
        const struct service_port *p = &s->ports[i];
        strbuf_printf(b, "  port %u/%s", p->port, protocol_text(p->protocol));
        dump_text(b, "name", p->name);
        dump_text(b, "target", p->target_name);
        if (!p->target_name)
            strbuf_printf(b, " target=%u", p->target_port);
        if (p->node_port)
            strbuf_printf(b, " node=%u", p->node_port);
        dump_text(b, "app", p->app_protocol);
        strbuf_putc(b, '\n');
    }
    dump_labels(b, "selector", s->selector, s->n_selector);
}

static void dump_endpoint(struct strbuf *b, const struct slice *s, const struct endpoint *ep)
{
    char text[IP_TEXT_MAX];
    const struct endpoint_more more = slice_more(s, ep);
    strbuf_printf(b, "  %s%s%s%s", ip_text(&ep->ip, text),
                  ep->conditions & ENDPOINT_READY ? " ready" : "",
                  ep->conditions & ENDPOINT_SERVING ? " serving" : "",
                  ep->conditions & ENDPOINT_TERMINATING ? " terminating" : "");
    dump_text(b, "hostname", slice_str(s, ep->hostname));
    dump_text(b, "namespace", slice_str(s, more.pod_namespace));
    dump_text(b, "pod", slice_str(s, more.pod));
    dump_text(b, "node", slice_str(s, more.node));
    dump_text(b, "zone", slice_str(s, ep->zone));
    for (unsigned i = 0; i < ep->n_hints; i++)
        dump_text(b, "hint", slice_str(s, s->hints[more.first_hint + i]));
    for (unsigned i = 0; i < ep->n_node_hints; i++)
        dump_text(b, "nodeHint", slice_str(s, s->hints[more.first_hint + ep->n_hints + i]));
    if (s->n_targets)
        dump_text(b, "uid", slice_str(s, s->targets[ep - s->endpoints].uid));
    strbuf_putc(b, '\n');
}

static void dump_slice(struct strbuf *b, const struct slice *s)
{
    strbuf_printf(b, "  family=%u%s", s->family, s->computed ? " computed" : "");
    dump_text(b, "service", s->service);
    dump_text(b, "version", s->version);
    dump_text(b, "owner", s->owner_uid);
    if (s->trigger_time_ns)
        strbuf_printf(b, " trigger=%" PRId64, s->trigger_time_ns);
    strbuf_putc(b, '\n');
    for (unsigned i = 0; i < s->n_ports; i++) {
        strbuf_printf(b, "  port %d/%s", s->ports[i].port, protocol_text(s->ports[i].protocol));
        dump_text(b, "name", s->ports[i].name);
        dump_text(b, "app", s->ports[i].app_protocol);
        strbuf_putc(b, '\n');
    }
    for (unsigned i = 0; i < s->n_endpoints; i++)
        dump_endpoint(b, s, &s->endpoints[i]);
    dump_labels(b, "annotation", s->annotations, s->n_annotations);
}

static void dump_pod(struct strbuf *b, const struct pod *p)
{
    static const char *const phases[] = { "Pending", "Running", "Succeeded", "Failed", "Unknown" };
    strbuf_printf(b, "  phase=%s%s%s", phases[p->phase], p->ready ? " ready" : "",
                  p->host_network ? " hostNetwork" : "");
    dump_ips(b, "ips", p->ips, p->n_ips);
    dump_text(b, "node", p->node);
    dump_text(b, "hostname", p->hostname);
    dump_text(b, "subdomain", p->subdomain);
    if (p->ready_time_ns)
        strbuf_printf(b, " readySince=%" PRId64, p->ready_time_ns);
    strbuf_putc(b, '\n');
    for (unsigned i = 0; i < p->n_ports; i++) {
        strbuf_printf(b, "  port %u/%s", p->ports[i].port, protocol_text(p->ports[i].protocol));
        dump_text(b, "name", p->ports[i].name);
        strbuf_putc(b, '\n');
    }
}

static void dump_node(struct strbuf *b, const struct node *n)
{
    strbuf_printf(b, " %s", n->ready ? " ready" : "");
    dump_text(b, "zone", n->zone);
    if (n->cpu_milli)
        strbuf_printf(b, " cpu=%" PRId64 "m", n->cpu_milli);
    dump_ips(b, "ips", n->internal_ips, n->n_internal_ips);
    dump_prefixes(b, "pods", n->pod_cidrs, n->n_pod_cidrs);
    strbuf_putc(b, '\n');
}

static void dump_address(struct strbuf *b, const struct endpoints_address *a, bool ready)
{
    char text[IP_TEXT_MAX];
    strbuf_printf(b, "  %s%s", a->ip.family ? ip_text(&a->ip, text) : "?", ready ? " ready" : "");
    dump_text(b, "hostname", a->hostname);
    dump_text(b, "node", a->node);
    dump_text(b, "kind", a->target.kind);
    dump_text(b, "namespace", a->target.namespace);
    dump_text(b, "target", a->target.name);
    dump_text(b, "uid", a->target.uid);
    strbuf_putc(b, '\n');
}

static void dump_endpoints(struct strbuf *b, const struct endpoints *e)
{
    if (e->version)
        strbuf_printf(b, "  version=%s\n", e->version);
    if (e->trigger_time_ns)
        strbuf_printf(b, "  trigger=%" PRId64 "\n", e->trigger_time_ns);
    for (uint32_t i = 0; i < e->n_subsets; i++) {
        const struct endpoints_subset *s = &e->subsets[i];
        strbuf_puts(b, "  subset\n");
        for (unsigned k = 0; k < s->n_ports; k++) {
            strbuf_printf(b, "  port %d/%s", s->ports[k].port, protocol_text(s->ports[k].protocol));
            dump_text(b, "name", s->ports[k].name);
            dump_text(b, "app", s->ports[k].app_protocol);
            strbuf_putc(b, '\n');
        }
        for (uint32_t k = 0; k < s->n_addresses; k++)
            dump_address(b, &s->addresses[k], true);
        for (uint32_t k = 0; k < s->n_not_ready; k++)
            dump_address(b, &s->not_ready[k], false);
    }
    dump_labels(b, "annotation", e->annotations, e->n_annotations);
}

void dump_object(struct strbuf *b, const struct object *o)
{
    const struct meta *m = &o->meta;
    strbuf_printf(b, "%s %s%s%s", kind_text(o->kind), m->namespace, *m->namespace ? "/" : "",
                  m->name);
    dump_text(b, "uid", m->uid);
    dump_text(b, "at", m->origin);
    strbuf_printf(b, "%s\n", m->deleting ? " deleting" : "");
    dump_labels(b, "label", m->labels, m->n_labels);
    if (o->kind == KIND_SERVICE)
        dump_service(b, service_of(o));
    else if (o->kind == KIND_SLICE)
        dump_slice(b, slice_of(o));
    else if (o->kind == KIND_POD)
        dump_pod(b, pod_of(o));
    else if (o->kind == KIND_NODE)
        dump_node(b, node_of(o));
    else if (o->kind == KIND_ENDPOINTS)
        dump_endpoints(b, endpoints_of(o));
    else if (o->kind == KIND_CONFIGMAP)
        dump_labels(b, "data", configmap_of(o)->data, configmap_of(o)->n_data);
}

static int by_name(const void *a, const void *b)
{
    const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    int r = strcmp(x->meta.namespace, y->meta.namespace);
    return r ? r : strcmp(x->meta.name, y->meta.name);
}

void dump_sorted(struct strbuf *b, struct objects *o)
{
    if (o->list.n)
        qsort(o->list.items, o->list.n, sizeof *o->list.items, by_name);
    vec_each (it, &o->list)
        dump_object(b, *it);
}

static void add_object(void *ctx, struct object *o)
{
    struct objects *objects = ctx;
    vec_push(&objects->list, o);
}

static void add_error(void *ctx, const struct err *e)
{
    struct objects *objects = ctx;
    strbuf_printf(&objects->errors, "error: %s\n", e->text);
}

void objects_read(struct objects *o, const char *text, size_t len, const char *name)
{
    struct arena a;
    struct tree_doc doc;
    struct err e;
    arena_init(&a, 65536);
    if (tree_parse(text, len, name, &a, &doc, &e) < 0)
        add_error(o, &e);
    else
        for (size_t i = 0; i < doc.n; i++)
            (void)object_decode_each(doc.documents[i], name, 0, add_object, add_error, o);
    arena_done(&a);
}

void objects_done(struct objects *o)
{
    vec_each (it, &o->list)
        object_free(*it);
    vec_done(&o->list);
    strbuf_done(&o->errors);
}

char *text_of_file(const char *path, size_t *ret_len)
{
    char *text = NULL;
    size_t len;
    if (file_load(path, TEXT_MAX, &text, &len, NULL) == 0 && ret_len)
        *ret_len = len;
    return text;
}
