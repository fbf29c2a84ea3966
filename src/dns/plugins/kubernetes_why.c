/* Why a cluster name has the answer that it has: for `signpost dns why`, and a phrase for `log`.
 * The name is taken apart by the code that answers (kubernetes_name.c). */
#include "dns/miss.h"
#include "dns/nearest.h"
#include "dns/plugins/kubernetes.h"
#include "dns/snap_facts.h"

#include <string.h>

#define LABEL_TEXT 64

/* A label, which may be missing, as text; odd bytes as "?". */
static const char *label_text(const uint8_t *label, char out[LABEL_TEXT])
{
    unsigned n = label ? label[0] : 0;
    for (unsigned i = 0; i < n; i++)
        out[i] = label[1 + i] > 0x20 && label[1 + i] < 0x7f ? (char)label[1 + i] : '?';
    out[n] = '\0';
    return out;
}

/* ---- the cause, from the picture ---- */

/* The label that names the Service, or NULL. */
static const uint8_t *service_label(const struct lookup *l, const struct place *p)
{
    int last = l->name->name.n_labels - (int)zone_set_labels(l->k->zones, l->zone) - 1;
    if (p->pods || p->kind < PLACE_SERVICE || p->kind > PLACE_ZONAL || last < 2)
        return NULL;
    return l->name->lower + l->name->name.off[last - 2];
}

/* In the picture, whether or not it counts. */
static const struct snap_service *raw_service(const struct lookup *l, const struct place *p)
{
    const uint8_t *key = service_label(l, p);
    const uint8_t *end = p->namespace + 1 + p->namespace[0];
    return key ? snapshot_service(l->k->snapshot, key, (size_t)(end - key)) : NULL;
}

static bool any_endpoint(const struct place *p)
{
    unsigned ports;
    for (uint32_t i = 0; i < p->service->n_endpoints; i++)
        if (place_has_endpoint(p, &p->service->endpoints[i], &ports))
            return true;
    return false;
}

static bool any_port(const struct place *p)
{
    for (uint16_t i = 0; i < p->service->n_ports; i++)
        if (place_has_port(p, &p->service->ports[i]))
            return true;
    return false;
}

static enum miss found_service(const struct lookup *l, const struct place *p)
{
    const struct snap_service *s = p->service;
    bool headless = s->kind == SNAP_HEADLESS;
    if (s->kind == SNAP_EXTERNAL)
        return s->external ? MISS_NONE : MISS_TARGET;
    if (headless && s->n_endpoints == 0)
        return s->external ? MISS_NONE : MISS_READY;
    switch (p->kind) {
    case PLACE_PORT:
        return (headless ? any_endpoint(p) : any_port(p)) ? MISS_NONE : MISS_PORT;
    case PLACE_ENDPOINT:
        return any_endpoint(p) ? MISS_NONE : s->n_endpoints ? MISS_ENDPOINT : MISS_READY;
    case PLACE_ZONAL:
        return any_endpoint(p) || p->prefer ? MISS_NONE : MISS_ZONE;
    default:
        (void)l;
        return MISS_NONE;
    }
}

static enum miss pod_miss(const struct lookup *l, const struct place *p)
{
    struct ip ip;
    if (!snap_dashed_ip(p->endpoint, &ip))
        return MISS_POD_FORM;
    if (l->k->options.pods == PODS_VERIFIED && !snapshot_pod(l->k->snapshot, p->namespace, &ip))
        return MISS_POD;
    return MISS_NONE;
}

static enum miss miss_of(struct lookup *l, struct place *p)
{
    struct ip ip;
    struct snap_owner owner;
    *p = (struct place){ .kind = PLACE_NONE };
    if (!snapshot_synced(l->k->snapshot))
        return MISS_SYNC;
    if (l->type == RR_PTR && name_to_ip(l->name->lower, &ip) == 0) {
        struct snap_owners owners = snapshot_owners(l->k->snapshot, &ip);
        return snap_owners_next(&owners, &owner) ? MISS_NONE : MISS_OWNER;
    }
    place_parse(l, p);
    if (p->kind == PLACE_NONE)
        return MISS_FORM;
    if (p->pods && p->kind != PLACE_LEVEL && l->k->options.pods == PODS_DISABLED)
        return MISS_NO_PODS;
    if (p->namespace && !snapshot_namespace(l->k->snapshot, p->namespace))
        return MISS_NAMESPACE;
    if (p->kind == PLACE_POD)
        return pod_miss(l, p);
    if (!service_label(l, p))
        return MISS_NONE;
    if (p->service)
        return found_service(l, p);
    const struct snap_service *s = raw_service(l, p);
    return s && s->hidden_empty ? MISS_EMPTY : MISS_SERVICE;
}

