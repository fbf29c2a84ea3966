/* All that a plugin needs; files in dns/plugins/ include this and the rooms below (base, wire,
 * config).
 *
 * A plugin is one const struct plugin. Its setup() reads the directive's tokens once for each
 * server block that names it and registers what it wants: steps on the way in, hooks on the way
 * back, start and stop functions, readiness. The chain is then compiled into flat arrays in the
 * fixed plugin order (plugins/registry.c), so a plugin that registers no step costs a query
 * nothing. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "config/corefile.h"
#include "dns/query.h"

struct setup;
struct store;
struct plugin_why;

struct plugin {
    const char *name;
    /* d stands before the directive's first token. Returns 0 or a negative code with e set
     * (dispenser_err() and friends). */
    int (*setup)(struct setup *s, struct dispenser *d, struct err *e);
    bool repeatable; /* else a second use in a block is an error before setup() is called */
    bool outward;    /* its start opens or asks what others notice: not for a look from inside */
    const struct plugin_why *why; /* or NULL */
};

/* ---- what setup() may call ---- */

const struct block *setup_block(const struct setup *s);
/* Memory that lives as long as the chain. */
struct arena *setup_arena(struct setup *s);
/* The zones of the block's keys, as lower-case text with final dot. */
struct zone_list setup_zones(struct setup *s);
/* "plugin/NAME: ..." in front of errors is the chain's business. */

/* A step on the way in. At most one a plugin and block. */
void setup_in(struct setup *s, step_fn *fn, void *conf);
/* Called for all queries of a batch before the first of them runs its chain, twice each: once to
 * bring the place of what will be looked up towards the processor, once (second) what stands in
 * that place. Only a hint; the two outermost plugins of a block that ask for it have it. What the
 * first call leaves in `ahead` is there for the second and for the step. */
typedef void ahead_fn(struct query *q, const void *conf, struct query_ahead *ahead, bool second);
void setup_ahead(struct setup *s, ahead_fn *fn, const void *conf);
/* Will the plugin's step answer q from memory, without asking anybody, and as quickly each time?
 * Then there is nothing to be gained by keeping the reply. conf is the step's. A step that does so
 * sets q->at_once. */
typedef bool at_once_fn(const struct query *q, const void *conf);
void setup_at_once(struct setup *s, at_once_fn *fn);
/* For a step that runs: would the next one answer at once, and is its reply not changed on the way
 * back from there? */
bool query_next_at_once(const struct query *q);
/* On the way back, inner plugins first, before the reply is encoded: may change q->reply. Not
 * called for bare replies, nor when a step further out ended the chain. */
void setup_out(struct setup *s, hook_fn *fn, void *conf);
/* The same for a hook that may wait (query_wait(), query_lookup()) or drop the reply; STEP_DONE
 * goes on with the hooks further out. A plugin has one of the two kinds. */
void setup_out_step(struct setup *s, step_fn *fn, void *conf);
/* The same as setup_out() for a hook that must hear of every query that its plugin's step let pass:
 * it is also called for bare replies and for drops (q->dropped). */
void setup_out_always(struct setup *s, hook_fn *fn, void *conf);
/* setup_out_step() in the manner of setup_out_always(). */
void setup_out_step_always(struct setup *s, step_fn *fn, void *conf);
/* After the reply was encoded (or dropped): for those who only look (log, errors, prometheus).
 * Called for every query routed to the block, in plugin order. */
void setup_after(struct setup *s, hook_fn *fn, void *conf);

/* Called on the control thread when all set-ups of all blocks have passed and the listeners are
 * known, before queries are served. */
void setup_start(struct setup *s, int (*fn)(void *conf, struct err *e), void *conf);
/* Queries are not served before fn says so, or so many nanoseconds after the start functions have
 * run: for what would be answered wrongly. Of a reload: until then the old configuration serves.
 * `what` is waited for, by the log; static. late(conf) is called before they are served although fn
 * does not say so. On the control thread. */
void setup_wait(struct setup *s, bool (*fn)(void *conf), void (*late)(void *conf), long long ns,
                const char *what, void *conf);
/* Called once the control thread has decided to end; returns for how many nanoseconds queries are
 * still to be answered (lameduck). */
