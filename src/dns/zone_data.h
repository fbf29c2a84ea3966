/* The records of one zone, ready to be asked: built aside from a file, then never changed,
 * published by RCU.
 *
 * Names are nodes in canonical order (RFC 4034 section 6.1), found by hash; names that only have
 * names below them are nodes without records. The SOA is kept apart: the last one of the file
 * counts, whatever its owner, as in the reference, where one file may serve several zones. */
#pragma once

#include "base/arena.h"
#include "dns/zone_file.h"

#define ZONE_RECORDS_MAX 8000000 /* of one zone */
#define ZONE_SET_MAX     65535   /* records of one name and type */

/* Records of one name and type that share a TTL; signatures are split by what they cover, too. */
struct zone_rrs {
    struct rrset rr; /* owner: the node's */
    uint16_t covers; /* RRSIG: the covered type; else 0 */
};

struct zone_node {
    const uint8_t *wire; /* lower case */
    uint8_t len;
    uint32_t n; /* of sets; 0: only names below */
    const struct zone_rrs
        *sets; /* by type, RRSIGs by covered type; then in the order of the file */
};

struct zone_data {
    struct arena arena;
    const uint8_t *origin; /* lower case */
    uint8_t origin_len, origin_labels;
    const struct zone_node *apex;
    const struct zone_rrs *soa;
    uint32_t serial;
    size_t n_nodes, n_records, n_outside; /* outside: records left out */
    const struct zone_node *nodes;
    const uint32_t *slots; /* index + 1 of a node, by hash */
    size_t mask;
};

struct zone_builder;
/* origin: plain wire, any case. */
struct zone_builder *zone_builder_new(const uint8_t *origin);
/* A zone_record_fn. Records outside the zone are counted and left out. */
int zone_builder_add(void *builder, const struct zone_record *r, struct err *e);
/* Frees the builder, on failure too. ERR_INVALID: there is no SOA. */
int zone_builder_end(struct zone_builder *b, struct zone_data **ret, struct err *e);
void zone_builder_free(struct zone_builder *b); /* NULL is fine */

void zone_data_free(void *zone);

/* Readers. wire: lower case, len bytes with the root label. NULL: no such node. */
const struct zone_node *zone_find(const struct zone_data *z, const uint8_t *wire, size_t len);
/* The first set of a type (RRSIG: covering that type); the others follow it. NULL: none. */
const struct zone_rrs *zone_node_rrs(const struct zone_node *n, uint16_t type, uint16_t covers);
/* The last node with records that comes before the name in canonical order; NULL: none. */
const struct zone_node *zone_before(const struct zone_data *z, const uint8_t *wire);
