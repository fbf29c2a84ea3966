/* A stub resolver that behaves as a client's does (way.h says whose), and keeps a trace of all that
 * it did: which names it asked for, of which server, over what, and what came back when.
 *
 * One look-up at a time, blocking, on the calling thread. Sockets are opened in the network
 * namespace in which the thread is. */
#pragma once

#include "base/err.h"
#include "client/stub_conf.h"
#include "client/way.h"

#define STUB_ADDRESS     0     /* as a type: A and AAAA together, as getaddrinfo() asks */
#define STUB_TCP_WAIT_MS 10000 /* glibc has no limit of its own here and waits for the kernel's */

/* STUB_PENDING in a result: the answer was not waited for, because TCP took over. */
enum stub_fate { STUB_PENDING, STUB_ANSWERED, STUB_TIMED_OUT, STUB_REFUSED, STUB_BROKEN };

/* One query that left. */
struct stub_query {
    unsigned candidate; /* index */
    uint16_t type, id;
    uint16_t local_port;
    uint8_t server, attempt; /* index; from 0 */
    bool tcp;
    enum stub_fate fate;
    bool tc;
    uint16_t rcode, answers; /* when answered */
    int64_t sent_us;         /* since the look-up began */
    int64_t time_us;         /* until the answer, or until it was given up */
};

struct stub_candidate {
    const char *name;
    enum walk_outcome outcome;
    size_t first_query, n_queries;
};

/* STUB_FROM_ITSELF: a name that the library knows without being told. */
enum stub_source { STUB_FROM_DNS, STUB_FROM_FILES, STUB_FROM_LITERAL, STUB_FROM_ITSELF };

/* All memory is in the arena of the look-up. */
struct stub_result {
    const char *name; /* as it was given */
    enum stub_source source;
    int error;              /* 0 or a number of the personality: EAI_*, ARES_* */
    const char *error_name; /* "EAI_NONAME"; "" without an error */
    const char *error_text; /* as the library tells it; "" without an error */
    bool not_host;          /* nobody was asked: this is taken for no name of a host */
    int won;                /* candidate, or -1 */
    struct stub_candidate *candidates;
    size_t n_candidates, candidates_capacity;
    struct stub_query *queries;
    size_t n_queries, queries_capacity;
    const char *canonical; /* end of the CNAME chain, or NULL */
    struct ip *ips;        /* in the order of the replies; not sorted by RFC 6724 */
    size_t n_ips, ips_capacity;
    struct strlist records; /* answers of the winner in text form */
    struct strlist unknown; /* services of nsswitch.conf that were passed over */
    int64_t time_us;
};

struct stub {
    const struct way *way;
    const struct stub_conf *conf;
    const char *hosts, *nsswitch; /* texts of the files; NULL: none */
    /* glibc: how A and AAAA are sent; a lost answer changes it for the rest of the process' life.
     */
    bool one_by_one, new_socket_each;
    unsigned rotation;
};

/* conf and the texts must outlive the stub. */
void stub_init(struct stub *s, const struct way *way, const struct stub_conf *conf,
               const char *hosts, const char *nsswitch);

/* type: STUB_ADDRESS, RR_A, RR_AAAA (as getaddrinfo() with a family: literals and hosts first), or
 * any other (as res_search(): DNS only). A look-up that finds nothing is a result with an error,
 * not a failure of this function, which fails only when name is not a name. */
int stub_lookup(struct stub *s, const char *name, uint16_t type, struct arena *a,
                struct stub_result *ret, struct err *e) must_check;

/* For personalities. */
void stub_add_ip(struct stub_result *r, struct arena *a, const struct ip *ip);

/* Seconds that an attempt of glibc's waits at this server. */
int stub_wait_seconds(const struct stub_conf *c, unsigned server);
