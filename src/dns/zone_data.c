#include "dns/zone_data.h"

#include "base/hash.h"
#include "base/ht.h"

#include <string.h>

#define CHUNK       65536
#define DEDUP_PAIRS 16 /* records of a set up to which each is compared with each */

struct draft_node {
    uint8_t *wire;
    uint8_t len;
    uint32_t index;
};

struct draft_record {
    struct draft_node *node;
    const uint8_t *rdata; /* behind its length */
    uint32_t ttl, seq;
    uint16_t type, covers;
};

struct zone_builder {
    struct zone_data *zone;
    struct arena arena; /* of drafts; records' bytes as well */
    struct ht by_name;
    VEC(struct draft_node *) nodes;
    VEC(struct draft_record) records;
    struct draft_record soa;
    bool has_soa;
};

/* ---- collecting ---- */

/* The node of a name inside the zone, made with all that lie between it and the apex. */
static struct draft_node *intern(struct zone_builder *b, const uint8_t *wire)
{
    struct draft_node *found = NULL;
    for (;; wire += 1 + wire[0]) {
        uint8_t len = name_wire_len(wire);
        struct draft_node *n = ht_get(&b->by_name, wire, len);
        if (n)
            return found ? found : n;
        n = arena_zalloc(&b->arena, sizeof *n);
        n->wire = arena_memdup(&b->zone->arena, wire, len);
        n->len = len;
        (void)ht_put(&b->by_name, wire, len, n);
        vec_push(&b->nodes, n);
        if (!found)
            found = n;
        if (len == b->zone->origin_len)
            return found;
    }
}

struct zone_builder *zone_builder_new(const uint8_t *origin)
{
    struct zone_builder *b = xcalloc(1, sizeof *b);
    struct zone_data *z = b->zone = xcalloc(1, sizeof *z);
    uint8_t lower[NAME_MAX_WIRE];
    arena_init(&b->arena, CHUNK);
    arena_init(&z->arena, CHUNK);
    z->origin_len = name_wire_len(origin);
    z->origin_labels = name_wire_labels(origin);
    name_lower(lower, origin, z->origin_len);
    z->origin = intern(b, arena_memdup(&b->arena, lower, z->origin_len))->wire;
    return b;
}

int zone_builder_add(void *builder, const struct zone_record *r, struct err *e)
{
    struct zone_builder *b = builder;
    bool inside = name_is_below(r->owner, b->zone->origin);
    if (!inside && r->type != RR_SOA) {
        b->zone->n_outside++;
        return 0;
    }
    if (r->type == RR_NSEC3 || r->type == RR_NSEC3PARAM)
        return err_set(e, ERR_UNSUPPORTED, "zones with NSEC3 are not supported; sign with NSEC");
    if (b->records.n >= ZONE_RECORDS_MAX)
        return err_set(e, ERR_LIMIT, "the zone has more than %d records", ZONE_RECORDS_MAX);
    uint8_t *rdata = arena_alloc(&b->arena, 2 + (size_t)r->rdlen);
    put_u16(rdata, r->rdlen);
    if (r->rdlen)
        memcpy(rdata + 2, r->rdata, r->rdlen);
    struct draft_record d = { NULL,    rdata,
                              r->ttl,  (uint32_t)b->records.n,
                              r->type, r->type == RR_RRSIG ? get_u16(r->rdata) : 0 };
    if (r->type != RR_SOA)
        d.node = intern(b, r->owner);
    if (r->type == RR_SOA) {
        b->soa = d;
        b->soa.node = arena_zalloc(&b->arena, sizeof *d.node);
        b->soa.node->wire = arena_memdup(&b->zone->arena, r->owner, name_wire_len(r->owner));
        b->has_soa = true;
    } else {
        vec_push(&b->records, d);
    }
    b->zone->n_records++;
    return 0;
}

/* ---- building ---- */

static int by_name(const void *a, const void *b)
{
    const struct draft_node *const *x = a, *const *y = b;
    return name_compare((*x)->wire, (*y)->wire);
}

