/* A node cache's Corefile from its template: variables replaced by what is so on this node and in
 * this cluster, and a server block added for each stub domain.
 *
 *     __PILLAR__CLUSTER__DNS__       the Service that leads to the cluster DNS's pods
 *     __PILLAR__UPSTREAM__SERVERS__  the set upstreams, else /etc/resolv.conf
 *     __PILLAR__LOCAL__DNS__         the addresses that are listened on
 *     __PILLAR__DNS__SERVER__        nothing: installers fill it in
 *
 * Set upstreams are asked over UDP: a block `{ force_tcp }` behind their variable is dropped, as
 * the original does. Any other __PILLAR__ is an error, so that none is left.
 *
 * Source: kubernetes/dns, the node-local cache and its manifest. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "node/settings.h"

#include <stdint.h>

struct template_values {
    const char *local;       /* "169.254.20.10 10.96.0.10" */
    const char *cluster;     /* NULL: not known */
    const char *cluster_why; /* what to do about that */
    uint16_t port;           /* of stub domains' blocks */
    const struct node_settings *settings;
};

/* file is for errors: "FILE:LINE: ...". */
int template_render(const char *text, size_t len, const char *file, const struct template_values *v,
                    struct strbuf *out, struct err *e);
