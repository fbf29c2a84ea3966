#include "explain/addressbook.h"

#include "kube/pod.h"
#include "kube/service.h"

#include <string.h>

#define ARENA_CHUNK (64 << 10)

void addressbook_init(struct addressbook *b)
{
    *b = (struct addressbook){ .by_ip = { 0 } };
    arena_init(&b->arena, ARENA_CHUNK);
}

void addressbook_done(struct addressbook *b)
{
    ht_done(&b->by_ip);
    arena_done(&b->arena);
}

static struct address_owner *owner_of(struct addressbook *b, const struct ip *ip)
{
    struct address_owner *o = ht_get(&b->by_ip, ip->bytes, ip_len(ip));
    if (o)
        return o;
    o = arena_zalloc(&b->arena, sizeof *o);
    ht_put(&b->by_ip, ip->bytes, ip_len(ip), o);
    return o;
}

static const char *full_name(struct addressbook *b, const struct object *o)
{
    return arena_printf(&b->arena, "%s/%s", o->meta.namespace, o->meta.name);
}

static void add_pod(void *ctx, const struct object *o)
{
    struct addressbook *b = ctx;
    const struct pod *p = pod_of(o);
    for (unsigned i = 0; i < p->n_ips && !p->host_network; i++) {
        struct address_owner *owner = owner_of(b, &p->ips[i]);
        if (owner->pod &&
            pod_is_finished(p)) /* whoever has the address now is not the one that has ended */
            continue;
        owner->pod = full_name(b, o);
        owner->pod_node = arena_strdup(&b->arena, p->node);
    }
}

static void add_node(void *ctx, const struct object *o)
{
    struct addressbook *b = ctx;
    const struct node *n = node_of(o);
    for (unsigned i = 0; i < n->n_internal_ips; i++)
        owner_of(b, &n->internal_ips[i])->node = arena_strdup(&b->arena, o->meta.name);
}

static const struct address_port *port_of(struct addressbook *b, const struct service *s,
                                          const struct service_port *p, uint16_t number,
                                          const struct address_port *next)
{
    struct address_port *made = arena_zalloc(&b->arena, sizeof *made);
    const struct meta *m = &s->object.meta;
    *made = (struct address_port){ .next = next,
                                   .port = number,
                                   .protocol = protocol_number(p->protocol) };
    made->service = *p->name ? arena_printf(&b->arena, "%s/%s:%s", m->namespace, m->name, p->name)
                             : arena_printf(&b->arena, "%s/%s:%u", m->namespace, m->name, p->port);
    return made;
}

static void add_front(struct addressbook *b, const struct service *s, const struct ip *ip)
{
    if (!ip->family)
        return;
    struct address_owner *owner = owner_of(b, ip);
    owner->service = full_name(b, &s->object);
    for (unsigned i = 0; i < s->n_ports; i++)
        owner->ports = port_of(b, s, &s->ports[i], s->ports[i].port, owner->ports);
}

static void add_service(void *ctx, const struct object *o)
{
    struct addressbook *b = ctx;
    const struct service *s = service_of(o);
    for (unsigned i = 0; i < s->n_cluster_ips; i++)
        add_front(b, s, &s->cluster_ips[i]);
    for (unsigned i = 0; i < s->n_external_ips; i++)
        add_front(b, s, &s->external_ips[i]);
    for (unsigned i = 0; i < s->n_ingress; i++)
        add_front(b, s, &s->ingress[i].ip);
    for (unsigned i = 0; i < s->n_ports; i++)
        if (s->ports[i].node_port)
            b->node_ports = port_of(b, s, &s->ports[i], s->ports[i].node_port, b->node_ports);
}

void addressbook_fill(struct addressbook *b, const struct store *s)
{
    if (b->revision == store_revision(s))
        return;
    addressbook_done(b);
    addressbook_init(b);
    b->revision = store_revision(s);
    store_each(s, KIND_POD, NULL, add_pod, b);
    store_each(s, KIND_NODE, NULL, add_node, b);
    store_each(s, KIND_SERVICE, NULL, add_service, b);
}

const struct address_owner *addressbook_find(const struct addressbook *b, const struct ip *ip)
{
    return ht_get(&b->by_ip, ip->bytes, ip_len(ip));
}

static const char *find_port(const struct address_port *list, uint16_t port, uint8_t protocol)
{
    for (const struct address_port *p = list; p; p = p->next)
        if (p->port == port && p->protocol == protocol)
            return p->service;
    return NULL;
}

const char *addressbook_service(const struct addressbook *b, const struct ip *ip, uint16_t port,
                                uint8_t protocol)
{
    const struct address_owner *o = addressbook_find(b, ip);
    const char *found = o ? find_port(o->ports, port, protocol) : NULL;
    return !found && o && o->node ? find_port(b->node_ports, port, protocol) : found;
}
