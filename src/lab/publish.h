/* The lab's objects on an API server: what the lab writes is created, changed and deleted there,
 * one request after the other, until the server has it all. What the server refuses is said once
 * and tried again every few seconds; while it is away, all waits.
 *
 * Pods: their status is written as a kubelet does it. One that is to end is deleted with its grace
 * period, and for good when its last process is gone.
 *
 * On the lab's loop. Owner: the lab's first process. */
#pragma once

#include "base/err.h"
#include "source/kubeconfig.h"

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

struct publisher;

struct publish_calls {
    /* The object as the server has it now; borrowed. */
    void (*written)(void *ctx, const char *kind, const char *namespace, const char *name,
                    json_t *reply);
    void (*idle)(void *ctx); /* all is there, but for what was refused */
    void *ctx;
};

/* The configuration is copied; `calls` must stay. */
int publisher_new(uv_loop_t *loop, const struct api_config *api, const struct publish_calls *calls,
                  struct publisher **ret, struct err *e) must_check;

/* The object is to be so. False: it is known to be wanted so. */
bool publisher_put(struct publisher *p, const char *kind, const char *namespace, const char *name,
                   json_t *object);
/* It is to be gone, and whatever is put under this name afterwards is another one. */
void publisher_remove(struct publisher *p, const char *kind, const char *namespace,
                      const char *name);
/* The server is another one, with nothing of all this: everything is created again. */
void publisher_begin_anew(struct publisher *p);
/* How many objects are not yet as they are to be. */
size_t publisher_waiting(const struct publisher *p);
