/* Watching one client while it does something: its packets and those of all other pods that are at
 * hand, the connection table and the rule reports of its node. In a lab these are all of its pods;
 * on a real node (lab/observer_node.c) those that run there. It only looks, except for one table of
 * its own in the node's nftables that asks for reports of what the client sends, and that the
 * kernel removes with this process.
 *
 * The process that watches a lab joins its user namespace for good; all change their network
 * namespace as they open things, and are in the node's afterwards: they must have a single thread.
 *
 * What cannot be looked at, for want of a right or of something in the kernel, is told. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "kernel/capture.h"
#include "kernel/link.h"
#include "kernel/nat_watch.h"
#include "kernel/nftrace.h"
#include "kernel/owned_table.h"
#include "lab/manifest.h"
#include "lab/topology.h"
#include "store/store.h"

#define TRACE_TABLE       "signpost_trace" /* the beginning of the name of the table of our own */
#define OBSERVER_PODS_MAX 512              /* that are looked at, of a node's */
#define OBSERVER_BLIND    200

struct watched_pod {
    const char *label;                   /* "pod shop/foo", "process 4711 (sleep)" */
    const char *namespace, *name, *node; /* in the observer's objects; name NULL: no pod is known */
    struct ip ip, second;                /* of a pod of two families */
    pid_t pid;                           /* 0: not at hand */
    struct capture capture;
};

struct sighting {
    unsigned pod;         /* index of the watched pod at whose link it was seen */
    struct packet packet; /* its payload lies in the observer's arena */
};

struct observed_node {
    const char *name;
    struct ip ip;
};

struct observed_service {
    const char *origin;     /* where it was written: "shop/services.yaml:3" */
    const char *cluster_ip; /* as it was written; NULL: given to it */
};

struct observer {
    const char *dir;           /* of a lab, or NULL */
    const struct store *store; /* of a node, or NULL */
    char *source;
    struct manifests manifests, objects; /* of a lab: as written, and with status */
    struct arena arena, kept;            /* kept: until the end */
    VEC(struct watched_pod) pods;
    VEC(struct observed_node) nodes;
    unsigned client;
    int client_net, node_net; /* descriptors */
    pid_t node_pid;           /* a process in the node's network */
    const char *node;         /* the client's, "" where its name is not known */
    struct nat_watch nat;
    struct nft_tracer tracer;
    struct owned_table table;
    struct link_table node_links;
    char blind_rules[OBSERVER_BLIND], blind_table[OBSERVER_BLIND]; /* why; "": not blind */
    char blind_pods[OBSERVER_BLIND];
    VEC(struct sighting) packets; /* of each pod in order of time */
    VEC(struct nft_trace) traces;
    unsigned lost; /* packets and reports that could not be read in time */
};

/* In a lab. client: "NAMESPACE/POD". */
int observer_open(struct observer *o, const char *dir, const char *client, struct err *e);

/* On the node that we run on. All of it outlives the observer. */
struct observer_node {
    const struct store *store; /* or NULL: nothing is known but addresses */
    const char *client;        /* "pod shop/foo", "process 4711 (sleep)" */
    const char *pod;           /* "shop/foo", or NULL */
    pid_t pid;                 /* a process of the client */
    const struct ip *ips;      /* the client's */
    size_t n_ips;
    int client_net, node_net;
    const char *node; /* its name, or "" */
};
int observer_open_node(struct observer *o, const struct observer_node *n, struct err *e);
void observer_done(struct observer *o);

/* From now on, until observer_unmark(), rules are reported that this meets. Where that is not
 * possible, blind_rules says why. The client's packets of its port are kept whole. */
void observer_mark(struct observer *o, const struct tuple *f);
void observer_unmark(struct observer *o);

/* Takes in what was seen since it was called last; what was seen before is forgotten. Waits a few
 * milliseconds for what is still on its way. */
void observer_collect(struct observer *o);
/* The connection table's entry with that original tuple, be it gone by now; false: there is none,
 * or it is not seen. *ret_began, if not NULL: it began while we watched. */
bool observer_flow(struct observer *o, const struct tuple *original, struct flow *ret,
                   bool *ret_began);

const struct watched_pod *observer_pod_of(const struct observer *o, const struct ip *ip);
/* Would be seen what arrives at that address? Of a lab all would. */
bool observer_sees(const struct observer *o, const struct ip *ip);
/* The node with this address, or NULL. */
const char *observer_node_of(const struct observer *o, const struct ip *ip);
bool observer_service(const struct observer *o, const char *ns, const char *name,
                      struct observed_service *ret);
/* "pod bar-2", or the address itself; written into out. */
const char *observer_name_of(const struct observer *o, const struct ip *ip, char out[300]);
/* The text of a rule that a trace named, as nft prints it; "" when it is gone. */
const char *observer_rule_text(struct observer *o, const struct nft_trace *t);
