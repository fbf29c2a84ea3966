/* discovery.k8s.io/v1 EndpointSlice. Endpoints are kept small: a cluster has far more of them than
 * of anything else. Strings of endpoints are offsets into the slice's own string pool (0: absent),
 * and equal strings (node, zone, namespace) are stored once a slice. */
#pragma once

#include "kube/object.h"

enum { /* conditions; the defaults of the API are applied (ready and serving: true when absent) */
       ENDPOINT_READY = 1,
       ENDPOINT_SERVING = 2,
       ENDPOINT_TERMINATING = 4,
       /* With PART_WRITING: which of them the source says itself. */
       ENDPOINT_READY_SAID = 8,
       ENDPOINT_SERVING_SAID = 16,
       ENDPOINT_TERMINATING_SAID = 32,
       ENDPOINT_ALL_SAID = 56,
};

struct endpoint {
    struct ip ip; /* addresses[0] of the API; further addresses become endpoints of their own */
    uint8_t conditions;
    uint8_t n_hints;         /* forZones, see struct endpoint_more */
    uint8_t n_node_hints;    /* forNodes, behind those */
    uint32_t hostname, zone; /* pool offsets */
};

/* What is kept apart, as not everybody looks at it (enum object_part); pool offsets. */
struct endpoint_more {
    uint32_t first_hint; /* index of the first one's offset in the slice's hints */
    uint32_t node;
    uint32_t pod, pod_namespace; /* targetRef, when its kind is Pod */
};

/* What an address stands for, mostly a Pod. "" where the source says nothing. */
struct target_ref {
    const char *kind, *namespace, *name, *uid;
    const char *api_version, *field_path, *version;
};

/* The same as pool offsets. */
struct endpoint_target {
    uint32_t kind, namespace, name, uid, api_version, field_path, version;
};

struct slice_port {
    const char *name; /* "" when unnamed or null */
    const char *app_protocol;
    int32_t port; /* -1: null, which means all ports */
    enum protocol protocol;
};

struct slice {
    struct object object;
    const char *service; /* label kubernetes.io/service-name, "" when missing */
    const struct slice_port *ports;
    const struct endpoint *endpoints;
    const struct endpoint_more *more; /* one an endpoint, or none at all: slice_more() */
    const uint32_t *hints;
    const char *pool; /* pool[0] is NUL */
    uint32_t n_endpoints, n_more, n_hints, pool_len;
    uint16_t n_ports;
    const char *fqdn;        /* addressType FQDN: the first ready endpoint's name; else NULL */
    uint8_t family;          /* 4 or 6; 0: FQDN, which has no endpoints here: only DNS takes it */
    bool computed;           /* made by our own planner, not read from a source */
    int64_t trigger_time_ns; /* annotation last-change-trigger-time, Unix ns; 0: none */
    /* Only with PART_WRITING: */
    const char *version;             /* resourceVersion, or NULL */
    const char *owner_kind;          /* of the controlling owner: "Service", "Endpoints", or NULL */
    const char *owner_uid;           /* of the same, or NULL */
    const struct label *annotations; /* the other ones */
    const struct endpoint_target *targets; /* one an endpoint, or none at all */
    uint32_t n_targets;
    uint16_t n_annotations;
};

static inline const struct slice *slice_of(const struct object *o)
{
    return (const struct slice *)o;
}

static inline struct endpoint_more slice_more(const struct slice *s, const struct endpoint *e)
{
    return s->n_more ? s->more[e - s->endpoints] : (struct endpoint_more){ 0 };
}

static inline const char *slice_str(const struct slice *s, uint32_t off)
{
    return s->pool + off;
}
