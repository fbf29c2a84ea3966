/* The lab's cluster: makes nodes and pods what the folder of manifests says, writes the objects
 * with their status filled in, and follows changes. It plays scheduler, kubelet and API server at
 * once.
 *
 * Lives in the lab's first process, on its loop (one thread). */
#pragma once

#include "base/ht.h"
#include "base/str.h"
#include "base/vec.h"
#include "lab/manifest.h"
#include "lab/net.h"
#include "lab/podspec.h"
#include "lab/prober.h"
#include "lab/publish.h"
#include "lab/status.h"

#define KUBELET_DOMAIN  "cluster.local"
#define KUBELET_DNS     "10.96.0.10" /* when no Service kube-system/kube-dns says otherwise */
#define KUBELET_OBJECTS "/var/lib/signpost/objects" /* hostPath of the lab's objects */

struct pod_run {
    char *key;    /* "NAMESPACE/NAME" */
    char *folder; /* DIR/pods/NAMESPACE_NAME */
    json_t *json; /* the manifest; owned */
    struct topology_pod place;
    bool placed, has_spec;
    struct podspec spec;
    struct prober *probers[PODSPEC_CONTAINERS_MAX];
    char link[16]; /* in its node */
    int netns;     /* -1: none, or the node's own */
    pid_t pid;     /* 0: not running */
    struct pod_status status;
    char *message; /* why it does not run, or NULL */
    struct kubelet *kubelet;
};

struct kubelet {
    const char *dir, *source; /* both absolute */
    char program[4096];       /* this program's file */
    uv_loop_t *loop;
    struct topology topology;
    struct lab_net net;
    struct manifests manifests;
    VEC(struct pod_run *) pods;
    struct ht written; /* file name -> its text, of DIR/objects */
    unsigned n_links;
    const struct api_config *api; /* where the objects are published; NULL: nowhere */
    struct publish_calls publish_calls;
    struct publisher *publisher;
    bool wants_api;      /* a Pod of the folder is to be it: lab/own_api.h */
    struct own_api *own; /* once that one is there */
    unsigned n_held;     /* Pods that wait for it */
    int door_fd;         /* lab/door.h; -1: none, or taken */
    uint16_t door_port;
    void (*changed)(void *ctx); /* after anything that may matter to who waits; may be NULL */
    void *ctx;
};

/* In the lab's own namespaces. Nodes and pods of the folder are started before it returns. */
int kubelet_init(struct kubelet *k, struct err *e);
/* Reads the folder again and acts on what is different. */
void kubelet_sync(struct kubelet *k);
/* A child of the process has ended. */
void kubelet_reaped(struct kubelet *k, pid_t pid, int wait_status);
/* Adds the names of Pods that run and are not ready, though their manifests do not say so, and how
 * many objects the API server has not got yet; returns the number of both. */
size_t kubelet_waiting(const struct kubelet *k, struct strbuf *out);
/* The object as an API server has it, or that it has none any more: into the lab's folder. */
void kubelet_keep(struct kubelet *k, const char *kind, const char *namespace, const char *name,
                  json_t *object);
void kubelet_drop(struct kubelet *k, const char *kind, const char *namespace, const char *name);
/* From now on the objects are published there, too. */
int kubelet_publish_to(struct kubelet *k, const struct api_config *api, struct err *e) must_check;
/* What node_run.c does for kubelet.c: a node's process, and the world outside when the folder has a
 * sub-folder "outside" (a Corefile for its name server, and the hosts that live there). */
int kubelet_start_node(struct kubelet *k, const struct topology_node *n, const char *folder,
                       int netns, struct err *e);
int kubelet_start_outside(struct kubelet *k, struct err *e);
