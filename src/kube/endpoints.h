/* v1 Endpoints: the addresses behind a Service as they were told before there were EndpointSlices.
 * Source: Kubernetes API reference, core/v1 Endpoints. */
#pragma once

#include "kube/object.h"
#include "kube/slice.h"

struct endpoints_address {
    struct ip ip; /* family 0: none that can be read, which only old API servers let pass */
    const char *hostname, *node; /* "": none */
    struct target_ref target;    /* kind "": none */
};

/* Each of the addresses offers each of the ports. */
struct endpoints_subset {
    const struct endpoints_address *addresses, *not_ready;
    const struct slice_port *ports;
    uint32_t n_addresses, n_not_ready;
    uint16_t n_ports;
};

struct endpoints {
    struct object object;
    const struct endpoints_subset *subsets;
    uint32_t n_subsets;
    const char *version;             /* resourceVersion, or NULL */
    const struct label *annotations; /* last-change-trigger-time aside */
    uint16_t n_annotations;
    int64_t trigger_time_ns; /* annotation last-change-trigger-time, Unix ns; 0: none */
};

static inline const struct endpoints *endpoints_of(const struct object *o)
{
    return (const struct endpoints *)o;
}

/* The value of an annotation, or NULL. */
const char *endpoints_annotation(const struct endpoints *e, const char *key);
