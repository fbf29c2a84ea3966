/* A readiness probe that runs: asks again and again, on the lab's loop, and tells when the verdict
 * changes. Probes come from the pod's node, as the kubelet's do. Until it was ready for the first
 * time a container is asked ten times a second, so that a lab is up as soon as its programs are. */
#pragma once

#include "base/ip.h"
#include "lab/podspec.h"

#include <sys/types.h>
#include <uv.h>

struct prober;

struct prober_target {
    const struct probe *probe; /* must outlive the prober */
    int netns;                 /* of the node; borrowed */
    struct ip ip;              /* of the pod */
    pid_t sandbox;             /* for exec */
};

/* changed() is called with each new verdict; the first one is "not ready" and is not told. */
struct prober *prober_new(uv_loop_t *loop, const struct prober_target *target,
                          void (*changed)(void *ctx), void *ctx);
void prober_free(struct prober *p); /* memory goes when the loop has let go of it */
bool prober_is_ready(const struct prober *p);
/* A child of the process has ended: true if it was this prober's. */
bool prober_reaped(struct prober *p, pid_t pid, int wait_status);
