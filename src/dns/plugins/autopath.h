/* The `autopath` plugin: walks a client's search path for it. Shared by its files only. */
#pragma once

#include "dns/plugins/kubernetes.h"

#define AUTOPATH_SEARCH_MAX 32    /* elements of a search list; kubelet does not write more */
#define AUTOPATH_FILE_MAX   65536 /* bytes of a resolv.conf */
#define AUTOPATH_OWN_FILE   "/etc/resolv.conf"

struct autopath {
    struct zone_set *zones;
    const uint8_t *search[AUTOPATH_SEARCH_MAX]; /* plain wire, lower case */
    unsigned n_search;
    bool pods; /* three elements of the client's namespace come first */
    struct offers *offers;
    /* Whose pods, below which zones: those of `kubernetes` (since the start; NULL: nothing to do),
     * or our own. */
    const struct snapshot *snapshot;
    const struct zone_set *pod_zones;
    struct snapshot *own; /* @node */
    struct dns_config *config;
    struct arena *arena;
    metric *found; /* by route id */
};

/* Reads the search list of a resolv.conf (autopath_search.c). */
int autopath_read_search(struct autopath *a, const char *path, struct err *e);
/* Reads the block of `@node`, and opens what it names (autopath_node.c). */
int autopath_read_node(struct autopath *a, struct setup *s, struct dispenser *d, struct err *e);
