/* One pod, from its manifest to its end. */
#pragma once

#include "lab/kubelet.h"

/* Starts it. A pod that cannot run stays Pending with a message; it is there all the same. */
struct pod_run *pod_run_new(struct kubelet *k, const struct manifest *m);
/* Asks it to end; pod_run_free() follows when its process is reaped (at once when there is none:
 * then true is returned). */
bool pod_run_end(struct pod_run *p);
/* Gives everything back: network, address, files, object. */
void pod_run_free(struct pod_run *p);
/* Its object goes out once more. */
void pod_run_publish(const struct pod_run *p);
/* The manifest changed in something that does not need a new process. */
void pod_run_update(struct pod_run *p, const struct manifest *m);
bool pod_run_needs_restart(const struct pod_run *p, const struct manifest *m);

/* Writes an object of the folder when it is not there yet with this text; takes `json` over. */
void kubelet_write(struct kubelet *k, const char *kind, const char *namespace, const char *name,
                   json_t *json);
void kubelet_unwrite(struct kubelet *k, const char *kind, const char *namespace, const char *name);
