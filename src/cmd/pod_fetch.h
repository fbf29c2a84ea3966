/* One Pod as an API server has it, read once. */
#pragma once

#include "client/pod_dns.h"

#include <uv.h>

struct api_client;

/* pod: "NAMESPACE/NAME" or "NAME" in the context's namespace. kubeconfig: a file; "": what
 * KUBECONFIG names, or ~/.kube/config, or the cluster that we run in. Strings lie in `a`. */
int pod_fetch(const char *kubeconfig, const char *context, const char *pod, struct arena *a,
              struct pod_dns *ret, struct err *e) must_check;
/* The same by a client that is there, on its loop. */
int pod_fetch_by(struct api_client *client, uv_loop_t *loop, const char *ns, const char *name,
                 struct arena *a, struct pod_dns *ret, struct err *e) must_check;
