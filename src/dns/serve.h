/* The serving side of the DNS server: a worker's sockets, its pool of queries, and the way of a
 * packet from receive to send. Private to the room; plugins see dns/plugin.h. */
#pragma once

#include "base/ht.h"
#include "config/corefile.h"
#include "dns/chain.h"
#include "loop/worker.h"
#include "net/tcp.h"

#define SERVE_WAITING_MAX 16384       /* suspended queries a worker; more are answered SERVFAIL */
#define SERVE_OUT_BYTES   (256 << 10) /* replies of a batch; full: what is there is sent first */
#define ROUTES_SCANNED    8           /* zones of a listener up to which a scan beats a table */
#define SERVE_ROUNDS      4 /* receive batches in a row before other events get their turn */

struct query_pool {
    struct query *free;
    size_t made;
};

struct query *query_get(struct query_pool *p); /* NULL: out of memory */
/* Will query_get() give one next? Memory is got for it if need be. */
bool query_pool_has(struct query_pool *p);
void query_put(struct query_pool *p, struct query *q);
void query_pool_done(struct query_pool *p);

/* One address, port and scheme with the zones that are served there. */
struct dns_listener {
    struct ip ip; /* family 0: wildcard */
    uint16_t port;
    enum scheme scheme;
    struct tls_config *tls; /* of connections; the block's; NULL: plain */
    unsigned https_conns;
    struct stream_quota *quota; /* of HTTPS connections, all workers; NULL: none */
    struct route *routes;       /* by descending number of labels; those of one zone in a row */
    unsigned n_routes;
    struct ht index; /* zone wire -> route, when there are more than ROUTES_SCANNED */
    bool any_class;  /* some chain takes classes other than IN */
    struct tcp_limits tcp;
    unsigned sockets; /* wanted over all workers; 0: one each */
    unsigned workers;
    unsigned places; /* a worker's sockets are numbered; the most that one has: at least 1 */
};

/* The route for a query's question, or NULL: longest zone whose filter lets it pass; DS goes to the
 * parent's side of a cut. Changes q->route. */
const struct route *listener_route(const struct dns_listener *l, struct query *q);

/* What a worker has opened; one for each worker and listener. */
struct dns_socket;

struct dns_worker {
    struct worker worker; /* first: a worker is a dns_worker */
    struct query_pool pool;
    size_t waiting;
    struct dns_socket **sockets;
    unsigned n_sockets;
    uint8_t *tcp_out; /* MSG_MAX bytes */
};

/* Has the worker a socket for that address and port? Control thread, while no call to the worker is
 * under way. */
bool serve_has(const struct dns_worker *w, const struct dns_listener *l, unsigned place);
/* Is the worker to have a socket of that number? */
bool serve_wants(const struct dns_worker *w, const struct dns_listener *l, unsigned place);
/* On the worker's thread: serves a listener on the socket that the worker has for it, or on udp_fd
 * (-1: the scheme has none) and tcp_fd, both taken over. */
int serve_listener(struct dns_worker *w, const struct dns_listener *l, unsigned place, int udp_fd,
                   int tcp_fd, struct err *e);
/* On the worker's thread: closes the sockets of other listeners than these. */
void serve_keep_only(struct dns_worker *w, const struct dns_listener *listeners, size_t n);
void serve_close(struct dns_worker *w); /* on the worker's thread */
void serve_free(struct dns_worker *w);  /* after the thread has ended */

/* The worker's first socket for a listener. On the worker's thread. */
struct dns_socket *serve_socket(const struct dns_worker *w, const struct dns_listener *l);
/* Starts the reply, routes the query and runs its chain. */
enum step serve_dispatch(struct query *q);
/* The same for a question that only goes to the plugins further in than the step where `of` stands.
 */
enum step serve_below(struct query *q, const struct query *of);
/* A query that waited is done: replies, or hands over to the look-up's parent. */
void serve_finish_waiting(struct query *q, enum step step);
/* Counts the query among the waiting; false: there are too many. */
bool serve_may_wait(struct query *q);
void serve_waits_no_more(struct query *q);
struct query *serve_query_get(struct query *like);
void serve_query_put(struct query *q);

/* Counters of what never reaches a chain ("dropped" in the originals' metrics). */
void serve_metrics_init(void);
