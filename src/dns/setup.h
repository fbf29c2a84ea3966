/* What plugins' set-ups register, and the server that they make up. Private to the room. */
#pragma once

#include "base/vec.h"
#include "dns/serve.h"
#include "dns/server.h"

struct call {
    void (*fn)(void *conf);
    void *conf;
};

struct lameduck_call {
    long long (*fn)(void *conf);
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

struct wait_entry {
    bool (*fn)(void *conf);
    void (*late)(void *conf);
    void *conf;
    long long ns;
    const char *what, *plugin;
    bool over;
};

struct ready_entry {
    bool (*fn)(void *conf);
    void *conf;
    const char *plugin;
    _Atomic bool was_ready;
};

/* A list; the latest first. */
struct offers {
    const char *name;
    void *what;
    struct offers *next;
    struct arena *arena;
};

/* One server block while it is being set up. */
struct block_setup {
    struct offers *offers; /* a head without a name */
    const struct block *block;
    struct chain_part *parts; /* one a plugin, in plugin order */
    VEC(struct ip) binds;
    bool any_class;
    const char *root; /* or NULL */
    struct tcp_limits tcp;
    struct tls_config *tls[SCHEME_COUNT]; /* `tls`; owned; or NULL */
    unsigned sockets;
    long https_conns; /* -1: nothing was said */
    const char *view; /* or NULL */
    filter_fn *filter;
    const void *filter_conf;
    struct chain_ahead ahead[QUERY_AHEAD];
    unsigned n_ahead;
    const struct chain *chain;
};

struct setup {
    struct dns_config *config;
    struct block_setup *block;
    struct chain_part *part;
    const struct plugin *plugin;
};

/* One Corefile set up: its chains, routes and what its plugins registered. A reload makes a new one
 * and ends the old one when no waiting query refers to it any more. Control thread, but for
 * `waiting`. */
struct dns_config {
    const struct dns_options *options;
    struct arena arena;
    struct corefile *corefile;  /* owned */
    struct block_setup *blocks; /* as many as the corefile has */
    VEC(struct dns_listener) listeners;
    const struct route **routes; /* by id */
    unsigned n_routes;
    VEC(struct start_call) starts;
    VEC(struct call) stops;
    VEC(struct lameduck_call) lameducks;
    VEC(struct worker_call_entry) worker_stops;
    VEC(struct ready_entry *) readies;
    VEC(struct wait_entry) waits;
    int64_t started_ns, told_ns;     /* when the start functions had run; when waiting was told */
    _Atomic size_t waiting;          /* queries of all workers that wait and hold a route of this */
    struct dns_config *next;         /* among the retired */
    struct offers left;              /* to the next configuration */
    const struct dns_config *before; /* the one that serves, while this one is made; or NULL */
};

/* Sets all blocks up. before: the configuration that serves, or NULL. Takes the corefile over, on
 * failure too. */
int dns_config_new(struct corefile *c, const struct dns_options *options,
                   const struct dns_config *before, struct dns_config **ret, struct err *e);
/* Runs the start functions. */
int dns_config_start(struct dns_config *c, struct err *e);
/* Is anything still to be waited for before it serves? */
bool dns_config_waits(struct dns_config *c);
/* Runs the stop functions and frees everything; no worker may refer to it. */
void dns_config_free(struct dns_config *c);

/* One line a zone and listener; the compiled chain of each zone. See dns/server.h. */
void dns_config_print(const struct dns_config *c, struct strbuf *out);
void dns_config_explain(const struct dns_config *c, struct strbuf *out);

/* Groups the blocks' keys into listeners with their routes, and refuses duplicates. */
int listeners_build(struct dns_config *s, struct err *e);
void listeners_done(struct dns_config *s);

struct dns_server {
    struct dns_options options;
    struct dns_config *config;      /* the one that serves */
    struct dns_config *coming;      /* of a reload that waits; or NULL */
    struct dns_config *retired;     /* still referred to by waiting queries */
    struct dns_handed_list *handed; /* while it starts with another process's sockets */
    struct dns_handed_list adopted; /* their addresses, for good; no descriptors */
    uv_timer_t retire_timer;
    bool timer_made;
    struct dns_worker *workers;
    unsigned n_workers; /* that have been started */
    unsigned traced;    /* queries under way */
    struct why *traces; /* their records */
};
