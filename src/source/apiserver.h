/* An API server as the source of objects: a reflector for each kind, or for each kind and
 * namespace.
 *
 * The sink is called from the loop. It is synced when every reflector has had its first list; from
 * then on objects stay while the server is away, and the status says how old they may be. */
#pragma once

#include "source/api_client.h"
#include "source/sink.h"

#include <stdint.h>

/* Each has a request under way, and the one that ends counts until the next is sent. */
#define APISERVER_REFLECTORS_MAX (HTTP_CLIENT_REQUESTS_MAX - 1)

struct apiserver_options {
    unsigned kinds; /* bit 1 << KIND_...: those to follow */
    /* Only what lies in these namespaces, so that a Role in each of them is enough; n_namespaces 0:
     * all. */
    const char *const *namespaces;
    size_t n_namespaces;
    const char *labels;           /* selector of Services, slices and pods; NULL: all */
    const char *namespace_labels; /* of Namespaces */
    const char *node;             /* only pods on that node, and of Nodes that one; NULL: all */
};

struct apiserver;

/* Copies everything but the client, which must outlive it. Fails with ERR_LIMIT on too many
 * namespaces. */
int apiserver_open(uv_loop_t *loop, struct api_client *client, const struct apiserver_options *o,
                   const struct sink *sink, struct apiserver **ret, struct err *e) must_check;
void apiserver_close(struct apiserver *s); /* NULL is fine; the loop must run on */
/* For how long at least one reflector has not heard from the server, in ns; -1: one never has. Any
 * thread. */
int64_t apiserver_age(const struct apiserver *s);
