/* Manifests as the API server would show them once the lab has acted on them: the part of the
 * scheduler and the kubelet. Pure: JSON in, JSON out (new values, owned by the caller). */
#pragma once

#include "lab/topology.h"

#include <stdbool.h>
#include <stdint.h>

enum pod_state { POD_STATE_PENDING, POD_STATE_RUNNING, POD_STATE_ENDING };

struct pod_status {
    enum pod_state state;
    bool ready;
    const char *message;               /* why it is pending, or NULL */
    int64_t started, changed, deleted; /* Unix seconds; of the start, of `ready`; of the deletion */
};

json_t *status_of_pod(json_t *pod, const struct topology *t, const struct topology_pod *place,
                      const struct pod_status *s);
json_t *status_of_node(json_t *node, const struct topology_node *place);

/* What its status says: the condition Ready. */
bool status_is_ready(json_t *object);
/* False when the manifest itself says that the Pod is not ready (status.conditions). */
bool status_allows_ready(json_t *pod);
/* "kind_namespace_name.json", for the folder of objects. Returns out. */
char *status_file_name(const char *kind, const char *namespace, const char *name, char *out,
                       size_t size);
