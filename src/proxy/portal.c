#include "proxy/portal.h"

static struct front_plan internal_plan(const struct portal *p)
{
    if (p->internal_local)
        return p->n_local > 0 ? (struct front_plan){ .route = ROUTE_LOCAL }
                              : (struct front_plan){
                                    .refusal = p->has_any ? REFUSE_DROP : REFUSE_REJECT,
                                };
    return p->has_any ? (struct front_plan){ .route = ROUTE_CLUSTER }
                      : (struct front_plan){ .refusal = REFUSE_REJECT };
}

/* With policy Local and no backend here, pods and the node itself are still served; everybody
 * else falls through to the refusal. */
static struct front_plan external_plan(const struct portal *p)
{
    if (!p->has_any)
        return (struct front_plan){ .refusal = REFUSE_REJECT };
    if (!p->external_local)
        return (struct front_plan){ .route = ROUTE_EXTERNAL };
    return (struct front_plan){ .route = ROUTE_BY_SOURCE,
                                .refusal = p->n_local > 0 ? REFUSE_NOTHING : REFUSE_DROP };
}

struct front_plan front_plan(const struct portal *p, const struct front *f)
{
    return f->kind == FRONT_CLUSTER_IP ? internal_plan(p) : external_plan(p);
}

static bool equal_fronts(const struct portal *a, const struct portal *b)
{
    for (unsigned i = 0; i < a->n_fronts; i++) {
        const struct front *x = &a->fronts[i], *y = &b->fronts[i];
        if (memcmp(x->ip, y->ip, sizeof x->ip) != 0 || x->port != y->port || x->kind != y->kind)
            return false;
    }
    return true;
}

static bool equal_sources(const struct portal *a, const struct portal *b)
{
    for (unsigned i = 0; i < a->n_sources; i++)
        if (a->sources[i].bits != b->sources[i].bits ||
            !ip_equal(&a->sources[i].ip, &b->sources[i].ip))
            return false;
    return true;
}

bool portal_equal(const struct portal *a, const struct portal *b)
{
    return strcmp(a->id, b->id) == 0 && a->internal_local == b->internal_local &&
           a->external_local == b->external_local && a->has_any == b->has_any &&
           a->affinity_seconds == b->affinity_seconds && a->health_port == b->health_port &&
           a->n_fronts == b->n_fronts && a->n_sources == b->n_sources &&
           a->n_backends == b->n_backends && equal_fronts(a, b) && equal_sources(a, b) &&
           (a->n_backends == 0 ||
            memcmp(a->backends, b->backends, a->n_backends * sizeof *a->backends) == 0);
}

int portal_change_compare(const void *a, const void *b)
{
    const struct portal_change *x = a, *y = b;
    return strcmp(x->id, y->id);
}
