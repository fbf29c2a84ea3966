/* The DNS server: a Corefile's blocks as compiled chains, listeners, and workers that serve them.
 */
#pragma once

#include "config/corefile.h"
#include "dns/plugin.h"

struct dns_server;

/* The sockets of one place of an address, as another process hands them over. */
struct dns_handed {
    struct ip ip; /* family 0: wildcard */
    uint16_t port;
    enum scheme scheme;
    int fd[2]; /* UDP (dns:// only), TCP; -1: none */
};

struct dns_handed_list {
    struct dns_handed *items;
    size_t n;
};
/* Closes the descriptors and frees the list. */
void dns_handed_done(struct dns_handed_list *list);

/* One row of what is told about a traced query: who, a word, and what there is to say. */
struct why_row {
    uint8_t depth;    /* of look-ups inside it; 0: the query itself */
    const char *step; /* "listener", "zone", a plugin ..., "reply"; "": more about the same */
    const char *what; /* "passed on", "answered", "cause", "near" ... */
    const char *detail;
};

struct why_request {
    struct name name;
    uint16_t type;
    struct ip client; /* family 0: loopback */
    struct ip at; /* the listener asked, with its port; port 0: where the name's zone is longest */
    uint16_t port;
};

/* rows: valid during the call only. */
typedef void why_fn(void *ctx, const struct why_row *rows, size_t n);

struct dns_options {
    unsigned workers; /* 0: one a core that this process may use */
    uv_loop_t *loop;  /* the control thread's */
    /* The store belongs to the opener and outlives the server. */
    int (*open_source)(void *source_ctx, const struct object_source *source, struct store **ret,
                       struct err *e);
    void *source_ctx;
    /* `reload` was set up; NULL: nobody listens. */
    void (*set_reload)(void *ctx, long long interval_ns, long long jitter_ns);
    /* A plugin of a configuration that is being set up will write below that folder; NULL: nobody
     * listens. */
    void (*writes)(void *ctx, const char *folder);
    /* For `check`: set-up goes on after a plugin's error, which is told here. NULL: it ends there.
     */
    void (*problem)(void *ctx, const char *text);
    void *ctx;
    /* For a look from inside (dns_server_why()): no socket is opened, and no plugin does what
     * others would notice. */
    bool offline;
};

/* Sets every block up (nothing is opened but what plugins open themselves). Takes the corefile
 * over, on failure too. */
int dns_server_new(struct corefile *c, const struct dns_options *options, struct dns_server **ret,
                   struct err *e);
/* Starts plugins and workers; nothing is served yet. */
int dns_server_prepare(struct dns_server *s, struct err *e);
/* Are all plugins ready that can tell (`ready`)? Adds the names of others. After the above. */
bool dns_server_is_ready(const struct dns_server *s, struct strbuf *ret_waiting);
/* Is there something that is to be waited for before the next step: before dns_server_start(), or
 * of a reload before dns_server_go_on()? Tells the log what. For as long as this is asked again and
 * again, some time ends it. */
bool dns_server_waits(struct dns_server *s);
/* Prepares if that has not been done, binds, and serves. handed (NULL: none): sockets of another
 * process to be used where their addresses are served; taken over, on failure too. */
int dns_server_start(struct dns_server *s, struct dns_handed_list *handed, struct err *e);
/* Serves another Corefile, without a query lost: sockets stay, workers change over between two
 * batches, waiting queries end with the chains that they began with. On failure nothing has
 * changed. Takes the corefile over, on failure too. 1: it is set up, and the old one serves until
 * dns_server_go_on(), which is to be called when dns_server_waits() no longer; no other reload may
 * begin before. */
int dns_server_reload(struct dns_server *s, struct corefile *c, struct err *e);
int dns_server_go_on(struct dns_server *s, struct err *e);
bool dns_server_is_reloading(const struct dns_server *s); /* between the two */
const struct corefile *dns_server_corefile(const struct dns_server *s);
/* Tells the plugins that the end is near; returns for how many nanoseconds to go on serving before
 * dns_server_stop(). */
long long dns_server_lameduck(struct dns_server *s);
/* ---- to hand the sockets over ---- */

/* All that are open, for as long as nothing of the server is changed. The descriptors stay the
 * server's: only the items are to be freed. */
struct dns_handed_list dns_server_sockets(struct dns_server *s);
/* Receives and accepts nothing more; what is under way goes on. Then dns_server_under_way() says
 * how much that is: queries that wait, TCP connections. */
void dns_server_drain(struct dns_server *s);
size_t dns_server_under_way(struct dns_server *s);

/* Workers, then plugins end. NULL is fine. */
void dns_server_stop(struct dns_server *s);
/* Stops if need be. The control loop's handles must have been closed before, unless nothing was
 * ever started. */
void dns_server_free(struct dns_server *s);

/* Sends a query of the server's own through the chains, and tells what happened: on the control
 * thread, once and later (offline: too), unless an error is returned. The `after` hooks, which log
 * and count queries, are not called; all else is as for a client's query. */
int dns_server_why(struct dns_server *s, const struct why_request *r, why_fn *fn, void *ctx,
                   struct err *e);

/* One line a zone and listener: ".:53", "cluster.local.:53 on 10.0.0.1". */
void dns_server_print(const struct dns_server *s, struct strbuf *out);
/* The compiled chain of each zone (check --explain). */
void dns_server_explain(const struct dns_server *s, struct strbuf *out);