/* ---- the nearest names ---- */

struct search {
    const struct lookup *l;
    const struct place *p;
    char service[LABEL_TEXT], namespace[LABEL_TEXT], zone[NAME_TEXT_MAX];
    struct nearest same_namespace, same_service, namespaces;
};

static void offer_service(void *ctx, const struct snap_service *s)
{
    struct search *f = ctx;
    char service[LABEL_TEXT], ns[LABEL_TEXT], shown[NEAREST_TEXT];
    label_text(s->key, service);
    label_text(s->key + 1 + s->key[0], ns);
    (void)snprintf(shown, sizeof shown, "%s.%s.svc.%s", service, ns, f->zone);
    if (strcmp(ns, f->namespace) == 0)
        nearest_offer(&f->same_namespace, service, shown);
    else if (strcmp(service, f->service) == 0)
        nearest_offer(&f->same_service, ns, shown);
}

static void offer_namespace(void *ctx, const uint8_t *label)
{
    struct search *f = ctx;
    char ns[LABEL_TEXT], shown[NEAREST_TEXT];
    label_text(label, ns);
    (void)snprintf(shown, sizeof shown, "%s.svc.%s", ns, f->zone);
    nearest_offer(&f->namespaces, ns, shown);
}

static void say_nearest(struct why_words *w, const struct nearest *n)
{
    for (unsigned i = 0; i < n->n; i++)
        why_say(w, "near", "%s", n->items[i].text);
    if (n->cut)
        why_say(w, "near", "(only the first %d were looked at)", NEAREST_LOOKED_MAX);
}

static void say_near(const struct lookup *l, const struct place *p, enum miss m,
                     struct why_words *w)
{
    struct search f = { .l = l, .p = p };
    label_text(service_label(l, p), f.service);
    label_text(p->namespace, f.namespace);
    (void)name_to_text(zone_set_wire(l->k->zones, l->zone), f.zone);
    nearest_init(&f.same_namespace, f.service, false);
    nearest_init(&f.same_service, f.namespace, true);
    nearest_init(&f.namespaces, f.namespace, false);
    if (*f.service)
        snapshot_each_service(l->k->snapshot, offer_service, &f);
    if (m == MISS_NAMESPACE || m == MISS_NAMESPACE_HIDDEN)
        snapshot_each_namespace(l->k->snapshot, offer_namespace, &f);
    else
        say_nearest(w, &f.same_namespace);
    say_nearest(w, &f.same_service);
    say_nearest(w, &f.namespaces);
}

static void say_ports(const struct lookup *l, const struct place *p, struct why_words *w)
{
    const struct snap_service *s = p->service;
    char name[LABEL_TEXT], protocol[LABEL_TEXT], service[LABEL_TEXT], ns[LABEL_TEXT];
    char zone[NAME_TEXT_MAX];
    (void)name_to_text(zone_set_wire(l->k->zones, l->zone), zone);
    for (uint16_t i = 0; i < s->n_ports && i < NEAREST_MAX; i++) {
        label_text(s->pool + s->ports[i].name, name);
        label_text(s->pool + s->ports[i].protocol, protocol);
        if (*name)
            why_say(w, "near", "_%s._%s.%s.%s.svc.%s", name, protocol, label_text(s->key, service),
                    label_text(s->key + 1 + s->key[0], ns), zone);
        else
            why_say(w, "note", "the port %d/%s has no name", (int)s->ports[i].number, protocol);
    }
}

static void say_endpoints(const struct place *p, struct why_words *w)
{
    const struct snap_service *s = p->service;
    uint8_t buf[64];
    char label[LABEL_TEXT], wanted[LABEL_TEXT];
    struct nearest n;
    nearest_init(&n, label_text(p->endpoint, wanted), true);
    for (uint32_t i = 0; i < s->n_endpoints; i++) {
        label_text(snap_endpoint_label(s, &s->endpoints[i], buf), label);
        nearest_offer(&n, label, label);
    }
    say_nearest(w, &n);
}

/* ---- in words ---- */

static void add_part(struct strbuf *b, const char *what, const uint8_t *label)
{
    char text[LABEL_TEXT];
    if (label)
        strbuf_printf(b, "%s%s \"%s\"", b->len ? ", " : "", what, label_text(label, text));
}

