/* One element of the ruleset's maps and sets, as plain data: what the proxy tells the kernel about
 * Services is a set of these, and nothing else. They can be printed for nft, compared with memcmp()
 * and walked by whoever wants to know what the kernel will do.
 *
 * A handle names a portal and a role in 32 bits: (number << 2) | role. */
#pragma once

#include "base/str.h"
#include "kube/object.h"
#include "proxy/portal.h"

#define PROTOCOLS 3 /* enum protocol: TCP, UDP, SCTP */

enum map_id {
    /* sets */
    SET_CLUSTER_IPS, /* every cluster IP */
    SET_NODE_IPS,    /* where node ports are open */
    SET_SERVICE_RANGES,
    SET_HAIRPIN,  /* endpoint . endpoint */
    SET_GUARDED,  /* fronts with source ranges */
    SET_SOURCES,  /* ... and who may come */
    SET_AFFINITY, /* handle . endpoint . port: where clients may be kept */
    /* maps */
    MAP_SERVICES,     /* address . protocol . port : handle */
    MAP_NODE_PORTS,   /* protocol . port : handle */
    MAP_LISTS,        /* handle : what to do */
    MAP_DRAWS,        /* handle : a draw, for portals with affinity, whose list is `sticky` */
    MAP_REMEMBER,     /* handle : how long */
    MAP_NO_ENDPOINTS, /* address . protocol . port : reject or drop */
    MAP_NO_NODE_ENDPOINTS,
    MAP_ENDPOINTS_TCP, /* slot . handle : endpoint . port */
    MAP_ENDPOINTS_UDP,
    MAP_ENDPOINTS_SCTP,
    MAPS,
};

enum role {
    LIST_CLUSTER, /* the number's Cluster list */
    LIST_LOCAL,
    ROLE_EXTERNAL,  /* masquerade, then LIST_CLUSTER */
    ROLE_BY_SOURCE, /* LIST_CLUSTER for pods and this node, else LIST_LOCAL */
};

static inline uint32_t handle_of(uint32_t number, enum role role)
{
    return number << 2 | role;
}

/* Values of MAP_LISTS and the like. */
enum verdict {
    VERDICT_NONE,
    VERDICT_REJECT,
    VERDICT_DROP,
    VERDICT_DRAW, /* with a modulus and a protocol */
    VERDICT_STICKY,
    VERDICT_REMEMBER, /* with seconds */
};

struct element {
    /* the key; what a map has no column for is zero */
    uint8_t map;      /* enum map_id */
    uint8_t protocol; /* enum protocol */
    uint16_t port;
    uint32_t handle, slot;
    uint8_t ip[16];
    uint8_t source[16]; /* of SET_SOURCES */
    uint32_t bits;      /* of SET_SOURCES, SET_SERVICE_RANGES: the prefix length */
    /* the value */
    uint16_t verdict; /* enum verdict */
    uint16_t to_port;
    uint32_t n; /* a handle, VERDICT_DRAW: modulus, VERDICT_REMEMBER: seconds */
    uint8_t to[16];
};
_Static_assert(sizeof(struct element) == 72, "element is compared as bytes");
#define ELEMENT_KEY_LEN  48
#define VERDICT_NAME_MAX 32 /* with the NUL */

static inline int element_compare(const struct element *a, const struct element *b)
{
    return memcmp(a, b, ELEMENT_KEY_LEN);
}

const char *map_name(enum map_id map);
bool map_is_set(enum map_id map);
/* Columns of the key, and the value's, NULL for a set: a address, s source range, r range, p
 * protocol, o port, h handle, n slot, e endpoint and its port (E in a key), v verdict. */
const char *map_key_columns(enum map_id map);
const char *map_value_column(enum map_id map);
/* How the map is declared, without its name: "type ...; flags ...". */
void map_print_declaration(enum map_id map, uint8_t family, struct strbuf *out);
/* "10.96.0.1 . tcp . 80", and with_value " : 0:1". */
void element_print(const struct element *e, uint8_t family, bool with_value, struct strbuf *out);

const char *protocol_word(uint8_t protocol); /* "tcp" */
const char *family_word(uint8_t family); /* "ip", "ip6": the table's family and the header's name */
void handle_print(uint32_t handle, struct strbuf *out); /* as nft writes a priority: "1:2" */
/* "draw3-tcp", "remember-10800": the chain of an element's verdict, where it has one. */
void verdict_print(const struct element *e, struct strbuf *out);
/* The same into a place of its own; "" where there is none. */
void verdict_name(const struct element *e, char *out, size_t size);
/* Back from the name; sets the verdict and what belongs to it. False: no element leads there. */
bool verdict_parse(const char *chain, struct element *ret);
