/* A store with a model over it, fed from YAML, for the proxy's tests. The node is "node1". */
#pragma once

#include "base/str.h"
#include "proxy/model.h"

struct world {
    struct store *store;
    struct model *model;
    struct strbuf warnings; /* a line each */
    unsigned n_dirty;
};

void world_init(struct world *w);
void world_done(struct world *w);
/* Puts every object of the text; one with the label "delete" is deleted instead. */
void world_apply(struct world *w, const char *yaml);

/* A Service with one port "p" (80/TCP) at ip. */
void world_service(struct world *w, const char *name, const char *ip);
/* Its only slice with the ready endpoints 10.244.1.<list of numbers, "1 2 3">, port 8080; without a
 * node when node is NULL. */
void world_slice(struct world *w, const char *service, const char *numbers, const char *node);
