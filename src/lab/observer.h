/* Watching one client pod while it does something: its packets and those of all other pods, the
 * connection table and the rule reports of its node. It only looks, except for one table of its own
 * in the node's nftables that asks for reports of the client's first TCP packets and that goes with
 * it.
 *
 * The process that watches joins the lab's user namespace for good and changes its network
 * namespace as it opens things; it must have a single thread. */
#pragma once

#include "base/arena.h"
#include "base/vec.h"
#include "kernel/capture.h"
#include "kernel/conntrack.h"
#include "kernel/link.h"
#include "kernel/nftrace.h"
#include "lab/manifest.h"
#include "lab/topology.h"

#define TRACE_TABLE "signpost_trace" /* of the observer's own, in the client's node */

struct watched_pod {
    const char *namespace, *name, *node; /* in the observer's objects */
    struct ip ip;
    pid_t pid;
    struct capture capture;
};

struct sighting {
    unsigned pod;         /* index of the watched pod at whose link it was seen */
    struct packet packet; /* its payload lies in the observer's arena */
};

struct observer {
    const char *dir;
    char *source;
    struct manifests manifests, objects; /* as written, and with status */
    struct arena arena;
    VEC(struct watched_pod) pods;
    unsigned client;
    pid_t node_pid;
    struct conntrack conntrack;
    struct nft_tracer tracer;
    struct link_table node_links;
    bool tracing;
    VEC(struct sighting) packets; /* of each pod in order of time */
    VEC(struct flow) flows;
    VEC(struct nft_trace) traces;
};

/* client: "NAMESPACE/POD". */
int observer_open(struct observer *o, const char *dir, const char *client, struct err *e);
void observer_done(struct observer *o);
/* Takes in what was seen since it was called last; what was seen before is forgotten. Waits a few
 * milliseconds for what is still on its way. */
void observer_collect(struct observer *o);

const struct watched_pod *observer_pod_of(const struct observer *o, const struct ip *ip);
/* The node with this address, or NULL. */
const char *observer_node_of(const struct observer *o, const struct ip *ip);
/* Where an object was written: "shop/services.yaml:3". */
const char *observer_origin_of(const struct observer *o, const struct manifest *object);
/* "pod bar-2", or the address itself; written into out. */
const char *observer_name_of(const struct observer *o, const struct ip *ip, char out[300]);
/* The text of a rule that a trace named, as nft prints it; "" when it is gone. */
const char *observer_rule_text(struct observer *o, const struct nft_trace *t);
