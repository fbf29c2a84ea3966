/* Desired EndpointSlices of a Service without selector: those that tell what its Endpoints tell. A
 * pure function. Source: Kubernetes EndpointSliceMirroring controller. */
#pragma once

#include "endpoints/plan.h"
#include "kube/endpoints.h"

#define MIRROR_ADDRESSES_MAX  1000 /* of a subset: --mirroring-max-endpoints-per-subset */
#define LABEL_SKIP_MIRROR     "endpointslice.kubernetes.io/skip-mirror"
#define ANNOTATION_LEADER     "control-plane.alpha.kubernetes.io/leader"
#define ANNOTATION_LAST_APPLY "kubectl.kubernetes.io/last-applied-configuration"

struct mirror_input {
    const struct endpoints *endpoints;
    const struct slice *const *existing; /* mirrored ones of this Service */
    size_t n_existing;
    /* Is there a slice of somebody else with this name? May be NULL; not asked with api. */
    bool (*taken)(void *ctx, const char *name);
    void *ctx;
    bool api;               /* as in plan.h */
    unsigned max_addresses; /* of a subset; 0: MIRROR_ADDRESSES_MAX */
};

/* What a person would want to hear. */
struct mirror_report {
    unsigned invalid; /* addresses that are none */
    unsigned surplus; /* addresses above the limit */
    bool too_big;     /* more ports or addresses than can be looked at: nothing is changed */
};

/* Is it mirrored at all? Either may be NULL. */
bool mirror_applies(const struct service *service, const struct endpoints *endpoints);
/* One slice for each subset and family; plan_done() frees. */
void mirror_build(const struct mirror_input *in, struct plan *ret_plan, struct mirror_report *ret);
