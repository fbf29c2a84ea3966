#include "dns/serve.h"

#include <string.h>

/* Filters look at the query as it would be with that route. */
static bool passes(const struct route *r, struct query *q)
{
    if (!r->filter)
        return true;
    q->route = r;
    return r->filter(q, r->filter_conf);
}

/* The longest zone of at most max_labels labels that the name lies in. */
static const struct route *scan(const struct dns_listener *l, struct query *query,
                                uint8_t max_labels)
{
    const struct question *q = &query->msg.q;
    for (unsigned i = 0; i < l->n_routes; i++) {
        const struct route *r = &l->routes[i];
        if (r->zone_labels <= max_labels &&
            name_lies_in(&q->name, q->lower, r->zone_wire, r->zone_labels, r->zone_len) &&
            passes(r, query))
            return r;
    }
    return NULL;
}

/* The first of a zone's routes that lets the query pass; r is the zone's first. */
static const struct route *first_passing(const struct dns_listener *l, const struct route *r,
                                         struct query *q)
{
    const uint8_t *zone = r->zone_wire;
    for (; r < l->routes + l->n_routes && name_equal(r->zone_wire, zone); r++)
        if (passes(r, q))
            return r;
    return NULL;
}

static const struct route *look_up(const struct dns_listener *l, struct query *query,
                                   uint8_t max_labels)
{
    const struct question *q = &query->msg.q;
    if (l->n_routes <= ROUTES_SCANNED)
        return scan(l, query, max_labels);
    unsigned labels = q->name.n_labels < max_labels ? q->name.n_labels : max_labels;
    for (unsigned skip = q->name.n_labels - labels; skip <= q->name.n_labels; skip++) {
        uint8_t off = q->name.off[skip];
        const struct route *r = ht_get(&l->index, q->lower + off, q->name.len - off);
        if (r && r->filter)
            r = first_passing(l, r, query);
        if (r)
            return r;
    }
    return NULL;
}

const struct route *listener_route(const struct dns_listener *l, struct query *q)
{
    const struct route *r = look_up(l, q, NAME_MAX_LABELS);
    if (!r || q->msg.q.type != RR_DS || r->zone_labels == 0)
        return r;
    /* DS lives on the parent's side of a zone cut (RFC 4035 section 3.1.4.1). A block for "." is
     * not a parent but what is left when nothing else fits, as in the reference. */
    const struct route *parent = look_up(l, q, (uint8_t)(r->zone_labels - 1));
    return parent && parent->zone_labels ? parent : r;
}
