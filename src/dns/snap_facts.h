/* What the objects behind a snapshot say where the picture itself is silent: it holds ready
 * endpoints and exposed namespaces only. For people who ask why; control thread. */
#pragma once

#include "dns/snapshot.h"

struct snap_facts {
    bool namespace_there, service_there;
    bool service_fits;  /* its labels, those that `labels` asks for */
    const char *origin; /* of the Service: "FILE:LINE", or ""; valid while the store is unchanged */
    const char *type;   /* "ClusterIP", "headless", "ExternalName" ... */
    unsigned slices;
    unsigned ready, not_ready; /* endpoints in them */
};

void snapshot_facts(const struct snapshot *s, const char *ns, const char *service,
                    struct snap_facts *ret);
/* Every namespace that is exposed, in arbitrary order. label: one wire label. */
void snapshot_each_namespace(const struct snapshot *s, void (*fn)(void *ctx, const uint8_t *label),
                             void *ctx);
