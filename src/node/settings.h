/* What a cluster's administrator may set for name resolution: the ConfigMap `kube-dns`, mounted as
 * a folder with a file for each key.
 *
 *     upstreamNameservers  a JSON list of at most three "IP[:PORT]"
 *     stubDomains          a JSON object of lists: {"corp.example": ["10.1.1.1", "10.1.1.2:5353"]}
 *
 * Source: Kubernetes, "Customizing DNS Service", and the node-local cache of kubernetes/dns. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#define SETTINGS_UPSTREAMS_MAX 3
#define SETTINGS_STUBS_MAX     1000
#define SETTINGS_SERVERS_MAX   15            /* of a stub domain: what `forward` takes */
#define SETTINGS_FILE_MAX      (1024 * 1024) /* bytes; a ConfigMap holds no more */

struct stub_domain {
    const char *domain;
    const char *servers; /* "10.1.1.1 10.1.1.2:5353" */
};

struct node_settings {
    struct arena arena;              /* holds the rest */
    const char *upstreams;           /* "8.8.8.8 8.8.4.4"; NULL: none were set */
    const struct stub_domain *stubs; /* by name */
    size_t n_stubs;
    const char *passed_over; /* names of other keys, ", " between them; NULL: none */
};

/* dir NULL, or a folder that is not there: nothing is set. Errors name the file. */
int settings_read(const char *dir, struct node_settings *ret, struct err *e);
void settings_done(struct node_settings *s);