static void say_name(const struct lookup *l, const struct place *p, struct why_words *w)
{
    static const char *const kinds[] = {
        [PLACE_NONE] = "nothing known",       [PLACE_APEX] = "the zone itself",
        [PLACE_LEVEL] = "a level of names",   [PLACE_NAMESPACE] = "a namespace",
        [PLACE_SERVICE] = "a Service",        [PLACE_ENDPOINT] = "an endpoint of a Service",
        [PLACE_PORT] = "a port of a Service", [PLACE_ZONAL] = "the endpoints of a zone",
        [PLACE_POD] = "a pod by its address", [PLACE_DNS_VERSION] = "the schema's version",
        [PLACE_NS_DNS] = "the name server"
    };
    cleanup(strbuf_done) struct strbuf parts = { 0 };
    add_part(&parts, "service", service_label(l, p));
    add_part(&parts, "namespace", p->namespace);
    add_part(&parts, "port", p->port);
    add_part(&parts, "protocol", p->protocol);
    add_part(&parts, p->kind == PLACE_POD ? "pod" : "endpoint", p->endpoint);
    why_say(w, "name", "%s%s%s", kinds[p->kind], parts.len ? ": " : "", parts.len ? parts.p : "");
}

static void say_object(const struct lookup *l, const struct place *p, const struct snap_facts *f,
                       struct why_words *w)
{
    char service[LABEL_TEXT], ns[LABEL_TEXT];
    label_text(service_label(l, p), service);
    label_text(p->namespace, ns);
    why_say(w, "object", "Service %s/%s%s%s%s, %s", ns, service, *f->origin ? " (" : "", f->origin,
            *f->origin ? ")" : "", f->type);
    if (strcmp(f->type, "ExternalName") != 0)
        why_say(w, "endpoints", "%u ready, %u not ready, in %u slice%s", f->ready, f->not_ready,
                f->slices, f->slices == 1 ? "" : "s");
    if (p->service && p->service->kind == SNAP_CLUSTER_IP && !f->ready && l->k->options.endpoints)
        why_say(w, "note", "the cluster IP leads nowhere: no endpoint is ready");
}

static void say_owners(const struct lookup *l, const struct ip *ip, struct why_words *w)
{
    struct snap_owners owners = snapshot_owners(l->k->snapshot, ip);
    struct snap_owner o;
    char ns[LABEL_TEXT], service[LABEL_TEXT];
    while (snap_owners_next(&owners, &o))
        why_say(w, "object", "%s of the Service %s/%s", o.endpoint ? "an endpoint" : "cluster IP",
                label_text(o.service->key + 1 + o.service->key[0], ns),
                label_text(o.service->key, service));
}

/* The picture cannot tell what is hidden from what is not there; the objects can. */
static enum miss refine(enum miss m, const struct snap_facts *f)
{
    if (m == MISS_NAMESPACE && f->namespace_there)
        return MISS_NAMESPACE_HIDDEN;
    return m == MISS_SERVICE && f->service_there && !f->service_fits ? MISS_SERVICE_HIDDEN : m;
}

static bool has_type(const struct lookup *l, const struct place *p)
{
    const struct snap_service *s = p->service;
    if (p->kind != PLACE_SERVICE || s->kind == SNAP_EXTERNAL)
        return true;
    return l->type == RR_A ? s->n_a : l->type == RR_AAAA ? s->n_aaaa : l->type == RR_SRV;
}

static void say_miss(const struct lookup *l, const struct place *p, enum miss m,
                     const struct snap_facts *f, struct why_words *w)
{
    char ns[LABEL_TEXT], service[LABEL_TEXT], port[LABEL_TEXT], protocol[LABEL_TEXT];
    char endpoint[LABEL_TEXT], address[IP_TEXT_MAX] = "?", type[16];
    cleanup(strbuf_done) struct strbuf text = { 0 };
    struct ip ip;
    if (name_to_ip(l->name->lower, &ip) == 0 || (p->endpoint && snap_dashed_ip(p->endpoint, &ip)))
        (void)ip_text(&ip, address);
    const struct miss_facts facts = { .namespace = label_text(p->namespace, ns),
                                      .service = label_text(service_label(l, p), service),
                                      .port = label_text(p->port, port),
                                      .protocol = label_text(p->protocol, protocol),
                                      .endpoint = label_text(p->endpoint, endpoint),
                                      .address = address,
                                      .type = rr_type_text(l->type, type),
                                      .not_ready = f->not_ready };
    miss_sentence(m, &facts, &text);
    why_say(w, "cause", "%s", text.p);
    if (m == MISS_PORT)
        say_ports(l, p, w);
    else if (m == MISS_ENDPOINT)
        say_endpoints(p, w);
    else if (m <= MISS_SERVICE_HIDDEN && m >= MISS_NAMESPACE)
        say_near(l, p, m, w);
}

