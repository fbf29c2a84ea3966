#include "proxy/portal_build.h"

#include <stdio.h>

typedef VEC(struct front) fronts;
typedef VEC(struct ip_prefix) prefixes;

bool service_is_served(const struct service *s)
{
    return s && s->type != SERVICE_EXTERNAL_NAME && !s->headless && s->n_cluster_ips > 0 &&
           !proxy_ignores(&s->object.meta);
}

/* An address that is there already keeps its first kind. */
static void add_front(fronts *v, uint8_t family, const struct ip *ip, uint16_t port,
                      enum front_kind kind)
{
    struct front f = { .port = port, .kind = (uint8_t)kind, .granted = true };
    if (ip->family != family)
        return;
    memcpy(f.ip, ip->bytes, ip_len(ip));
    vec_each (other, v)
        if (memcmp(other->ip, f.ip, sizeof f.ip) == 0)
            return;
    vec_push(v, f);
}

static void collect_fronts(const struct service *s, const struct service_port *p, uint8_t family,
                           fronts *v)
{
    for (unsigned i = 0; i < s->n_cluster_ips; i++)
        add_front(v, family, &s->cluster_ips[i], p->port, FRONT_CLUSTER_IP);
    for (unsigned i = 0; i < s->n_ingress; i++)
        if (!s->ingress[i].proxy_mode)
            add_front(v, family, &s->ingress[i].ip, p->port, FRONT_BALANCER_IP);
    for (unsigned i = 0; i < s->n_external_ips; i++)
        add_front(v, family, &s->external_ips[i], p->port, FRONT_EXTERNAL_IP);
    if (p->node_port)
        vec_push(v, (struct front){ .port = p->node_port, .kind = FRONT_NODE_PORT, .granted = 1 });
}

/* Ranges either nest or are apart; one that lies in another says nothing new. */
static void add_source(prefixes *v, const struct ip_prefix *p)
{
    for (size_t i = 0; i < v->n;) {
        const struct ip_prefix *other = &v->items[i];
        if (other->bits <= p->bits && ip_prefix_contains(other, &p->ip))
            return;
        if (p->bits <= other->bits && ip_prefix_contains(p, &other->ip))
            vec_swap_remove(v, i);
        else
            i++;
    }
    vec_push(v, *p);
}

static bool let_in(const prefixes *v, const struct ip *ip)
{
    vec_each (p, v)
        if (ip_prefix_contains(p, ip))
            return true;
    return false;
}

/* When this node may come in, it may also come from the balancer's address itself: that is the
 * source of a process here when the address is bound to this node. */
static void add_balancers(prefixes *v, uint8_t family, const fronts *list)
{
    vec_each (f, list)
        if (f->kind == FRONT_BALANCER_IP)
            add_source(v, &(struct ip_prefix){ .ip = ip_of_bytes(family, f->ip),
                                               .bits = family == 4 ? 32 : 128 });
}

static int compare_prefixes(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    return ip_compare(&x->ip, &y->ip);
}

static void collect_sources(const struct service *s, uint8_t family, const struct place *place,
                            const fronts *list, prefixes *v)
{
    const struct ip *node = &place->addresses[family == 6];
    for (unsigned i = 0; i < s->n_source_ranges; i++)
        if (s->source_ranges[i].ip.family == family)
            add_source(v, &s->source_ranges[i]);
    if (v->n == 1 && v->items[0].bits == 0) /* everyone */
        vec_clear(v);
    if (v->n > 0 && node->family && let_in(v, node))
        add_balancers(v, family, list);
    if (v->n > 1)
        qsort(v->items, v->n, sizeof *v->items, compare_prefixes);
}

static bool is_accessible(const fronts *v)
{
    vec_each (f, v)
        if (f->kind != FRONT_CLUSTER_IP)
            return true;
    return false;
}

static unsigned count_use(const backends *v, enum backend_use use)
{
    unsigned n = 0;
    vec_each (b, v)
        n += (b->use & use) != 0;
    return n;
}

static void *place_array(char **at, const void *from, size_t size)
{
    void *here = *at;
    if (size > 0)
        memcpy(here, from, size);
    *at += size;
    return here;
}

static struct portal *assemble(const struct portal *plain, const struct service *s,
                               const struct service_port *port, const fronts *f, const prefixes *w,
                               const backends *b)
{
    static const char letters[] = "tus";
    const struct meta *m = &s->object.meta;
    size_t service_len = strlen(m->namespace) + 1 + strlen(m->name);
    size_t text = 2 + service_len + 1 + strlen(port->name) + 1;
    size_t f_size = f->n * sizeof *f->items, b_size = b->n * sizeof *b->items;
    size_t w_size = w->n * sizeof *w->items;
    struct portal *p = xmalloc(sizeof *p + f_size + b_size + w_size + text);
    char *at = (char *)(p + 1);
    *p = *plain;
    p->backends = place_array(&at, b->items, b_size); /* 4-aligned sizes first */
    p->fronts = place_array(&at, f->items, f_size);
    p->sources = place_array(&at, w->items, w_size);
    p->n_fronts = (uint16_t)f->n;
    p->n_sources = (uint16_t)w->n;
    p->n_backends = (uint32_t)b->n;
    snprintf(at, text, "%c%c%s/%s%s%s", p->family == 4 ? '4' : '6', letters[p->protocol],
             m->namespace, m->name, *port->name ? ":" : "", port->name);
    p->id = at;
    p->owner = at + 2;
    p->owner_len = (uint32_t)service_len;
    return p;
}

struct portal *portal_build(const struct service *s, const struct service_port *port,
                            uint8_t family, const struct slice_list *slices,
                            const struct place *place, size_t *ret_left_out)
{
    fronts f = { 0 };
    prefixes w = { 0 };
    backends b = { 0 };
    collect_fronts(s, port, family, &f);
    collect_sources(s, family, place, &f, &w);
    bool accessible = is_accessible(&f);
    struct selection wanted = {
        .want_cluster = !s->internal_local || accessible,
        .want_local = s->internal_local || (s->external_local && accessible),
        .want_serving = port->protocol == PROTO_UDP,
    };
    struct portal plain = {
        .family = family,
        .protocol = (uint8_t)port->protocol,
        .internal_local = s->internal_local,
        .external_local = s->external_local && accessible,
        .affinity_seconds = s->affinity_seconds,
        .health_port =
            s->type == SERVICE_LOAD_BALANCER && s->external_local ? s->health_check_node_port : 0,
    };
    plain.has_any = select_backends(port, family, slices, place, &wanted, &b, ret_left_out);
    plain.n_cluster = count_use(&b, BACKEND_CLUSTER);
    plain.n_local = count_use(&b, BACKEND_LOCAL);
    struct portal *p = assemble(&plain, s, port, &f, &w, &b);
    vec_done(&f);
    vec_done(&w);
    vec_done(&b);
    return p;
}
