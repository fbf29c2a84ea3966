/* The desired Endpoints of a Service with a selector, from its Pods: a pure function. Source:
 * Kubernetes Endpoints controller. */
#pragma once

#include "endpoints/plan.h"
#include "kube/endpoints.h"

#define ENDPOINTS_CAPACITY       1000 /* addresses; more are left out, and it says so */
#define LABEL_ENDPOINTS_MANAGED  "endpoints.kubernetes.io/managed-by"
#define ENDPOINTS_CONTROLLER     "endpoint-controller"
#define ANNOTATION_OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"

struct endpoints_input {
    const struct service *service;
    const struct pod *const *pods; /* of the Service's namespace that match its selector */
    size_t n_pods;
    const struct endpoints *existing; /* NULL: none */
    int64_t trigger_time_ns;          /* what has led to this; 0: unknown */
};

/* The object as it is to be written, the caller's; NULL: what there is says the right thing. The
 * order of subsets, ports and addresses in what there is does not matter. */
struct object *endpoints_build(const struct endpoints_input *in);
