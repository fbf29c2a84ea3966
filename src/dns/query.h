/* One query on its way through a chain. What a plugin may look at and change is here, all of it.
 *
 * A query owns the buffer that its packet was received into, so it can wait for an upstream without
 * a copy: its place in the receive batch simply takes another query from the worker's pool. While
 * it runs, `reply` may point into a published snapshot; when it is suspended the chain copies what
 * the reply points to, so nothing of a snapshot outlives the batch. Plugins keep no snapshot
 * pointers elsewhere. */
#pragma once

#include "base/arena.h"
#include "loop/worker.h"
#include "net/udp.h"
#include "wire/msg.h"

/* Bytes of a UDP query that are received; longer TCP messages are allocated. */
#define QUERY_PACKET  4096
#define QUERY_DEPTH   8  /* nested internal look-ups (CNAME chasing) */
#define QUERY_SCRATCH 64 /* bytes that a plugin may keep in a waiting query */
#define QUERY_AHEAD   2  /* plugins of a block that look ahead */

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_COUNT };

enum step {
    STEP_NEXT, /* not mine: ask the next plugin */
    STEP_DONE, /* the reply is complete */
    STEP_DROP, /* no reply at all */
    STEP_WAIT, /* I will call query_resume() later, on this worker's thread */
};

struct route;
struct tcp_conn;
struct doh_request;
struct dns_socket;
struct why;
struct query;

typedef enum step step_fn(struct query *q, void *conf);
typedef void hook_fn(struct query *q, void *conf);
/* How a waiting query goes on; `data` is what query_resume() was given. */
typedef enum step resume_fn(struct query *q, void *conf, void *data);
/* Changes a message of the reply once it is encoded: returns its length, at most `room` bytes more.
 */
typedef size_t sign_fn(struct query *q, void *conf, uint8_t *out, size_t len);

/* What a plugin's look-ahead found out about q->msg. */
struct query_ahead {
    const void *conf;   /* the plugin's; NULL: nothing */
    const uint8_t *key; /* or NULL */
    uint64_t hash;
    int zone; /* of the plugin's; -1: none */
};

struct query {
    struct query_msg msg;      /* the parsed question; q->msg.q.lower is the name for look-ups */
    struct reply reply;        /* starts as: QR, RD and CD copied, EDNS echoed, NOERROR, empty */
    const struct route *route; /* listener, server block and zone that this query was routed to */
    struct worker *worker;
    struct arena arena; /* lives until the reply is sent */
    enum transport transport;
    bool bare;         /* written by the server itself: rcode and question only; no `out` hooks */
    const char *error; /* why it failed, for `errors`; arena or static; NULL: nothing to say */
    uint8_t answerer; /* 1 + position in plugins[] of the one that ended the chain; 0: the server */
    int64_t start_ns; /* monotonic; when the batch was received */
    int64_t end_ns;   /* when its replies were ready; set before the `after` hooks */
    size_t reply_len; /* bytes sent; set before the `after` hooks */
    bool dropped;
    int64_t deadline_ns; /* nobody waits for the answer any more then (`cancel`); 0: none */

    struct query_ahead ahead[QUERY_AHEAD]; /* by plugin (setup_ahead()) */
    bool at_once; /* the reply came from memory and would come again as quickly: setup_at_once() */
    bool noting;  /* `cache` does not keep the reply; it notes that there was one */
    struct cache_fetch
        *fetch; /* what `cache` fetches with this query, until it hears of the reply */

    /* What the client asked, when a plugin has changed msg (query_change()); in the arena. */
    const struct query_msg *asked;
    const struct question *served; /* what had become of it, when it is the client's again */
    struct back *rewrites;         /* what `rewrite` owes the reply; the latest first */

    sign_fn *sign; /* query_sign(); or NULL */
    void *sign_conf;
    size_t sign_room;

    struct why *why; /* takes down what happens; NULL but for a traced query */

    /* --- the server's own --- */
    uint16_t step;         /* index into the chain's way in */
    uint16_t out, out_end; /* on the way back: the hook to be run next, and where to stop */
    bool on_way_back;
    uint8_t depth; /* of internal look-ups */
    bool waiting;
    resume_fn *resume;
    void *resume_conf;
    struct query *parent; /* an internal look-up of that query */
    hook_fn *done;        /* of a query that nobody waits for: query_detached() */
    void *done_conf;
    struct query *next;          /* in the pool */
    struct tcp_conn *conn;       /* NULL: none */
    struct doh_request *request; /* TCP without conn: came over HTTPS; nothing for UDP */
    struct dns_socket *socket;
    struct sockaddr_storage peer;
    struct udp_local local;
    _Alignas(16) uint8_t scratch[QUERY_SCRATCH];
    uint8_t *packet; /* inline_packet, or malloc'ed for long TCP messages */
    uint8_t inline_packet[QUERY_PACKET];
};

