/* Kubernetes objects as plain structs: only the fields that this project reads.
 *
 * Every object is one allocation (struct and all its strings and arrays), immutable once made, and
 * begins with `struct object`. It is made by a decoder, handed to the store, which owns it from
 * then on, and freed with object_free(). Absent strings are NULL, absent lists have n == 0.
 * Defaults that the API server would have filled in are filled in by the decoder, so that a
 * hand-written manifest and an object of a real cluster look alike. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LABEL_SERVICE_NAME      "kubernetes.io/service-name"
#define LABEL_MANAGED_BY        "endpointslice.kubernetes.io/managed-by"
#define LABEL_HEADLESS          "service.kubernetes.io/headless"
#define LABEL_ZONE              "topology.kubernetes.io/zone"
#define LABEL_METADATA_NAME     "kubernetes.io/metadata.name"
#define SLICE_CONTROLLER        "endpointslice-controller.k8s.io"
#define MIRRORING_CONTROLLER    "endpointslicemirroring-controller.k8s.io"
#define ANNOTATION_TRIGGER_TIME "endpoints.kubernetes.io/last-change-trigger-time"

enum kind {
    KIND_NAMESPACE,
    KIND_NODE,
    KIND_POD,
    KIND_SERVICE,
    KIND_SLICE, /* discovery.k8s.io/v1 EndpointSlice */
    KIND_CONFIGMAP,
    KIND_ENDPOINTS,
    KIND_SERVICE_CIDR, /* networking.k8s.io/v1 ServiceCIDR */
    KIND_COUNT,
};

/* Parts of objects that not every consumer looks at: a source that is told so leaves them out. */
enum object_part {
    PART_UID = 1,           /* of all kinds */
    PART_ENDPOINT_POD = 2,  /* of an EndpointSlice's endpoints: targetRef */
    PART_ENDPOINT_NODE = 4, /* nodeName */
    PART_ENDPOINT_HINTS = 8,
    /* What only those look at who write slices: versions, owners, annotations, uids of targets, the
     * creation time of Services. */
    PART_WRITING = 16,
    PART_LABELS = 32, /* of Services and EndpointSlices, and the selectors of Services */
};

struct label {
    const char *key, *value;
};

struct meta {
    const char *namespace; /* "" for cluster-scoped kinds */
    const char *name;
    const char *uid;    /* "" when the source has none */
    const char *origin; /* where it came from: "FILE:LINE", or "" */
    const struct label *labels;
    uint16_t n_labels;
    bool deleting; /* metadata.deletionTimestamp is set */
};

struct object {
    enum kind kind;
    struct meta meta;
};

const char *kind_text(enum kind kind); /* "Service", "EndpointSlice", ... */
/* The value of a label, or NULL. */
const char *meta_label(const struct meta *m, const char *key);
/* True when every pair of the selector is among the labels (equality only). */
bool labels_match(const struct meta *m, const struct label *selector, uint16_t n);
/* The same keys and values, in whatever order? Keys are unique. */
bool labels_equal(const struct label *x, uint16_t n_x, const struct label *y, uint16_t n_y);
void object_free(struct object *o);
/* Same bytes in all fields that are read (origin aside)? Then an update changes nothing. */
bool object_equal(const struct object *a, const struct object *b);
/* The resourceVersion of an EndpointSlice or of Endpoints; NULL: the source says none. */
const char *object_version(const struct object *o);
/* The object as one allocation, whatever its strings and arrays lay in before (a decoder's arena, a
 * caller's stack, another object of which one field was exchanged). */
struct object *object_copy(const struct object *o);
bool kind_is_namespaced(enum kind kind);

enum protocol { PROTO_TCP, PROTO_UDP, PROTO_SCTP };
const char *protocol_text(enum protocol p); /* "TCP" */
uint8_t protocol_number(enum protocol p);   /* IPPROTO_TCP */
