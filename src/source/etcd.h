/* An etcd v3 cluster as a source of keys and values: everything below some prefixes, followed.
 *
 * Talks to the cluster's JSON gateway (etcd 3.4 and later, paths below /v3/): lists the ranges page
 * by page at one revision, then watches from the revision behind it. When the connection breaks it
 * goes on with the next endpoint, later and later, from the revision that it has; what was listed
 * stands meanwhile. It lists again when etcd has compacted that revision away, or when the answers
 * come from a store that is older than it or another cluster's. With a user it authenticates first,
 * and again when its token is not taken any more.
 *
 * Runs on one loop; the sink is called on its thread. Values attached to a lease come with a struct
 * etcd_lease, whose remaining time is asked for now and then and may be read by any thread. */
#pragma once

#include "base/err.h"
#include "net/http_client.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ETCD_ENDPOINTS_MAX 64
#define ETCD_RANGES_MAX    256
#define ETCD_PAGE_KEYS     10000      /* asked for at once; fewer when their values are large */
#define ETCD_REPLY_MAX     (16 << 20) /* bytes of a page and of a line of the watch */
#define ETCD_LEASES_MAX    10000      /* whose time is asked for; further ones count as unknown */

struct etcd_lease;
/* Any thread; a lease lives as long as somebody refers to it. NULL is fine. */
struct etcd_lease *etcd_lease_ref(struct etcd_lease *l);
void etcd_lease_unref(struct etcd_lease *l);
/* Seconds that are left, 0 when it has run out; -1: not known yet. */
int64_t etcd_lease_left(const struct etcd_lease *l, int64_t now_ns);

struct etcd_pair {
    const char *key;
    const char *value;
    size_t key_len, value_len;
    struct etcd_lease *lease; /* or NULL; the sink takes a reference of its own */
};

struct etcd_sink {
    void *ctx;
    void (*begin)(void *ctx); /* a list: what is put until synced() replaces everything */
    void (*put)(void *ctx, const struct etcd_pair *p);
    void (*del)(void *ctx, const char *key, size_t len);
    void (*synced)(void *ctx);  /* the list is whole */
    void (*settled)(void *ctx); /* after each batch of changes, lists excepted */
};

struct etcd_options {
    const char *const *endpoints; /* http:// or https:// URLs */
    size_t n_endpoints;
    const char *const *ranges; /* paths: the key itself and everything below it, "PATH/..." */
    size_t n_ranges;
    const char *user, *password; /* or NULL */
    struct http_tls tls;
    const char *name; /* in log lines: "plugin/etcd" */
};

/* What metrics show. Written on the loop's thread, read on any. */
struct etcd_status {
    _Atomic bool connected;    /* the watch is up */
    _Atomic int64_t heard_ns;  /* monotonic: when all was last known to be up to date; 0: never */
    _Atomic uint64_t failures; /* of requests and connections */
    _Atomic uint64_t lists;    /* that were read whole */
    _Atomic int64_t revision;  /* that is followed; 0: none yet */
};

struct etcd_source;

/* Copies the options. The sink is first called from the loop. */
int etcd_source_open(uv_loop_t *loop, const struct etcd_options *o, const struct etcd_sink *sink,
                     struct etcd_source **ret, struct err *e) must_check;
void etcd_source_close(struct etcd_source *s); /* NULL is fine */
const struct etcd_status *etcd_source_status(const struct etcd_source *s);