void setup_lameduck(struct setup *s, long long (*fn)(void *conf), void *conf);
/* Called after the workers have ended, in reverse order. */
void setup_stop(struct setup *s, void (*fn)(void *conf), void *conf);
/* Called on each worker's thread before it ends: close what the plugin opened on its loop. */
void setup_worker_stop(struct setup *s, void (*fn)(struct worker *w, void *conf), void *conf);
/* Asked by `ready`, on any thread. */
void setup_ready(struct setup *s, bool (*fn)(void *conf), void *conf);
/* Replaces the wildcard address by this one for the block's listeners. */
void setup_bind(struct setup *s, const struct ip *ip);
/* The addresses of this block's `bind` lines (set up earlier in plugin order); 0: the wildcard. */
size_t setup_binds(const struct setup *s, const struct ip **ret_ips);
/* Relative paths of this block start at this folder (`root`). */
void setup_root(struct setup *s, const char *folder);
/* path as it is to be opened; in the set-up's arena. */
const char *setup_path(struct setup *s, const char *path);
/* The plugin makes, writes and removes files there, from the start functions on: else the process
 * may have given up the right to. */
void setup_writes(struct setup *s, const char *folder);
/* How often the process looks whether its Corefile has changed; the last call counts. */
void setup_reload(struct setup *s, long long interval_ns, long long jitter_ns);
/* Classes other than IN reach this block's chain. */
void setup_any_class(struct setup *s);
/* How the block's listeners treat TCP connections. Of several blocks at one listener, the last that
 * says something counts. Copied. */
struct tcp_limits;
void setup_tcp_limits(struct setup *s, const struct tcp_limits *limits);
/* What the block's listeners of that scheme show; the last call counts. Taken over. */
struct tls_config;
void setup_tls(struct setup *s, enum scheme scheme, struct tls_config *tls);
/* How many connections the block's https:// listeners have at a time; 0: any number. Of several
 * blocks at one listener, the last that says something counts. */
void setup_https_conns(struct setup *s, unsigned max);
/* How many sockets of each kind share an address, over all workers; each worker has at least one.
 * Of several blocks at one listener the largest number counts. */
void setup_sockets(struct setup *s, unsigned n);
/* The block is only for queries that fn lets pass; the others go to the zone's next block, or to a
 * shorter zone. q->route is the one that is tried; name is the `view` label of metrics. */
typedef bool filter_fn(struct query *q, const void *conf);
void setup_view(struct setup *s, const char *name, filter_fn *fn, const void *conf);

/* What the plugins of one block have for each other, by name. Those that come earlier in plugin
 * order than the one they look for keep the offers and look when start functions run. */
struct offers;
struct offers *setup_offers(struct setup *s);
void offers_add(struct offers *o, const char *name, void *what);
void *offers_find(const struct offers *o, const char *name); /* NULL: nobody has that */

/* What a plugin leaves to the configuration that follows: offers that are there until the next
 * reload is through. NULL: nothing came before. What is found there belongs to the old
 * configuration; whoever wants to keep it takes a share of it in its start function. */
struct offers *setup_left(struct setup *s);
const struct offers *setup_inherited(const struct setup *s);
/* All that the block says about what this plugin and those further in answer: its keys and those
 * plugins' lines, in the set-up's memory. Equal texts of two configurations: equal answers, as far
 * as the Corefile goes. */
const char *setup_inner_text(struct setup *s);

/* The control thread's loop; the number of workers (for per-worker state, by q->worker->index). */
uv_loop_t *setup_loop(struct setup *s);
unsigned setup_workers(const struct setup *s);
/* Where objects come from: folders of manifests; without any, an API server. */
struct object_source {
    const char *const *dirs; /* `manifests DIR...` */
    size_t n_dirs;
    const char *range; /* service-cluster-ip-range; NULL: the default */
    unsigned without;  /* enum object_part: what is not looked at */
    /* The API server: of a kubeconfig file, at a URL (of both: that URL), else of the cluster that
     * we run in. */
    const char *kubeconfig, *context; /* or NULL */
    const char *endpoint, *cert, *key, *ca;
    /* What is asked of it: bits 1 << enum kind, namespaces (none: all), selectors. */
    unsigned kinds;
    const char *const *namespaces;
    size_t n_namespaces;
    const char *labels, *namespace_labels;
    const char *node;     /* of pods only those on that node, of Nodes that one; NULL: all */
    double qps, burst;    /* requests to it in a second, and at once; 0: no limit */
    unsigned inflight;    /* requests that wait for the head of its reply; 0: no limit */
    bool coredns_metrics; /* of these requests, under the names that CoreDNS has for them */
};
/* The store behind a source, shared by all who ask for the same. Opened by the command through
 * dns_options.open_source. */