static void kubernetes_explain(struct query *q, const void *conf, struct why_words *w)
{
    const struct kubernetes *k = conf;
    struct lookup l = { .q = q, .k = k, .name = &q->msg.q, .type = q->msg.q.type };
    struct place p;
    struct snap_facts facts = { .origin = "", .type = "" };
    char ns[LABEL_TEXT], service[LABEL_TEXT];
    struct ip ip;
    l.zone = zone_set_find(k->zones, &q->msg.q);
    if (l.zone < 0) {
        why_say(w, "scope", "the name is in none of its zones");
        return;
    }
    enum miss m = miss_of(&l, &p);
    if (l.type == RR_PTR && name_to_ip(l.name->lower, &ip) == 0)
        say_owners(&l, &ip, w);
    else if (m != MISS_SYNC)
        say_name(&l, &p, w);
    if (p.namespace)
        snapshot_facts(k->snapshot, label_text(p.namespace, ns),
                       label_text(service_label(&l, &p), service), &facts);
    if (facts.service_there && service_label(&l, &p))
        say_object(&l, &p, &facts, w);
    m = refine(m, &facts);
    if (m == MISS_NONE && p.service && !has_type(&l, &p))
        m = MISS_TYPE;
    if (m == MISS_NONE)
        return;
    say_miss(&l, &p, m, &facts, w);
    if (m != MISS_TYPE && zone_set_covers(k->fallthrough, &q->msg.q))
        why_say(w, "fallthrough", "the next plugin is asked for what is not found here");
}

/* ---- a name that was asked of another zone ---- */

/* The first two labels might be meant as a Service and its namespace. */
static void kubernetes_elsewhere(struct query *q, const void *conf, struct why_words *w)
{
    const struct kubernetes *k = conf;
    const struct question *asked = &q->msg.q;
    const struct name *n = &asked->name;
    char service[LABEL_TEXT], ns[LABEL_TEXT], zone[NAME_TEXT_MAX];
    if (n->n_labels < 2 || zone_set_find(k->zones, asked) >= 0)
        return;
    const uint8_t *key = asked->lower + n->off[0], *label = asked->lower + n->off[1];
    const struct snap_service *s = snapshot_service(k->snapshot, key, n->off[2]);
    if (!s || !s->visible)
        return;
    (void)name_to_text(zone_set_wire(k->zones, k->primary), zone);
    why_say(w, "cause",
            "wrong zone: the Service %s/%s is there, but kubernetes serves it in the zone %s",
            label_text(label, ns), label_text(key, service), zone);
    why_say(w, "near", "%s.%s.svc.%s", service, ns, zone);
}

/* ---- for `log` ---- */

static bool kubernetes_reason(struct query *q, const void *conf, struct strbuf *out)
{
    const struct kubernetes *k = conf;
    struct lookup l = { .q = q, .k = k, .name = query_served(q) };
    struct place p;
    char service[LABEL_TEXT], ns[LABEL_TEXT], zone[NAME_TEXT_MAX];
    l.type = l.name->type;
    l.zone = zone_set_find(k->zones, l.name);
    if (l.zone < 0)
        return false;
    enum miss m = miss_of(&l, &p);
    if (m == MISS_NONE && p.service && !has_type(&l, &p))
        m = MISS_TYPE;
    strbuf_puts(out, name_to_text(zone_set_wire(k->zones, l.zone), zone));
    if (p.namespace)
        strbuf_printf(out, "/%s", label_text(p.namespace, ns));
    if (service_label(&l, &p))
        strbuf_printf(out, "/%s", label_text(service_label(&l, &p), service));
    strbuf_printf(out, ": %s", miss_text(m));
    if (m == MISS_NONE && p.service && p.service->kind == SNAP_CLUSTER_IP &&
        !p.service->n_endpoints && k->options.endpoints)
        strbuf_puts(out, ", no ready endpoint");
    if (query_passed(q, "kubernetes"))
        strbuf_puts(out, ", fallthrough");
    return true;
}

const struct plugin_why kubernetes_why = { .explain = kubernetes_explain,
                                           .elsewhere = kubernetes_elsewhere,
                                           .reason = kubernetes_reason };
