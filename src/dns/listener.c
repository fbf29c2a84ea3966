#include "dns/serve.h"

#include <string.h>

/* The longest zone of at most max_labels labels that the name lies in. */
static const struct route *scan(const struct dns_listener *l, const struct question *q,
                                uint8_t max_labels)
{
    for (unsigned i = 0; i < l->n_routes; i++) {
        const struct route *r = &l->routes[i];
        if (r->zone_labels > max_labels || r->zone_labels > q->name.n_labels)
            continue;
        uint8_t off = q->name.off[q->name.n_labels - r->zone_labels];
        if (memcmp(q->lower + off, r->zone_wire, r->zone_len) == 0)
            return r;
    }
    return NULL;
}

static const struct route *look_up(const struct dns_listener *l, const struct question *q,
                                   uint8_t max_labels)
{
    if (l->n_routes <= ROUTES_SCANNED)
        return scan(l, q, max_labels);
    unsigned labels = q->name.n_labels < max_labels ? q->name.n_labels : max_labels;
    for (unsigned skip = q->name.n_labels - labels; skip <= q->name.n_labels; skip++) {
        uint8_t off = q->name.off[skip];
        const struct route *r = ht_get(&l->index, q->lower + off, q->name.len - off);
        if (r)
            return r;
    }
    return NULL;
}

const struct route *listener_route(const struct dns_listener *l, const struct question *q)
{
    const struct route *r = look_up(l, q, NAME_MAX_LABELS);
    if (!r || q->type != RR_DS || r->zone_labels == 0)
        return r;
    /* DS lives on the parent's side of a zone cut (RFC 4035 section 3.1.4.1). */
    const struct route *parent = look_up(l, q, (uint8_t)(r->zone_labels - 1));
    return parent ? parent : r;
}
