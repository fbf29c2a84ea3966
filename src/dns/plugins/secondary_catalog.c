/* What a catalog zone says (RFC 9432 section 4): `version`, and below `zones` a node for each
 * member with the member's name as a PTR, and perhaps `coo` below that. Groups and other properties
 * mean nothing here. */
#include "dns/plugins/secondary.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "2"

static const struct zone_rrs *find_rrs(const struct zone_data *z, const uint8_t *wire,
                                       uint16_t type)
{
    const struct zone_node *n = zone_find(z, wire, name_wire_len(wire));
    return n ? zone_node_rrs(n, type, 0) : NULL;
}

/* The only record of a type that a name has; NULL: none, or several (then *ret_several). */
static const uint8_t *only_rdata(const struct zone_node *n, uint16_t type, bool *ret_several,
                                 size_t *ret_len)
{
    const struct zone_rrs *r = zone_node_rrs(n, type, 0);
    *ret_several = r && (r->rr.count > 1 || (r + 1 < n->sets + n->n && r[1].rr.type == type));
    if (!r || *ret_several)
        return NULL;
    const uint8_t *at = r->rr.rdata;
    return rrset_next(&r->rr, &at, ret_len);
}

/* LABEL.ORIGIN */
static void below(const struct zone_data *z, const char *label, uint8_t out[NAME_MAX_WIRE])
{
    size_t n = strlen(label);
    if (1 + n + z->origin_len > NAME_MAX_WIRE) {
        out[0] = 0; /* no such name: nothing is found there */
        return;
    }
    out[0] = (uint8_t)n;
    memcpy(out + 1, label, n);
    memcpy(out + 1 + n, z->origin, z->origin_len);
}

/* The character-strings of a TXT record, joined, are the version. */
static bool is_version(const uint8_t *rdata, size_t len)
{
    char text[sizeof VERSION];
    size_t n = 0;
    struct cursor c = cursor_of(rdata, len);
    while (cursor_left(&c)) {
        uint8_t size = cursor_u8(&c);
        const uint8_t *p = cursor_take(&c, size);
        if (!p || n + size > sizeof text)
            return false;
        memcpy(text + n, p, size);
        n += size;
    }
    return n == strlen(VERSION) && memcmp(text, VERSION, n) == 0;
}

static int check_version(const struct zone_data *z, struct err *e)
{
    uint8_t wire[NAME_MAX_WIRE];
    size_t len = 0;
    bool several = false;
    below(z, "version", wire);
    const struct zone_node *n = zone_find(z, wire, name_wire_len(wire));
    const uint8_t *rdata = n ? only_rdata(n, RR_TXT, &several, &len) : NULL;
    if (!rdata)
        return err_set(e, ERR_INVALID, "the catalog must have exactly one version TXT record");
    if (!is_version(rdata, len))
        return err_set(e, ERR_UNSUPPORTED, "the catalog's version is not \"" VERSION "\"");
    return 0;
}

/* ---- members ---- */

static const uint8_t *lower_name(struct arena *a, const uint8_t *wire, size_t len)
{
    uint8_t *copy = arena_alloc(a, len);
    name_lower(copy, wire, len);
    return copy;
}

static int read_coo(struct catalog *c, const struct zone_data *z, const struct zone_node *n,
                    struct member *m, struct err *e)
{
    static const uint8_t label[] = { 3, 'c', 'o', 'o' };
    uint8_t wire[NAME_MAX_WIRE];
    char text[NAME_TEXT_MAX];
    size_t len;
    bool several;
    if (sizeof label + n->len > sizeof wire)
        return 0;
    memcpy(wire, label, sizeof label);
    memcpy(wire + sizeof label, n->wire, n->len);
    const struct zone_node *at = zone_find(z, wire, sizeof label + n->len);
    const uint8_t *rdata = at ? only_rdata(at, RR_PTR, &several, &len) : NULL;
    if (at && several)
        return err_set(e, ERR_INVALID, "the catalog's name %s has more than one PTR record",
                       name_to_text(at->wire, text));
    if (rdata)
        m->coo = lower_name(&c->arena, rdata, len);
    return 0;
}

static int read_member(struct catalog *c, const struct zone_data *z, const struct zone_node *n,
                       struct err *e)
{
    char text[NAME_TEXT_MAX];
    size_t len;
    bool several;
    struct member m = { 0 };
    const uint8_t *rdata = only_rdata(n, RR_PTR, &several, &len);
    if (several)
        return err_set(e, ERR_INVALID, "the catalog's member %s must have exactly one PTR record",
                       name_to_text(n->wire, text));
    if (!rdata)
        return 0;
    if (c->members.n >= MEMBERS_MAX)
        return err_set(e, ERR_LIMIT, "the catalog has more than %d members", MEMBERS_MAX);
    m.zone = lower_name(&c->arena, rdata, len);
    m.id = arena_memdup(&c->arena, n->wire, 1u + n->wire[0]);
    int code = read_coo(c, z, n, &m, e);
    vec_push(&c->members, m);
    return code;
}

static int by_zone(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return name_compare(x->zone, y->zone);
}

static int check_unique(struct catalog *c, struct err *e)
{
    char text[NAME_TEXT_MAX];
    if (c->members.n)
        qsort(c->members.items, c->members.n, sizeof *c->members.items, by_zone);
    for (size_t i = 1; i < c->members.n; i++)
        if (by_zone(&c->members.items[i - 1], &c->members.items[i]) == 0)
            return err_set(e, ERR_INVALID, "two members of the catalog are the zone %s",
                           name_to_text(c->members.items[i].zone, text));
    return 0;
}

/* Nodes are in canonical order, so those below `zones` follow it. */
static int read_members(struct catalog *c, const struct zone_data *z, struct err *e)
{
    uint8_t wire[NAME_MAX_WIRE];
    int code = 0;
    below(z, "zones", wire);
    const struct zone_node *top = zone_find(z, wire, name_wire_len(wire));
    for (const struct zone_node *n = top; n && code == 0 && ++n < z->nodes + z->n_nodes;) {
        if (!name_is_below(n->wire, top->wire))
            break;
        if (name_equal(n->wire + 1 + n->wire[0], top->wire))
            code = read_member(c, z, n, e);
    }
    return code < 0 ? code : check_unique(c, e);
}

int catalog_parse(const struct zone_data *z, struct catalog **ret, struct err *e)
{
    if (!find_rrs(z, z->origin, RR_NS))
        return err_set(e, ERR_INVALID, "the catalog has no NS record");
    int code = check_version(z, e);
    if (code < 0)
        return code;
    struct catalog *c = xcalloc(1, sizeof *c);
    arena_init(&c->arena, 4096);
    code = read_members(c, z, e);
    if (code < 0) {
        catalog_free(c);
        return code;
    }
    *ret = c;
    return 0;
}

void catalog_free(struct catalog *c)
{
    if (!c)
        return;
    arena_done(&c->arena);
    vec_done(&c->members);
    free(c);
}

const struct member *catalog_find(const struct catalog *c, const uint8_t *zone)
{
    struct member key = { .zone = zone };
    if (!c || !c->members.n)
        return NULL;
    return bsearch(&key, c->members.items, c->members.n, sizeof key, by_zone);
}
