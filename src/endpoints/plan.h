/* Desired EndpointSlices of a Service from its Pods and Nodes: a pure function.
 * Source: Kubernetes EndpointSlice controller. */
#pragma once

#include "kube/pod.h"
#include "kube/service.h"
#include "kube/slice.h"

struct zones;
struct zone_count;

#define PLAN_SLICE_ENDPOINTS 100 /* --max-endpoints-per-slice of the original */

struct plan_input {
    const struct service *service;
    const struct pod *const *pods; /* of the Service's namespace that match its selector */
    size_t n_pods;
    const struct node *(*node)(void *ctx, const char *name); /* NULL when unknown */
    void *ctx;
    const struct slice *const *existing; /* our slices of this Service */
    size_t n_existing;
    /* Is there a slice of somebody else with this name? May be NULL: nobody's names can clash. */
    bool (*taken)(void *ctx, const char *name);
    /* Leave out Pods of unknown Nodes (and say so), as the original does on an API server, where
     * the Node is sure to come. A folder of manifests often has no Nodes at all: false. */
    bool nodes_required;
    /* Keep an empty slice for a family without any endpoint, so that readers can tell "none" from
     * "not yet computed". Needed on an API server; in a store of our own nobody asks. */
    bool placeholder;
    /* The slices live on an API server. New ones get no name (the server makes one); those of an
     * earlier Service of the same name are deleted; owner, uids of Pods and the hints that the
     * Service's trafficDistribution asks for are kept in line as well; old ones that are updated
     * keep their version and annotations. */
    bool api;
    const struct zones *zones; /* with api: for topology-mode: Auto; NULL: it is not looked at */
    unsigned max_endpoints;    /* of a slice; 0: PLAN_SLICE_ENDPOINTS */
    int64_t
        trigger_time_ns; /* with api: what is written says that this has led to it; 0: nothing */
};

/* What is to be written: puts are new objects that the caller owns, dels are existing
 * slices. Existing slices that already say the right thing appear in neither. */
struct plan {
    struct object **puts;
    size_t n_puts;
    const struct object **dels; /* the caller's */
    size_t n_dels;
    struct plan_hints {
        bool asked;                /* the Service has topology-mode: Auto, and slices */
        char *refusal;             /* why there are no hints, in words; or NULL */
        struct zone_count *counts; /* endpoints for each zone; names are those of Nodes and zones */
        size_t n;
    } hints[2]; /* IPv4, IPv6 */
    struct plan_counts {
        unsigned added, updated, removed;  /* endpoints */
        unsigned endpoints, slices, ideal; /* as they will be; slices if all were full */
    } counts;
    const struct pod *skipped; /* the first of them that were left out; NULL: none */
    bool incomplete; /* Pods were left out because their Node is unknown: try again later */
};

/* The same input gives the same output, whatever the order of pods and existing. The fewest writes
 * are looked for, not the fewest slices: endpoints never move between slices, and room that deleted
 * ones leave is filled only in slices that change anyway. */
void plan_build(const struct plan_input *in, struct plan *ret_plan);
void plan_done(struct plan *p); /* frees the arrays, not the objects put */
