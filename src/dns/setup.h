/* What plugins' set-ups register, and the server that they make up. Private to the room. */
#pragma once

#include "base/vec.h"
#include "dns/serve.h"
#include "dns/server.h"

struct call {
    void (*fn)(void *conf);
    void *conf;
};

struct start_call {
    int (*fn)(void *conf, struct err *e);
    void *conf;
    const struct plugin *plugin;
};

struct worker_call_entry {
    void (*fn)(struct worker *w, void *conf);
    void *conf;
};

struct ready_entry {
    bool (*fn)(void *conf);
    void *conf;
    const char *plugin;
    _Atomic bool was_ready;
};

/* One server block while it is being set up. */
struct block_setup {
    const struct block *block;
    struct chain_part *parts; /* one a plugin, in plugin order */
    VEC(struct ip) binds;
    bool any_class;
    ahead_fn *ahead;
    const void *ahead_conf;
    const struct chain *chain;
};

struct setup {
    struct dns_server *server;
    struct block_setup *block;
    struct chain_part *part;
    const struct plugin *plugin;
};

struct dns_server {
    struct dns_options options;
    struct arena arena;
    const struct corefile *corefile;
    struct block_setup *blocks; /* as many as the corefile has */
    VEC(struct dns_listener) listeners;
    const struct route **routes; /* by id */
    unsigned n_routes;
    VEC(struct start_call) starts;
    VEC(struct call) stops, lameducks;
    VEC(struct worker_call_entry) worker_stops;
    VEC(struct ready_entry *) readies;
    struct dns_worker *workers;
    unsigned n_workers; /* that have been started */
    bool serving;       /* all of them have */
};

/* Groups the blocks' keys into listeners with their routes, and refuses duplicates. */
int listeners_build(struct dns_server *s, struct err *e);
void listeners_done(struct dns_server *s);