/* What the look-ahead with that conf found out, or NULL. */
static inline const struct query_ahead *query_ahead_of(const struct query *q, const void *conf)
{
    for (unsigned i = 0; i < QUERY_AHEAD; i++)
        if (q->ahead[i].conf == conf)
            return &q->ahead[i];
    return NULL;
}

static inline void query_forget_ahead(struct query *q)
{
    for (unsigned i = 0; i < QUERY_AHEAD; i++)
        q->ahead[i].conf = NULL;
}

/* The client's address; IPv4-mapped addresses are IPv4. */
static inline struct ip query_client(const struct query *q)
{
    return ip_of_sockaddr((const struct sockaddr *)&q->peer);
}

/* Appends an RRset to a section of the reply. */
static inline void query_add(struct query *q, enum section s, struct rrset rr)
{
    rrset_list_add(&q->reply.section[s], &q->arena, rr);
}

/* Before a plugin changes the question or EDNS in q->msg: keeps what the client asked, once.
 * Whoever does so calls query_restore() on the way back: then msg is the client's again, and owners
 * in the reply that stood for the changed question's name are written out. */
void query_change(struct query *q);
void query_restore(struct query *q);
/* What the client asked, whatever has been made of it since. */
static inline const struct question *query_asked(const struct query *q)
{
    return q->asked ? &q->asked->q : &q->msg.q;
}
/* Our address and port that the query came to; family 0 when it is not known. */
struct ip query_server(const struct query *q);
uint16_t query_server_port(const struct query *q);

/* Each message of the reply goes through fn before it is sent, and leaves room for what fn appends.
 */
static inline void query_sign(struct query *q, sign_fn *fn, void *conf, size_t room)
{
    q->sign = fn;
    q->sign_conf = conf;
    q->sign_room = room;
}

/* Ends with a bare rcode (no AA, empty sections) and a text for `errors` (printf into the arena, or
 * NULL). Returns STEP_DONE. */
enum step query_fail(struct query *q, enum rcode rcode, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A plugin's asynchronous work is ready: goes on with the query. Worker's thread, between
 * worker_enter() and worker_leave(). `resume` of query_wait() is called with data. */
void query_resume(struct query *q, void *data);

/* Suspends: `return query_wait(q, fn, conf);`. The limit on waiting queries turns this into a
 * SERVFAIL. */
enum step query_wait(struct query *q, resume_fn *resume, void *conf);

/* An internal look-up that re-enters the listener from the top (block routing, all plugins), class
 * IN, keeping the client's EDNS. name is plain wire and is copied. When it is done, resume(q, conf,
 * sub) is called with the finished sub-query (its reply is valid during that call only; rrset_dup()
 * what is to be kept) - at once when nothing had to wait. `return query_lookup(...)`. */
enum step query_lookup(struct query *q, const uint8_t *name, uint16_t type, resume_fn *resume,
                       void *conf);

/* The same, asked only of the plugins further in than the one whose step is running. */
enum step query_lookup_below(struct query *q, const uint8_t *name, uint16_t type, resume_fn *resume,
                             void *conf);

/* Asks q's question once more, of the plugins further in than the one whose step is running, in a
 * query of the server's own: nobody waits for it, it may outlive q, and the client's EDNS options
 * are left out. done(query, conf) is called when it has ended, bare or dropped as may be; at once
 * when nothing had to wait. False: out of memory or too deep, and done is not called. */
bool query_detached(struct query *q, hook_fn *done, void *conf);

/* May several messages answer this query? Only over TCP, and not for look-ups. */
static inline bool query_takes_parts(const struct query *q)
{
    return q->transport == TRANSPORT_TCP && q->conn && !q->depth;
}
/* Sends what the reply holds as one message of several and empties its sections. */
void query_send_part(struct query *q);

/* Appends a section of a finished sub-query's reply to q's own, in q's memory and under the names
 * that the sub-query asked for. */
void query_copy_section(struct query *q, const struct query *sub, enum section s);
/* The same from one section to another, leaving out a type; 0: none. */
void query_copy_records(struct query *q, const struct query *sub, enum section from,
                        enum section to, uint16_t without);

/* A copy of an RRset, bytes and all, in an arena. */
struct rrset rrset_dup(struct arena *a, const struct rrset *rr);
