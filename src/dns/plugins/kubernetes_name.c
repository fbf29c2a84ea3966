/* The name grammar: labels read from the right, all lower-cased by the message parser. */
#include "dns/plugins/kubernetes.h"

#include <string.h>

static bool label_is(const uint8_t *label, const char *text)
{
    size_t n = strlen(text);
    return label[0] == n && memcmp(label + 1, text, n) == 0;
}

/* Label i of the name, counted from the left. */
static const uint8_t *label_at(const struct lookup *l, int i)
{
    return l->name->lower + l->name->name.off[i];
}

/* key: two labels of the name, the service's and the namespace's. */
static const struct snap_service *service_at(const struct kubernetes *k, const struct query *q,
                                             const uint8_t *key)
{
    size_t len = 2u + key[0] + key[1 + key[0]];
    const struct query_ahead *a = query_ahead_of(q, k);
    uint64_t hash = a && a->key == key ? a->hash : snapshot_hash(key, len);
    return snapshot_service_hashed(k->snapshot, hash, key, len);
}

static const struct snap_service *find_service(const struct lookup *l, int service)
{
    const struct snap_service *s = service_at(l->k, l->q, label_at(l, service));
    if (!s || !atomic_load_explicit(&s->visible, memory_order_relaxed) || s->hidden_empty)
        return NULL;
    return s;
}

/* The key stands before "svc" and the zone, whatever is left of it; NULL: the name is too short. */
static const uint8_t *service_key(const struct kubernetes *k, const struct query *q, int zone)
{
    const struct name *n = &q->msg.q.name;
    int service = n->n_labels - (int)zone_set_labels(k->zones, zone) - 3;
    return service < 0 ? NULL : q->msg.q.lower + n->off[service];
}

const struct snap_service *kubernetes_service(const struct kubernetes *k, const struct query *q,
                                              int zone)
{
    const uint8_t *key = service_key(k, q, zone);
    return key ? service_at(k, q, key) : NULL;
}

void kubernetes_ahead(struct query *q, const void *conf, struct query_ahead *ahead, bool second)
{
    const struct kubernetes *k = conf;
    if (second) {
        if (ahead->key)
            snapshot_prefetch(k->snapshot, ahead->hash, true);
        return;
    }
    int zone = zone_set_find(k->zones, &q->msg.q);
    const uint8_t *key = zone < 0 ? NULL : service_key(k, q, zone);
    *ahead = (struct query_ahead){ .conf = k, .key = key, .zone = zone };
    if (!key)
        return;
    ahead->hash = snapshot_hash(key, 2u + key[0] + key[1 + key[0]]);
    snapshot_prefetch(k->snapshot, ahead->hash, false);
}

int kubernetes_zone(const struct kubernetes *k, const struct query *q)
{
    const struct query_ahead *a = query_ahead_of(q, k);
    return a ? a->zone : zone_set_find(k->zones, &q->msg.q);
}

/* "z1.z2.pin._zone.s.ns.svc": `service` is the label index of s. */
static bool parse_zonal(const struct lookup *l, int service, struct place *p)
{
    if (!l->k->zonal || service < 3 || !label_is(label_at(l, service - 1), "_zone"))
        return false;
    const uint8_t *directive = label_at(l, service - 2);
    p->prefer = label_is(directive, "prefer");
    if (!p->prefer && !label_is(directive, "pin"))
        return false;
    if (!p->service || p->service->kind != SNAP_HEADLESS)
        return false;
    p->kind = PLACE_ZONAL;
    p->zone_first = label_at(l, 0);
    p->n_zone = (uint8_t)(service - 2);
    return true;
}

/* What stands left of "s.ns.svc". */
static void parse_service(const struct lookup *l, int service, struct place *p)
{
    p->service = find_service(l, service);
    if (service == 0) {
        p->kind = PLACE_SERVICE;
    } else if (service == 1) {
        p->kind = PLACE_ENDPOINT;
        p->endpoint = label_at(l, 0);
    } else if (!parse_zonal(l, service, p) && service == 2) {
        p->kind = PLACE_PORT;
        p->port = label_at(l, 0);
        p->protocol = label_at(l, 1);
    }
}

/* One or two labels left of the address are accepted and mean nothing, as in the reference. */
static void parse_pod(const struct lookup *l, int address, struct place *p)
{
    if (address > 2)
        return;
    p->kind = PLACE_POD;
    p->endpoint = label_at(l, address);
}

static void parse_special(const struct lookup *l, int last, struct place *p)
{
    if (last == 0 && label_is(label_at(l, 0), "dns-version"))
        p->kind = PLACE_DNS_VERSION;
    else if (last == 1 && label_is(label_at(l, 1), "dns") && label_is(label_at(l, 0), "ns"))
        p->kind = PLACE_NS_DNS;
}

void place_parse(const struct lookup *l, struct place *ret)
{
    struct place p = { .kind = PLACE_NONE };
    int last = l->name->name.n_labels - (int)zone_set_labels(l->k->zones, l->zone) - 1;
    *ret = p;
    if (last < 0) {
        ret->kind = PLACE_APEX;
        return;
    }
    p.pods = label_is(label_at(l, last), "pod");
    if (!p.pods && !label_is(label_at(l, last), "svc")) {
        parse_special(l, last, ret);
        return;
    }
    if (last >= 1)
        p.namespace = label_at(l, last - 1);
    if (last == 0)
        p.kind = PLACE_LEVEL;
    else if (last == 1)
        p.kind = PLACE_NAMESPACE;
    else if (p.pods)
        parse_pod(l, last - 2, &p);
    else
        parse_service(l, last - 2, &p);
    *ret = p;
}

bool label_matches(const uint8_t *a, const uint8_t *b)
{
    if (!a)
        return true;
    size_t n = a[0];
    const uint8_t *text = a + 1;
    if (n && *text == '_') {
        text++;
        n--;
    }
    return n == 0 || (n == b[0] && memcmp(text, b + 1, n) == 0);
}

bool place_has_port(const struct place *p, const struct snap_port *port)
{
    return label_matches(p->port, p->service->pool + port->name) &&
           label_matches(p->protocol, p->service->pool + port->protocol);
}

/* The endpoint's zone against the labels of the name, joined by dots. */
static bool in_zone(const struct place *p, const struct snap_endpoint *e)
{
    const uint8_t *zone = p->service->pool + e->zone, *label = p->zone_first;
    size_t at = 1, end = 1u + zone[0];
    for (uint8_t i = 0; i < p->n_zone; i++) {
        if (i && (at >= end || zone[at++] != '.'))
            return false;
        if (end - at < label[0] || memcmp(zone + at, label + 1, label[0]) != 0)
            return false;
        at += label[0];
        label += 1 + label[0];
    }
    return e->zone && at == end;
}

bool place_has_endpoint(const struct place *p, const struct snap_endpoint *e, unsigned *ret_ports)
{
    const struct snap_service *s = p->service;
    uint8_t buf[64];
    if (p->kind == PLACE_ZONAL && !in_zone(p, e))
        return false;
    if (p->endpoint) {
        const uint8_t *label = snap_endpoint_label(s, e, buf);
        if (memcmp(label, p->endpoint, 1u + label[0]) != 0)
            return false;
    }
    const struct snap_group *g = &s->groups[e->group];
    unsigned n = 0;
    for (uint16_t i = 0; i < g->n; i++)
        n += place_has_port(p, &s->ports[g->first + i]);
    *ret_ports = n;
    return n > 0;
}
