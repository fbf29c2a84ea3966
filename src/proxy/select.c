#include "proxy/select.h"

#define LABEL_OTHER_PROXY "service.kubernetes.io/service-proxy-name"

struct candidate {
    struct backend b;
    uint8_t conditions;
    bool local;
    bool node_hints, my_node; /* has hints, has one for us */
    bool zone_hints, my_zone;
    uint32_t order; /* of appearance */
};

typedef VEC(struct candidate) candidates;

bool proxy_ignores(const struct meta *m)
{
    return meta_label(m, LABEL_OTHER_PROXY) || meta_label(m, LABEL_HEADLESS);
}

static bool is_usable(const struct slice *s, uint8_t family)
{
    return s->family == family && !proxy_ignores(&s->object.meta);
}

static const struct slice_port *find_port(const struct slice *s, const struct service_port *want)
{
    for (const struct slice_port *p = s->ports; p < s->ports + s->n_ports; p++)
        if (p->protocol == want->protocol && strcmp(p->name, want->name) == 0)
            return p->port > 0 && p->port <= 65535 ? p : NULL;
    return NULL;
}

static bool is_hinted(const struct slice *s, uint32_t first, unsigned n, const char *name)
{
    for (uint32_t i = first; i < first + n; i++)
        if (*name && strcmp(slice_str(s, s->hints[i]), name) == 0)
            return true;
    return false;
}

static struct candidate candidate_of(const struct slice *s, const struct endpoint *e, uint16_t port,
                                     const struct place *place)
{
    const struct endpoint_more more = slice_more(s, e);
    const char *node = slice_str(s, more.node);
    struct candidate c = {
        .b = { .port = port },
        .conditions = e->conditions,
        .local = *node && strcmp(node, place->node_name) == 0,
        .node_hints = e->n_node_hints > 0,
        .zone_hints = e->n_hints > 0,
        .my_zone = is_hinted(s, more.first_hint, e->n_hints, place->zone),
        .my_node = is_hinted(s, more.first_hint + e->n_hints, e->n_node_hints, place->node_name),
    };
    if (c.local || !*node)
        c.b.use = BACKEND_HERE;
    memcpy(c.b.ip, e->ip.bytes, ip_len(&e->ip));
    return c;
}

static bool is_ready(const struct candidate *c)
{
    return c->conditions & ENDPOINT_READY;
}

/* Serves while it terminates: the fallback. A ready one never counts as such. */
static bool is_leaving(const struct candidate *c)
{
    const unsigned both = ENDPOINT_SERVING | ENDPOINT_TERMINATING;
    return !is_ready(c) && (c->conditions & both) == both;
}

static void collect(const struct slice *s, const struct service_port *want, uint8_t family,
                    const struct place *place, candidates *out)
{
    const struct slice_port *p = is_usable(s, family) ? find_port(s, want) : NULL;
    if (!p)
        return;
    for (const struct endpoint *e = s->endpoints; e < s->endpoints + s->n_endpoints; e++) {
        if (e->ip.family != family)
            continue;
        struct candidate c = candidate_of(s, e, (uint16_t)p->port, place);
        c.order = (uint32_t)out->n;
        if (is_ready(&c) || c.conditions & ENDPOINT_SERVING)
            vec_push(out, c);
    }
}

/* Same address and port: local ones first, then in order of appearance. */
static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int ret = backend_compare(&x->b, &y->b);
    if (ret == 0)
        ret = y->local - x->local;
    return ret != 0 ? ret : (x->order > y->order) - (x->order < y->order);
}

static void sort_unique(candidates *v)
{
    size_t w = 0;
    if (v->n < 2)
        return;
    qsort(v->items, v->n, sizeof *v->items, compare);
    for (size_t i = 1; i < v->n; i++)
        if (backend_compare(&v->items[w].b, &v->items[i].b) != 0)
            v->items[++w] = v->items[i];
        else
            v->items[w].b.use |= v->items[i].b.use;
    v->n = w + 1;
}

enum hints { HINTS_NONE, HINTS_NODE, HINTS_ZONE };

static enum hints hint_mode(const candidates *v)
{
    bool every_node = true, every_zone = true, my_node = false, my_zone = false;
    vec_each (c, v) {
        if (!is_ready(c))
            continue;
        every_node &= c->node_hints;
        every_zone &= c->zone_hints;
        my_node |= c->my_node;
        my_zone |= c->my_zone;
    }
    if (every_node && my_node)
        return HINTS_NODE;
    return every_zone && my_zone ? HINTS_ZONE : HINTS_NONE;
}

static bool hints_allow(const struct candidate *c, enum hints mode)
{
    return mode == HINTS_NONE || (mode == HINTS_NODE ? c->my_node : c->my_zone);
}

static bool mark(candidates *v, uint16_t use, bool (*is)(const struct candidate *), bool local_only,
                 enum hints mode)
{
    bool any = false;
    vec_each (c, v) {
        if (!is(c) || (local_only && !c->local) || !hints_allow(c, mode))
            continue;
        c->b.use |= use;
        any = true;
    }
    return any;
}

static bool can_answer(const candidates *v)
{
    vec_each (c, v)
        if (is_ready(c) || is_leaving(c))
            return true;
    return false;
}

static bool mark_lists(candidates *v, const struct selection *s)
{
    bool any = false;
    if (s->want_cluster)
        any = mark(v, BACKEND_CLUSTER, is_ready, false, hint_mode(v)) ||
              mark(v, BACKEND_CLUSTER, is_leaving, false, HINTS_NONE);
    if (s->want_local && !mark(v, BACKEND_LOCAL, is_ready, true, HINTS_NONE))
        mark(v, BACKEND_LOCAL, is_leaving, true, HINTS_NONE);
    return any || (s->want_local && can_answer(v));
}

bool select_backends(const struct service_port *port, uint8_t family,
                     const struct slice_list *slices, const struct place *place,
                     const struct selection *s, backends *ret, size_t *ret_left_out)
{
    candidates all = { 0 };
    *ret_left_out = 0;
    for (size_t i = 0; i < slices->slices.n; i++)
        collect(slices->slices.items[i], port, family, place, &all);
    sort_unique(&all);
    bool any = mark_lists(&all, s);
    vec_each (c, &all) {
        if (s->want_serving && c->conditions & (ENDPOINT_SERVING | ENDPOINT_READY))
            c->b.use |= BACKEND_SERVING;
        if (!(c->b.use & ~BACKEND_HERE))
            continue;
        if (ret->n < PORTAL_BACKENDS_MAX)
            vec_push(ret, c->b);
        else
            ++*ret_left_out;
    }
    vec_done(&all);
    return any;
}

static int compare_ips(const void *a, const void *b)
{
    return ip_compare(a, b);
}

unsigned select_local_ready(const struct slice_list *slices, const struct place *place)
{
    VEC(struct ip) ips = { 0 };
    unsigned n = 0;
    for (size_t i = 0; i < slices->slices.n; i++) {
        const struct slice *s = slices->slices.items[i];
        for (uint32_t k = 0; is_usable(s, s->family) && s->family && k < s->n_endpoints; k++)
            if (s->endpoints[k].conditions & ENDPOINT_READY &&
                strcmp(slice_str(s, slice_more(s, &s->endpoints[k]).node), place->node_name) == 0)
                vec_push(&ips, s->endpoints[k].ip);
    }
    if (ips.n > 0)
        qsort(ips.items, ips.n, sizeof *ips.items, compare_ips);
    for (size_t i = 0; i < ips.n; i++)
        n += i == 0 || !ip_equal(&ips.items[i - 1], &ips.items[i]);
    vec_done(&ips);
    return n;
}