static int by_place(const void *a, const void *b)
{
    const struct draft_record *x = a, *y = b;
    if (x->node->index != y->node->index)
        return x->node->index < y->node->index ? -1 : 1;
    if (x->type != y->type)
        return x->type < y->type ? -1 : 1;
    if (x->covers != y->covers)
        return x->covers < y->covers ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static bool same_group(const struct draft_record *a, const struct draft_record *b)
{
    return a->node == b->node && a->type == b->type && a->covers == b->covers;
}

static bool same_rdata(const struct draft_record *a, const struct draft_record *b)
{
    return memcmp(a->rdata, b->rdata, 2u + get_u16(a->rdata)) == 0;
}

/* Takes repeated records out of a group; returns how many stay. */
static size_t dedup(struct draft_record *group, size_t n)
{
    size_t kept = 0;
    struct ht seen = { 0 };
    for (size_t i = 0; i < n; i++) {
        bool repeated = false;
        if (n <= DEDUP_PAIRS)
            for (size_t k = 0; k < kept && !repeated; k++)
                repeated = same_rdata(&group[k], &group[i]);
        else
            repeated = ht_put(&seen, group[i].rdata, 2u + get_u16(group[i].rdata), group) != NULL;
        if (!repeated)
            group[kept++] = group[i];
    }
    ht_done(&seen);
    return kept;
}

static uint16_t fixed_len(uint16_t type)
{
    return type == RR_A ? 4 : type == RR_AAAA ? 16 : 0;
}

/* n records of one group with one TTL. */
static struct zone_rrs make_set(struct zone_data *z, const struct draft_record *d, size_t n)
{
    uint16_t fixed = fixed_len(d->type);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += get_u16(d[i].rdata) + (fixed ? 0u : 2u);
    uint8_t *out = arena_alloc(&z->arena, bytes);
    struct wbuf w = wbuf_of(out, bytes);
    for (size_t i = 0; i < n; i++)
        wbuf_put(&w, d[i].rdata + (fixed ? 2 : 0), get_u16(d[i].rdata) + (fixed ? 0u : 2u));
    return (struct zone_rrs){ .rr = { .owner = d->node->wire,
                                      .rdata = out,
                                      .ttl = d->ttl,
                                      .type = d->type,
                                      .class = CLASS_IN,
                                      .count = (uint16_t)n,
                                      .rdlen = fixed },
                              .covers = d->covers };
}

static void sort_nodes(struct zone_builder *b)
{
    struct zone_data *z = b->zone;
    qsort(b->nodes.items, b->nodes.n, sizeof(struct draft_node *), by_name);
    struct zone_node *nodes = arena_zalloc(&z->arena, b->nodes.n * sizeof *nodes);
    size_t capacity = 8;
    while (capacity < 2 * b->nodes.n)
        capacity *= 2;
    uint32_t *slots = arena_zalloc(&z->arena, capacity * sizeof *slots);
    for (size_t i = 0; i < b->nodes.n; i++) {
        struct draft_node *n = b->nodes.items[i];
        n->index = (uint32_t)i;
        nodes[i].wire = n->wire;
        nodes[i].len = n->len;
        size_t at = hash_bytes(n->wire, n->len) & (capacity - 1);
        while (slots[at])
            at = (at + 1) & (capacity - 1);
        slots[at] = (uint32_t)i + 1;
    }
    z->nodes = nodes;
    z->n_nodes = b->nodes.n;
    z->slots = slots;
    z->mask = capacity - 1;
    z->apex = zone_find(z, z->origin, z->origin_len);
}

/* All sets of all nodes, from the sorted records. */
static void make_sets(struct zone_builder *b)
{
    struct zone_data *z = b->zone;
    struct draft_record *d = b->records.items;
    size_t n = b->records.n, used = 0;
    struct zone_rrs *sets = arena_alloc(&z->arena, n * sizeof *sets);
    for (size_t i = 0, group, run; i < n; i += group) {
        for (group = 1; i + group < n && same_group(&d[i], &d[i + group]);)
            group++;
        size_t kept = dedup(d + i, group);
        for (size_t k = 0; k < kept; k += run) {
            struct zone_node *node = (struct zone_node *)&z->nodes[d[i].node->index];
            for (run = 1;
                 k + run < kept && run < ZONE_SET_MAX && d[i + k + run].ttl == d[i + k].ttl;)
                run++;
            if (node->n++ == 0)
                node->sets = &sets[used];
            sets[used++] = make_set(z, &d[i + k], run);
        }
    }
}

int zone_builder_end(struct zone_builder *b, struct zone_data **ret, struct err *e)
{
    struct zone_data *z = b->zone;
    char text[NAME_TEXT_MAX];
    if (!b->has_soa) {
        int code =
            err_set(e, ERR_INVALID, "no SOA record for the zone %s", name_to_text(z->origin, text));
        zone_builder_free(b);
        return code;
    }
    sort_nodes(b);
    if (b->records.n)
        qsort(b->records.items, b->records.n, sizeof *b->records.items, by_place);
    make_sets(b);
    struct zone_rrs soa = make_set(z, &b->soa, 1);
    z->soa = arena_memdup(&z->arena, &soa, sizeof soa);
    z->serial = get_u32(soa.rr.rdata + 2 + get_u16(soa.rr.rdata) - 20);
    b->zone = NULL;
    zone_builder_free(b);
    *ret = z;
    return 0;
}

void zone_builder_free(struct zone_builder *b)
{
    if (!b)
        return;
    zone_data_free(b->zone);
    arena_done(&b->arena);
    ht_done(&b->by_name);
    vec_done(&b->nodes);
    vec_done(&b->records);
    free(b);
}

void zone_data_free(void *zone)
{
    struct zone_data *z = zone;
    if (!z)
        return;
    arena_done(&z->arena);
    free(z);
}

/* ---- readers ---- */

const struct zone_node *zone_find(const struct zone_data *z, const uint8_t *wire, size_t len)
{
    for (size_t at = hash_bytes(wire, len) & z->mask; z->slots[at]; at = (at + 1) & z->mask) {
        const struct zone_node *n = &z->nodes[z->slots[at] - 1];
        if (n->len == len && memcmp(n->wire, wire, len) == 0)
            return n;
    }
    return NULL;
}

const struct zone_rrs *zone_node_rrs(const struct zone_node *n, uint16_t type, uint16_t covers)
{
    for (uint32_t i = 0; i < n->n; i++)
        if (n->sets[i].rr.type == type && (!covers || n->sets[i].covers == covers))
            return &n->sets[i];
    return NULL;
}

const struct zone_node *zone_before(const struct zone_data *z, const uint8_t *wire)
{
    size_t low = 0, high = z->n_nodes;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (name_compare(z->nodes[mid].wire, wire) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    while (low && z->nodes[low - 1].n == 0)
        low--;
    return low ? &z->nodes[low - 1] : NULL;
}
