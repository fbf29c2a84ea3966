/* A server in memory for the tests of the controllers: writes take effect late, come back later
 * still, fail, or succeed without an answer. */
#pragma once

#include "base/rand.h"
#include "base/vec.h"
#include "endpoints/reconcile.h"
#include "kube/endpoints.h"
#include "kube/slice.h"

enum fault { FAULT_NONE, FAULT_REFUSED, FAULT_AWAY, FAULT_NO_ANSWER, FAULTS };

struct flight {
    void *token;
    enum write_op op;
    enum kind kind;
    struct object *object;
    char *name;
};

struct echo {
    int64_t at;
    enum kind kind;
    struct object *object; /* NULL: deleted */
    char *name;
};

struct world {
    struct store *store;
    struct store *server; /* what is true */
    struct reconcile *r;
    int64_t now, next;
    bool poked;
    struct rand rand;
    unsigned fault_percent, n_writes, n_names, version, uid;
    unsigned in_flight, most_in_flight, n_events, n_mirrored;
    VEC(struct flight) flights;
    VEC(struct echo) echoes;
    bool immediate; /* writes take effect from within, as in the same process */
};

/* The functions of the controllers' owner. */
struct object_writer world_writer(struct world *w);
/* Lets what is under way go on by a little. */
void world_step(struct world *w);
void world_run(struct world *w);
/* Until all is quiet, without faults. */
void world_settle(struct world *w);
/* What people do. The object gets a version, and a name and uid if it has none. */
const struct object *put_on_server(struct world *w, const struct object *o);
void delete_on_server(struct world *w, enum kind kind, const char *name);
void flight_done(struct flight *f);
void world_done(struct world *w);
