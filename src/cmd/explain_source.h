/* The objects that `explain` looks at: folders of manifests, or an API server, read once. */
#pragma once

#include "client/pod_dns.h"
#include "cmd/cluster.h"
#include "config/flags.h"

struct explain_objects {
    uv_loop_t *loop;
    struct cluster *cluster;
    bool from_folder;
    bool assumed_status; /* pods were taken as running, as none of them had a status */
};

struct explain_objects_options {
    struct flag_list manifests;
    const char *kubeconfig, *context, *master; /* or NULL */
    const char *range;                         /* of cluster IPs; NULL: the default */
    bool follow; /* folders, too, from the loop: what changes later is in the store */
};

/* The loop is the caller's. Waits until an API server has given all. */
int explain_objects_open(uv_loop_t *loop, const struct explain_objects_options *o,
                         struct explain_objects *ret, struct err *e);
void explain_objects_close(struct explain_objects *o);
/* What the Pod "NAMESPACE/NAME" says about its name service; *ret_known false: there is no such
 * Pod, or its manifest cannot be found any more. */
int explain_pod_dns(const struct explain_objects *o, const char *ns, const char *name,
                    struct arena *a, struct pod_dns *ret, bool *ret_known, struct err *e);