int setup_source(struct setup *s, const struct object_source *source, struct store **ret,
                 struct err *e);

/* ---- where a query was routed to ---- */

/* One zone of one listener. `server` and `zone` are label values of metrics. */
struct route {
    const char *server; /* "dns://:53", "dns://127.0.0.1:53" */
    const char *zone;   /* "cluster.local.", "." */
    const char *view;   /* "": none */
    filter_fn *filter;  /* or NULL: all queries are for it */
    const void *filter_conf;
    const uint8_t *zone_wire; /* lower case */
    uint8_t zone_len, zone_labels;
    const struct chain *chain;
    const struct block *chain_block; /* the server block that the chain was compiled from */
    const struct dns_listener *listener;
    struct dns_config *config;
    unsigned id; /* 0 .. dns_routes() - 1 */
};

/* The configuration that is being set up; valid for the functions below for as long as the plugin
 * is. */
struct dns_config;
struct dns_config *setup_config(const struct setup *s);
/* What is being set up as a whole; its sha512 tells it from others. */
const struct corefile *setup_corefile(const struct setup *s);
/* All routes of the configuration, by id; complete when start functions run. */
const struct route *const *dns_config_routes(const struct dns_config *c, unsigned *ret_n);
/* Are all plugins ready? Names of those that are not: comma-joined, sorted. until_ready: a plugin
 * that was ready once is not asked again. Any thread. */
bool dns_config_ready(const struct dns_config *c, bool until_ready, struct strbuf *ret_waiting);

/* Has the plugin of that name a part in the route's chain? Those that only set up listeners and
 * pages have not. */
bool route_has_plugin(const struct route *r, const char *name);
/* Is there nobody behind the plugin whose step is running? */
bool query_is_last(const struct query *q);

/* ---- why ---- */

/* Where a plugin's words about one traced query go: rows of a word and what there is to say. */
struct why_words;
void why_say(struct why_words *w, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What a plugin tells beyond what its step returned; each may be NULL. */
struct plugin_why {
    /* The worker's thread, for a traced query: before its step runs, and when the step has ended
     * (after a wait with the final outcome). */
    void (*before)(struct query *q, void *conf, struct why_words *w);
    void (*after)(struct query *q, void *conf, enum step step, struct why_words *w);
    /* The control thread, when the query has ended. q stands in for it: question, client, route and
     * arena only. elsewhere: the query was another block's, and had no answer there. */
    void (*explain)(struct query *q, const void *conf, struct why_words *w);
    void (*elsewhere)(struct query *q, const void *conf, struct why_words *w);
    /* The worker's thread, for any query that passed the plugin's step, after its reply was
     * encoded: one phrase for `log`. False: nothing to say. */
    bool (*reason)(struct query *q, const void *conf, struct strbuf *out);
};
/* "ZONE: REASON" of a query that has ended, from those phrases or else from who answered. */
void query_reason(struct query *q, struct strbuf *out);
/* Who ended the chain, once the query has ended: that plugin; one further in than it, or nobody. */
bool query_answered_by(const struct query *q, const char *plugin);
bool query_passed(const struct query *q, const char *plugin);
/* The question as the inner plugins saw it, also when the reply has been encoded. */
static inline const struct question *query_served(const struct query *q)
{
    return q->served ? q->served : &q->msg.q;
}

/* ---- zones ---- */

/* Names for longest-suffix matching, built at set-up. */
struct zone_set;
struct zone_set *zone_set_new(struct arena *a, const struct zone_list *zones);
/* The longest zone that covers the name (lower-case wire of the question); -1 when none does. */
int zone_set_find(const struct zone_set *z, const struct question *q);
unsigned zone_set_count(const struct zone_set *z);
const uint8_t *zone_set_wire(const struct zone_set *z, int i);
unsigned zone_set_labels(const struct zone_set *z, int i);

/* "fallthrough [ZONES...]": reads the rest of the line. An empty list means all zones. */
int zone_set_fallthrough(struct setup *s, struct dispenser *d, struct zone_set **ret,
                         struct err *e);
/* NULL set: nothing falls through. */
bool zone_set_covers(const struct zone_set *z, const struct question *q);
/* Does some name lie in both the set and that zone (plain wire)? NULL set: none. */
bool zone_set_meets(const struct zone_set *s, const uint8_t *zone);

/* All in plugin order; ends with NULL. */
extern const struct plugin *const plugins[];
const struct plugin *plugin_find(const char *name);
