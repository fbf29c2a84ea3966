#include "proxy/select.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL_OTHER_PROXY "service.kubernetes.io/service-proxy-name"

typedef VEC(struct backend) backends;

/* Ready endpoints, and those for the time when no ready one is left. */
struct candidates {
    backends ready, terminating;
};

bool proxy_ignores(const struct meta *m)
{
    return meta_label(m, LABEL_OTHER_PROXY) || meta_label(m, LABEL_HEADLESS);
}

static const struct slice_port *find_port(const struct slice *s, const struct service_port *want)
{
    for (const struct slice_port *p = s->ports; p < s->ports + s->n_ports; p++)
        if (p->protocol == want->protocol && strcmp(p->name, want->name) == 0)
            return p;
    return NULL;
}

static bool maybe_local(const struct slice *s, const struct endpoint *e, const char *node_name)
{
    const char *node = slice_str(s, e->node);
    return !*node || strcmp(node, node_name) == 0;
}

static struct backend backend_of(const struct slice *s, const struct endpoint *e, uint16_t port,
                                 const char *node_name)
{
    struct backend b = { .port = port, .maybe_local = maybe_local(s, e, node_name) };
    memcpy(b.ip, e->ip.bytes, ip_len(&e->ip));
    return b;
}

static void collect(const struct slice *s, const struct service_port *want, uint8_t family,
                    const char *node_name, struct candidates *c)
{
    if (s->family != family || proxy_ignores(&s->object.meta))
        return;
    const struct slice_port *p = find_port(s, want);
    if (!p || p->port <= 0 || p->port > 65535)
        return;
    for (const struct endpoint *e = s->endpoints; e < s->endpoints + s->n_endpoints; e++) {
        bool ready = e->conditions & ENDPOINT_READY;
        bool fallback = (e->conditions & (ENDPOINT_SERVING | ENDPOINT_TERMINATING)) ==
                        (ENDPOINT_SERVING | ENDPOINT_TERMINATING);
        if (e->ip.family != family || (!ready && !fallback))
            continue;
        struct backend b = backend_of(s, e, (uint16_t)p->port, node_name);
        if (ready)
            vec_push(&c->ready, b);
        else
            vec_push(&c->terminating, b);
    }
}

static int compare_backends(const void *a, const void *b)
{
    return backend_compare(a, b);
}

/* Sorts and merges equal ones; where one of them is local, the one that stays is. */
static void sort_unique(backends *v)
{
    if (v->n < 2)
        return;
    qsort(v->items, v->n, sizeof *v->items, compare_backends);
    size_t w = 0;
    for (size_t i = 1; i < v->n; i++) {
        if (backend_compare(&v->items[w], &v->items[i]) == 0)
            v->items[w].maybe_local |= v->items[i].maybe_local;
        else
            v->items[++w] = v->items[i];
    }
    v->n = w + 1;
}

static struct vip *vip_new(const struct vip_key *key, const struct service *s,
                           const struct service_port *port, const struct backend *list, size_t n)
{
    const struct meta *m = &s->object.meta;
    size_t service_len = strlen(m->namespace) + 1 + strlen(m->name);
    size_t text = service_len + 1 + strlen(port->name) + 1;
    struct vip *v = xmalloc(sizeof *v + n * sizeof *v->backends + text);
    char *owner = (char *)&v->backends[n];
    snprintf(owner, text, "%s/%s%s%s", m->namespace, m->name, *port->name ? ":" : "", port->name);
    v->key = *key;
    v->owner = owner;
    v->owner_len = (uint32_t)service_len;
    v->n_backends = (uint32_t)n;
    if (n > 0)
        memcpy(v->backends, list, n * sizeof *list);
    return v;
}

struct vip *vip_select(const struct service *s, const struct service_port *port,
                       const struct ip *ip, const struct slice_list *slices, const char *node_name,
                       size_t *ret_left_out)
{
    struct candidates c = { 0 };
    struct vip_key key = { .family = ip->family,
                           .protocol = (uint8_t)port->protocol,
                           .port = port->port };
    memcpy(key.ip, ip->bytes, ip_len(ip));
    for (size_t i = 0; i < slices->slices.n; i++)
        collect(slices->slices.items[i], port, ip->family, node_name, &c);
    backends *use = c.ready.n > 0 ? &c.ready : &c.terminating;
    sort_unique(use);
    size_t n = MIN(use->n, VIP_BACKENDS_MAX);
    *ret_left_out = use->n - n;
    struct vip *v = vip_new(&key, s, port, use->items, n);
    vec_done(&c.ready);
    vec_done(&c.terminating);
    return v;
}

bool vip_equal(const struct vip *a, const struct vip *b)
{
    return vip_key_compare(&a->key, &b->key) == 0 && a->n_backends == b->n_backends &&
           memcmp(a->backends, b->backends, a->n_backends * sizeof *a->backends) == 0 &&
           strcmp(a->owner, b->owner) == 0;
}

int vip_key_compare(const struct vip_key *a, const struct vip_key *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int ret = memcmp(a->ip, b->ip, sizeof a->ip);
    if (ret == 0)
        ret = a->protocol - b->protocol;
    return ret != 0 ? ret : a->port - b->port;
}
