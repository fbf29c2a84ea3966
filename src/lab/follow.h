/* What others do on the lab's own API server (kubectl, controllers): its Services, EndpointSlices
 * and Pods, watched. And whether it is still the same server: one that keeps its objects in memory
 * has none after a restart.
 *
 * On the lab's loop. Lives as long as the lab. Source: Kubernetes API concepts (watch, streaming
 * lists). */
#pragma once

#include "base/err.h"
#include "source/kubeconfig.h"

#include <jansson.h>
#include <uv.h>

#define FOLLOW_LINE_MAX (4 << 20) /* bytes of an event */

struct follower;

struct follow_calls {
    /* The object as it is now; borrowed. */
    void (*there)(void *ctx, const char *kind, json_t *object);
    void (*gone)(void *ctx, const char *kind, const char *namespace, const char *name);
    void (*replaced)(void *ctx); /* the server is another one, with none of our objects */
    void *ctx;
};

/* The configuration is copied; `calls` must stay. */
int follower_new(uv_loop_t *loop, const struct api_config *api, const struct follow_calls *calls,
                 struct follower **ret, struct err *e) must_check;
