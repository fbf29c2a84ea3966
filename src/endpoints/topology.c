#include "endpoints/topology.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OVERLOAD 0.2 /* what a zone's endpoints may have to do too much */

/* One zone while hints are handed out. */
struct zone_state {
    const char *zone;
    unsigned min, max;
    double desired;
    unsigned have;
    unsigned give, take;
    double surplus; /* below 0: it lacks some */
    bool has_share;
};

struct sharing {
    struct topology *t;
    VEC(struct zone_state) zones;
};

/* ---- zones ---- */

static bool is_excluded(const struct meta *m)
{
    return meta_label(m, "node-role.kubernetes.io/control-plane") ||
           meta_label(m, "node-role.kubernetes.io/master");
}

static struct zone_share *share_of(struct zones *z, const char *name)
{
    vec_each (s, &z->shares)
        if (strcmp(s->zone, name) == 0)
            return s;
    vec_push(&z->shares, (struct zone_share){ .zone = arena_strdup(&z->names, name) });
    return &z->shares.items[z->shares.n - 1];
}

static void read_node(void *ctx, const struct object *o)
{
    struct zones *z = ctx;
    const struct node *n = node_of(o);
    if (is_excluded(&o->meta) || !n->ready)
        return;
    if (!*n->zone || n->cpu_milli <= 0)
        z->insufficient = true;
    else
        share_of(z, n->zone)->cpu_milli += n->cpu_milli;
}

static int by_zone(const void *a, const void *b)
{
    const struct zone_share *x = a, *y = b;
    return strcmp(x->zone, y->zone);
}

void zones_read(const struct store *store, struct zones *ret)
{
    int64_t total = 0;
    *ret = (struct zones){ 0 };
    arena_init(&ret->names, 256);
    store_each(store, KIND_NODE, NULL, read_node, ret);
    if (ret->shares.n)
        qsort(ret->shares.items, ret->shares.n, sizeof *ret->shares.items, by_zone);
    vec_each (s, &ret->shares)
        total += s->cpu_milli;
    ret->insufficient |= ret->shares.n < 2;
    vec_each (s, &ret->shares)
        s->ratio = (double)s->cpu_milli / (double)total;
}

void zones_done(struct zones *z)
{
    vec_done(&z->shares);
    arena_done(&z->names);
}

/* ---- what each zone ought to have ---- */

static size_t count_ready(const struct topology *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_slices; i++)
        for (size_t k = 0; k < t->slices[i].n; k++)
            n += t->slices[i].endpoints[k].ready;
    return n;
}

static bool refuse(struct topology *t, const char *why)
{
    t->refusal = why;
    return false;
}

static bool allocate(struct sharing *s)
{
    struct topology *t = s->t;
    const struct zones *z = t->zones;
    size_t n = count_ready(t), total = 0;
    if (z->insufficient)
        return refuse(t, "Insufficient Node information: allocatable CPU or zone not specified on "
                         "one or more nodes");
    if (z->shares.n > n)
        return refuse(t, arena_printf(t->arena,
                                      "Insufficient number of endpoints (%zu endpoints, %zu zones)",
                                      n, z->shares.n));
    vec_each (share, &z->shares) {
        double desired = share->ratio * (double)n;
        unsigned min = (unsigned)ceil(desired * (1 / (1 + OVERLOAD)));
        vec_push(&s->zones, (struct zone_state){ .zone = share->zone,
                                                 .min = min,
                                                 .desired = fmax(desired, min),
                                                 .has_share = true });
        total += min;
    }
    if (total > n)
        return refuse(t, arena_printf(t->arena,
                                      "Unable to allocate minimum required endpoints to each zone "
                                      "without exceeding overload threshold (%zu endpoints, %zu "
                                      "zones)",
                                      n, z->shares.n));
    vec_each (zone, &s->zones)
        zone->max = zone->min + (unsigned)(n - total);
    return true;
}

static struct zone_state *find_zone(struct sharing *s, const char *name)
{
    vec_each (z, &s->zones)
        if (strcmp(z->zone, name) == 0)
            return z;
    return NULL;
}

/* ---- slices that may stay as they are ---- */

/* Every ready endpoint has a hint, for a zone that has CPUs, and no zone gets more than it may. */
static bool will_do(struct sharing *s, const struct topology_slice *slice)
{
    bool good = true;
    size_t counted = 0;
    for (; counted < slice->n && good; counted++) {
        const struct topology_endpoint *ep = &slice->endpoints[counted];
        struct zone_state *z = ep->ready ? find_zone(s, ep->hint) : NULL;
        good = !ep->ready || (z && z->has_share);
        if (ep->ready && good)
            z->have++;
    }
    for (size_t i = 0; i < slice->n && good; i++) {
        const struct topology_endpoint *ep = &slice->endpoints[i];
        const struct zone_state *z = ep->ready ? find_zone(s, ep->hint) : NULL;
        good = !z || z->have <= z->max;
    }
    for (size_t i = 0; i < counted && !good; i++) {
        const struct topology_endpoint *ep = &slice->endpoints[i];
        struct zone_state *z = ep->ready ? find_zone(s, ep->hint) : NULL;
        if (z && z->has_share)
            z->have--;
    }
    return good;
}

