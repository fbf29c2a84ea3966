/* The files that a pod sees as its own: resolv.conf and hosts by the kubelet's rules, and volumes.
 */
#pragma once

#include "lab/kubelet.h"
#include "lab/rootfs.h"

#define POD_BINDS_MAX 256

struct pod_names_text {
    char hostname[256]; /* spec.hostname or the name */
    char nodename[256]; /* what uname -n says: for hostNetwork the node's name */
};

/* Writes FOLDER/resolv.conf and FOLDER/hosts. full: the manifest with its status. */
int pod_files_write(const struct kubelet *k, const struct pod_run *p, json_t *full,
                    struct pod_names_text *ret_names, struct err *e);
/* Fills FOLDER/volumes. */
int pod_files_volumes(const struct kubelet *k, const struct pod_run *p, struct err *e);
/* A ConfigMap changed: brings its files up to date where the pod uses it. */
void pod_files_refresh(const struct kubelet *k, const struct pod_run *p, const char *config_map);
/* What is to be mounted where; texts lie in the arena. */
int pod_files_binds(const struct kubelet *k, const struct pod_run *p, struct arena *a,
                    struct rootfs_bind binds[POD_BINDS_MAX], size_t *ret_n, struct err *e);
/* FOLDER/resolv.conf and FOLDER/hosts of a node or of the world outside. */
int pod_files_node(const char *folder, const char *name, const struct ip *ip, struct err *e);
