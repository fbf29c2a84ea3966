/* A lab seen from outside: start it, find it, end it. */
#pragma once

#include "base/err.h"
#include "source/kubeconfig.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAB_READY_S  60            /* how long to wait until all pods are ready, unless told */
#define LAB_NAMES_NS 10000000000LL /* and then for the first answer of the cluster DNS */

struct lab_options {
    const char *dir;    /* where its files go; made, and emptied if an ended lab left something */
    const char *source; /* folder of manifests */
    const struct api_config *api; /* publish the objects there, or NULL */
    long ready_s;                 /* 0: LAB_READY_S */
    bool mine;                    /* it ends with this process; otherwise only by lab_stop() */
    void (*progress)(void *ctx, const char *line); /* may be NULL */
    void *ctx;
};

/* Returns when every pod is ready (those aside whose manifest says that they are not). On failure
 * the lab is gone again, except when only some pods did not become ready and it is not `mine`. */
int lab_start(const struct lab_options *o, struct err *e);
/* Waits until a pod gets an answer from the cluster DNS: ready pods are one thing, proxies that
 * have taken their addresses in another. A lab without a kube-dns Service has nothing to wait for.
 */
int lab_wait_names(const char *dir, struct err *e);
/* Ends it and removes its folder; returns when nothing of it is left. */
int lab_stop(const char *dir, struct err *e);
/* The lab's first process; ERR_NOT_FOUND with advice when none runs. */
int lab_find(const char *dir, pid_t *ret_pid, struct err *e);