/* ---- hints ---- */

static bool hint_own_zones(struct sharing *s)
{
    struct topology *t = s->t;
    for (size_t i = 0; i < t->n_slices; i++) {
        struct topology_slice *slice = &t->slices[i];
        for (size_t k = 0; k < slice->n && slice->written; k++) {
            struct topology_endpoint *ep = &slice->endpoints[k];
            ep->hint = "";
            if (!ep->ready)
                continue;
            if (!*ep->zone)
                return refuse(t, "One or more endpoints do not have a zone specified");
            struct zone_state *z = find_zone(s, ep->zone);
            if (!z) {
                vec_push(&s->zones, (struct zone_state){ .zone = ep->zone });
                z = &s->zones.items[s->zones.n - 1];
            }
            z->have++;
            ep->hint = ep->zone;
        }
    }
    return true;
}

/* Whole endpoints, from where most are too many to where most are lacking. */
static void plan_moves(struct sharing *s)
{
    vec_each (z, &s->zones)
        z->surplus = z->has_share ? z->have - z->desired : 0;
    for (;;) {
        struct zone_state *most = NULL, *least = NULL;
        vec_each (z, &s->zones) {
            if (z->surplus > 0 && (!most || z->surplus > most->surplus))
                most = z;
            if (z->surplus < 0 && (!least || z->surplus < least->surplus))
                least = z;
        }
        if (!most || !least || (most->surplus < 1 && least->surplus > -1) || most->surplus < 0.5 ||
            least->surplus > -0.5)
            break;
        most->give++;
        most->surplus -= 1;
        least->take++;
        least->surplus += 1;
    }
}

static struct zone_state *next_taker(struct sharing *s)
{
    vec_each (z, &s->zones)
        if (z->take)
            return z;
    return NULL;
}

static void move_hints(struct sharing *s)
{
    struct topology *t = s->t;
    for (size_t i = 0; i < t->n_slices; i++) {
        struct topology_slice *slice = &t->slices[i];
        for (size_t k = 0; k < slice->n && slice->written; k++) {
            struct topology_endpoint *ep = &slice->endpoints[k];
            struct zone_state *from = ep->ready ? find_zone(s, ep->zone) : NULL;
            struct zone_state *to = from && from->give ? next_taker(s) : NULL;
            if (!to)
                continue;
            ep->hint = to->zone;
            from->give--;
            from->have--;
            to->take--;
            to->have++;
        }
    }
}

static void tell_counts(struct sharing *s)
{
    struct topology *t = s->t;
    t->counts = arena_alloc(t->arena, s->zones.n * sizeof *t->counts);
    vec_each (z, &s->zones)
        if (z->have)
            t->counts[t->n_counts++] = (struct zone_count){ z->zone, z->have };
}

static void remove_hints(struct topology *t)
{
    for (size_t i = 0; i < t->n_slices; i++) {
        struct topology_slice *slice = &t->slices[i];
        for (size_t k = 0; k < slice->n; k++) {
            slice->written |= *slice->endpoints[k].hint != 0;
            slice->endpoints[k].hint = "";
        }
    }
}

bool topology_hint(struct topology *t)
{
    struct sharing s = { .t = t };
    t->refusal = NULL;
    t->counts = NULL;
    t->n_counts = 0;
    bool good = allocate(&s);
    for (size_t i = 0; i < t->n_slices && good; i++)
        if (!t->slices[i].written && !will_do(&s, &t->slices[i]))
            t->slices[i].written = true;
    good = good && hint_own_zones(&s);
    if (good) {
        plan_moves(&s);
        move_hints(&s);
        tell_counts(&s);
    } else {
        remove_hints(t);
    }
    vec_done(&s.zones);
    return good;
}

bool topology_is_overloaded(const struct zones *z, const struct zone_count *counts, size_t n)
{
    double total = 0;
    if (!n)
        return false;
    if (z->insufficient)
        return true;
    for (size_t i = 0; i < n; i++)
        total += counts[i].n;
    vec_each (share, &z->shares) {
        unsigned have = 0;
        for (size_t i = 0; i < n; i++)
            if (strcmp(counts[i].zone, share->zone) == 0)
                have = counts[i].n;
        if (!have || have < ceil(total * share->ratio * (1 / (1 + OVERLOAD))))
            return true;
    }
    return false;
}
