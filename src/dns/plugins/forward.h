/* `forward`: what its files share. A server block may have several forward lines; a query goes to
 * the first whose FROM covers it. */
#pragma once

#include "dns/plugin.h"
#include "dns/plugins/dnstap.h"
#include "dns/upstream.h"

#define FORWARD_TO_MAX    15 /* upstreams of a line at one time, as the reference */
#define FORWARD_SEEN_MAX  64 /* upstreams that a line has had while its resolv.conf changed */
#define FORWARD_TIME_NS   5000000000LL /* for a query, all tries together */
#define FORWARD_TRIES_MAX 64           /* of a query, even with max_connect_attempts 0 */
#define FORWARD_FILE_MAX  65536        /* bytes of a resolv.conf */

enum forward_policy { POLICY_RANDOM, POLICY_ROUND_ROBIN, POLICY_SEQUENTIAL };

/* The upstreams of now; replaced as a whole. */
struct forward_list {
    unsigned n;
    struct upstream *items[FORWARD_TO_MAX];
};

/* One TO: fixed addresses, or a file with nameserver lines. */
struct forward_to {
    const char *file; /* NULL: the addresses stay */
    bool tls;
    uint16_t port;    /* where the text has none */
    const char *name; /* TLS: of "IP%name", or NULL */
    struct sockaddr_storage addrs[FORWARD_TO_MAX];
    unsigned n;
};

struct forward_watch;

/* One forward line. */
struct forward {
    struct forward_block *block;
    struct zone_set *from, *except; /* except may be NULL */
    struct forward_to *tos;
    unsigned n_tos;
    struct upstream_options upstream;
    const char *tls_name; /* tls_servername, or NULL */
    enum forward_policy policy;
    bool force_tcp, prefer_udp, next_on_nodata, failfast;
    uint32_t next, failover; /* bit r: rcode r */
    int64_t read_ns;
    long max_attempts; /* -1: twice the upstreams; 0: FORWARD_TRIES_MAX */
    unsigned max_concurrent;
    const char *error_concurrent; /* what `errors` logs */
    _Atomic uint32_t concurrent, turn;
    _Atomic(struct forward_list *) list;
    struct upstream *seen[FORWARD_SEEN_MAX]; /* control thread; freed at the end */
    unsigned n_seen;
    struct forward_watch *watch;
};

/* All forward lines of a server block. */
struct forward_block {
    struct forward *items;
    unsigned n;
    unsigned n_upstreams;             /* ids that were given */
    struct upstream_worker **workers; /* by worker index; made at the first query */
    unsigned n_workers;
    uv_loop_t *loop;
    struct arena *arena; /* of the set-up */
    struct taps *taps;   /* of `dnstap`, or NULL */
};

enum step forward_in(struct query *q, void *conf);
extern const struct plugin_why forward_why;
void forward_metrics_init(void);

/* ---- forward_to.c ---- */

/* Reads one TO. Sentences start with what was wrong; the caller adds where. */
int forward_to_read(const char *text, struct arena *a, struct forward_to *ret, struct err *e);
/* Builds the list from all TOs (reading their files) and publishes it when it differs. */
int forward_list_update(struct forward *f, struct err *e);
/* Keeps the list up to date with the files of TOs. */
void forward_watch_start(struct forward *f);
void forward_watch_stop(struct forward *f);
void forward_lists_free(struct forward *f);
