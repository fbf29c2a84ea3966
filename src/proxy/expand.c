#include "proxy/expand.h"

#define EXACT_DRAWS 64 /* up to here each number of endpoints has a modulus of its own */
#define DRAW_STEPS  16 /* beyond: so many between one power of two and the next */

uint32_t draw_modulus(uint32_t n)
{
    uint32_t step = 1;
    if (n <= EXACT_DRAWS)
        return n;
    while (2 * DRAW_STEPS * step <= n)
        step *= 2;
    return (n + step - 1) / step * step;
}

static struct element keyed(const struct portal *p, const struct front *f, enum map_id map)
{
    struct element e = { .map = (uint8_t)map, .protocol = p->protocol, .port = f->port };
    memcpy(e.ip, f->ip, sizeof e.ip);
    return e;
}

static enum role role_of(enum front_route route)
{
    return route == ROUTE_LOCAL       ? LIST_LOCAL
           : route == ROUTE_EXTERNAL  ? ROLE_EXTERNAL
           : route == ROUTE_BY_SOURCE ? ROLE_BY_SOURCE
                                      : LIST_CLUSTER;
}

static void add_guard(const struct portal *p, const struct front *f, elements *out)
{
    vec_push(out, keyed(p, f, SET_GUARDED));
    for (unsigned i = 0; i < p->n_sources; i++) {
        struct element e = keyed(p, f, SET_SOURCES);
        memcpy(e.source, p->sources[i].ip.bytes, sizeof e.source);
        e.bits = p->sources[i].bits;
        vec_push(out, e);
    }
}

/* Returns the role that the front makes use of, as a bit. */
static unsigned add_front(const struct portal *p, const struct front *f, uint32_t number,
                          struct expansion *x)
{
    bool node = f->kind == FRONT_NODE_PORT;
    struct front_plan plan = front_plan(p, f);
    struct element to = keyed(p, f, node ? MAP_NODE_PORTS : MAP_SERVICES);
    struct element no = keyed(p, f, node ? MAP_NO_NODE_ENDPOINTS : MAP_NO_ENDPOINTS);
    if (f->kind == FRONT_CLUSTER_IP) {
        struct element ip = { .map = SET_CLUSTER_IPS };
        memcpy(ip.ip, f->ip, sizeof ip.ip);
        vec_push(&x->shared, ip);
    }
    if (front_is_guarded(p, f))
        add_guard(p, f, &x->own);
    no.verdict = plan.refusal == REFUSE_REJECT ? VERDICT_REJECT : VERDICT_DROP;
    if (plan.refusal != REFUSE_NOTHING)
        vec_push(&x->own, no);
    if (plan.route == ROUTE_NONE)
        return 0;
    to.n = handle_of(number, role_of(plan.route));
    vec_push(&x->own, to);
    return 1u << role_of(plan.route);
}

static void add_verdict(elements *out, enum map_id map, uint32_t handle, enum verdict v, uint32_t n,
                        uint8_t protocol)
{
    vec_push(out, (struct element){ .map = (uint8_t)map,
                                    .handle = handle,
                                    .verdict = (uint16_t)v,
                                    .n = n,
                                    .to_port = protocol });
}

static void add_kept(const struct portal *p, uint32_t handle, uint16_t use, elements *out)
{
    for (uint32_t i = 0; i < p->n_backends; i++) {
        const struct backend *b = &p->backends[i];
        struct element e = { .map = SET_AFFINITY, .handle = handle, .port = b->port };
        memcpy(e.ip, b->ip, sizeof e.ip);
        if (b->use & use)
            vec_push(out, e);
    }
}

static void add_list(const struct portal *p, uint32_t number, enum role list, struct expansion *x)
{
    uint32_t n = list == LIST_LOCAL ? p->n_local : p->n_cluster, handle = handle_of(number, list);
    uint32_t modulus = draw_modulus(n);
    if (n == 0)
        return;
    x->has_list[list] = true;
    if (!p->affinity_seconds) {
        add_verdict(&x->own, MAP_LISTS, handle, VERDICT_DRAW, modulus, p->protocol);
        return;
    }
    add_verdict(&x->own, MAP_LISTS, handle, VERDICT_STICKY, 0, 0);
    add_verdict(&x->own, MAP_DRAWS, handle, VERDICT_DRAW, modulus, p->protocol);
    add_verdict(&x->own, MAP_REMEMBER, handle, VERDICT_REMEMBER, p->affinity_seconds, 0);
    add_kept(p, handle, list == LIST_LOCAL ? BACKEND_LOCAL : BACKEND_CLUSTER, &x->own);
}

static void add_hairpins(const struct portal *p, const struct expansion *x, elements *out)
{
    unsigned used = (x->has_list[LIST_CLUSTER] ? BACKEND_CLUSTER : 0u) |
                    (x->has_list[LIST_LOCAL] ? BACKEND_LOCAL : 0u);
    for (uint32_t i = 0; i < p->n_backends; i++) {
        struct element e = { .map = SET_HAIRPIN };
        if (!(p->backends[i].use & BACKEND_HERE) || !(p->backends[i].use & used))
            continue;
        memcpy(e.ip, p->backends[i].ip, sizeof e.ip);
        vec_push(out, e);
    }
}

static int compare(const void *a, const void *b)
{
    return element_compare(a, b);
}

void elements_sort(elements *v)
{
    if (v->n > 1)
        qsort(v->items, v->n, sizeof *v->items, compare);
}

void elements_drop_doubles(elements *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        if (n == 0 || element_compare(&v->items[n - 1], &v->items[i]) != 0)
            v->items[n++] = v->items[i];
    v->n = n;
}

void portal_expand(const struct portal *p, uint32_t number, struct expansion *ret)
{
    unsigned roles = 0;
    vec_clear(&ret->own);
    vec_clear(&ret->shared);
    memset(ret->has_list, 0, sizeof ret->has_list);
    for (unsigned i = 0; i < p->n_fronts; i++)
        if (p->fronts[i].granted)
            roles |= add_front(p, &p->fronts[i], number, ret);
    if (roles & (1u << LIST_CLUSTER | 1u << ROLE_EXTERNAL | 1u << ROLE_BY_SOURCE))
        add_list(p, number, LIST_CLUSTER, ret);
    if (roles & (1u << LIST_LOCAL | 1u << ROLE_BY_SOURCE))
        add_list(p, number, LIST_LOCAL, ret);
    add_hairpins(p, ret, &ret->shared);
    elements_sort(&ret->own);
}

void expansion_done(struct expansion *x)
{
    vec_done(&x->own);
    vec_done(&x->shared);
}
