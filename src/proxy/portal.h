/* What a proxy serves: a portal is one port of a Service in one family, with everything that a
 * kernel must be told about it: the addresses at which clients come (fronts), the endpoints that
 * they may reach (backends), who is let in, and how long a client stays where it is.
 *
 * This is the whole vocabulary between the model, which derives it from Kubernetes objects, and the
 * renderers, which never see a Kubernetes object. A portal is one allocation and immutable, but for
 * `granted`, which the model changes before it hands the portal out. Fronts and backends are plain
 * bytes, to be compared with memcmp(); padding is explicit and zero. */
#pragma once

#include "kube/object.h"

#include <string.h>

/* numgen's modulus and the slots of one list; further backends are left out by name. */
#define PORTAL_BACKENDS_MAX 65535

enum backend_use {
    BACKEND_CLUSTER = 1, /* of the list for policy Cluster */
    BACKEND_LOCAL = 2,   /* of the list for policy Local */
    BACKEND_SERVING = 4, /* answers; UDP flows to others are stale */
    /* On this node, or nobody said where: only such a backend can meet itself through this node's
     * rules (hairpin). */
    BACKEND_HERE = 8,
};

struct backend {
    uint8_t ip[16]; /* network order; IPv4 uses the first four, the rest is zero */
    uint16_t port;
    uint16_t use; /* enum backend_use; not part of the identity */
};
_Static_assert(sizeof(struct backend) == 20, "backend is compared as bytes");

enum front_kind { FRONT_CLUSTER_IP, FRONT_BALANCER_IP, FRONT_EXTERNAL_IP, FRONT_NODE_PORT };

struct front {
    uint8_t ip[16];  /* zero for a node port, which is open at all addresses chosen for that */
    uint16_t port;   /* host order */
    uint8_t kind;    /* enum front_kind */
    uint8_t granted; /* false: another Service claims the same and comes first by name */
};
_Static_assert(sizeof(struct front) == 20, "front is compared as bytes");

struct portal {
    /* Family and protocol ('4', '6'; 't', 'u', 's'), then the owner: the key of all tables. */
    const char *id;
    const char *owner;  /* "namespace/name:port", or "namespace/name" for a port without name */
    uint32_t owner_len; /* of the "namespace/name" in it */
    uint8_t family;     /* 4 or 6 */
    uint8_t protocol;   /* enum protocol */
    bool internal_local, external_local; /* the traffic policies */
    bool has_any;              /* some endpoint somewhere can answer, whatever the policies say */
    uint32_t affinity_seconds; /* 0: none */
    uint32_t n_backends, n_cluster, n_local;
    uint16_t n_fronts, n_sources;
    uint16_t health_port;           /* healthCheckNodePort, 0: none */
    const struct backend *backends; /* sorted by ip and port, each once */
    const struct front *fronts;
    /* Whom balancer addresses let in; disjoint. None: everyone. */
    const struct ip_prefix *sources;
};

/* The way of a connection that comes to a front. */
enum front_route {
    ROUTE_NONE,      /* not translated */
    ROUTE_CLUSTER,   /* any backend of the Cluster list */
    ROUTE_LOCAL,     /* any of the Local list */
    ROUTE_EXTERNAL,  /* masqueraded to any of the Cluster list */
    ROUTE_BY_SOURCE, /* pods and this node: Cluster list, others: Local list */
};

/* What becomes of packets that came to a front and were not translated. */
enum refusal { REFUSE_NOTHING, REFUSE_REJECT, REFUSE_DROP };

struct front_plan {
    enum front_route route;
    enum refusal refusal;
};

struct front_plan front_plan(const struct portal *p, const struct front *f);
static inline bool front_is_guarded(const struct portal *p, const struct front *f)
{
    return f->kind == FRONT_BALANCER_IP && p->n_sources > 0;
}

/* Everything but the grants. */
bool portal_equal(const struct portal *a, const struct portal *b);

/* A step from one state to the next: what is behind an id from now on, NULL: nothing. */
struct portal_change {
    const char *id;
    const struct portal *old, *new;
};

/* By id; for qsort() and bsearch() over struct portal_change. */
int portal_change_compare(const void *a, const void *b);

static inline int backend_compare(const struct backend *a, const struct backend *b)
{
    int ret = memcmp(a->ip, b->ip, sizeof a->ip);
    return ret != 0 ? ret : (a->port > b->port) - (a->port < b->port);
}

static inline struct ip ip_of_bytes(uint8_t family, const uint8_t bytes[16])
{
    struct ip ip = { .family = family };
    memcpy(ip.bytes, bytes, sizeof ip.bytes);
    return ip;
}
