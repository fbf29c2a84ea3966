#include "dns/plugin.h"

#include <string.h>

/* A handful of zones, longest first: the first that fits is the answer. Sets made from CIDR keys
 * can have hundreds; they are rare enough for a scan that compares label counts first. */
struct zone {
    const uint8_t *wire; /* lower case */
    uint8_t len, labels;
    int position; /* in the list it was made from */
};

struct zone_set {
    struct zone *zones;
    unsigned n;
    const struct zone **by_position;
};

static int longer_first(const void *a, const void *b)
{
    const struct zone *x = a, *y = b;
    return x->labels != y->labels ? (int)y->labels - (int)x->labels : x->position - y->position;
}

struct zone_set *zone_set_new(struct arena *a, const struct zone_list *zones)
{
    struct zone_set *s = arena_zalloc(a, sizeof *s);
    s->zones = arena_zalloc(a, zones->n * sizeof *s->zones);
    s->by_position = arena_zalloc(a, zones->n * sizeof(struct zone *));
    for (size_t i = 0; i < zones->n; i++) {
        struct name n;
        if (name_from_text(zones->items[i], &n) < 0)
            continue; /* zone_expand() made them: cannot happen */
        uint8_t *wire = arena_alloc(a, n.len);
        name_lower(wire, n.wire, n.len);
        s->zones[s->n++] = (struct zone){ wire, n.len, n.n_labels, (int)i };
    }
    qsort(s->zones, s->n, sizeof *s->zones, longer_first);
    for (unsigned i = 0; i < s->n; i++)
        s->by_position[s->zones[i].position] = &s->zones[i];
    return s;
}

int zone_set_find(const struct zone_set *s, const struct question *q)
{
    for (unsigned i = 0; i < s->n; i++) {
        const struct zone *z = &s->zones[i];
        if (name_lies_in(&q->name, q->lower, z->wire, z->labels, z->len))
            return z->position;
    }
    return -1;
}

unsigned zone_set_count(const struct zone_set *s)
{
    return s->n;
}

const uint8_t *zone_set_wire(const struct zone_set *s, int i)
{
    return s->by_position[i]->wire;
}

unsigned zone_set_labels(const struct zone_set *s, int i)
{
    return s->by_position[i]->labels;
}

bool zone_set_covers(const struct zone_set *s, const struct question *q)
{
    return s && zone_set_find(s, q) >= 0;
}

bool zone_set_meets(const struct zone_set *s, const uint8_t *zone)
{
    for (unsigned i = 0; s && i < s->n; i++)
        if (name_is_below(zone, s->zones[i].wire) || name_is_below(s->zones[i].wire, zone))
            return true;
    return false;
}

int zone_set_fallthrough(struct setup *s, struct dispenser *d, struct zone_set **ret, struct err *e)
{
    struct zone_list zones = { 0 };
    struct arena *a = setup_arena(s);
    while (dispenser_next_arg(d)) {
        int code = zone_expand(dispenser_val(d), a, &zones, e);
        if (code < 0)
            return dispenser_err(d, e, "%s", e->text);
    }
    if (zones.n == 0) {
        int code = zone_expand(".", a, &zones, e);
        if (code < 0)
            return code;
    }
    *ret = zone_set_new(a, &zones);
    return 0;
}
