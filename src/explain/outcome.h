/* What became of one request, from what was seen of it alone: how far it came, and the sentence
 * that says so. Whoever watched (a lab, a node) fills in the sightings; nothing is assumed of what
 * was not looked at. Why it ended there is for the objects to say (explain). */
#pragma once

#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTCOME_TEXT_MAX 1024

enum outcome {
    OUTCOME_ANSWERED,        /* the server's answer came back */
    OUTCOME_CONNECTED,       /* a connection, but nothing came over it */
    OUTCOME_NAME_UNSENT,     /* no query left the client, and no connection attempt */
    OUTCOME_NAME_UNHEARD,    /* queries left the client; no server got one */
    OUTCOME_NAME_SILENT,     /* a name server got them and said nothing */
    OUTCOME_NAME_UNANSWERED, /* no answer; a name server that got them would not have been seen */
    OUTCOME_NAME_FAILED,     /* SERVFAIL, REFUSED, ... */
    OUTCOME_NAME_UNKNOWN,    /* NXDOMAIN for every candidate */
    OUTCOME_NAME_EMPTY,      /* the name is there, without an address */
    OUTCOME_UNTRIED,         /* an address, but no connection attempt left the client */
    OUTCOME_REJECTED,        /* a rule of the node refused the attempt */
    OUTCOME_DROPPED,         /* a rule of the node dropped it */
    OUTCOME_UNTRANSLATED,    /* the address is nobody's, and no rule took it */
    OUTCOME_LOST,            /* it was sent on to an address where it did not arrive */
    OUTCOME_PORT_CLOSED,     /* it arrived, and was refused there */
    OUTCOME_PEER_SILENT,     /* it arrived, and was not answered there */
    OUTCOME_ANSWER_LOST,     /* it was answered there, and the answer did not come back */
    OUTCOME_REFUSED_AFAR,    /* it was sent on to where nobody watches, and refused */
    OUTCOME_UNANSWERED,      /* the same, and nothing came back */
    OUTCOME_COUNT,
};

/* Queries for one name that left together, and what came back. Moments are since the first packet.
 */
struct sighted_exchange {
    const char *name, *types; /* "A, AAAA" */
    const char *result;       /* "10.96.0.20", "NXDOMAIN", "10.96.0.20; AAAA: no answer" */
    bool has_address,
        failed; /* failed: one of them is not answered, or with SERVFAIL and the like */
    int64_t at_ns, answered_ns; /* answered_ns: the last answer; less than 0: none came */
};

/* All texts are borrowed; "" or NULL where there is nothing to say. */
struct sightings {
    const char *client, *typed; /* "pod shop/foo", "bar" */
    const char *node;           /* of the client */
    bool literal;               /* an address was typed: no look-up */
    bool udp;                   /* a datagram in place of a connection; `tcp` is about it then */
    struct {
        unsigned asked, answered, repeated; /* queries; repeated: the same one sent again */
        unsigned before;     /* queries for other names than the one that had an address */
        unsigned server_got; /* that were seen to arrive at a pod */
        bool blind;          /* nobody watches where they would arrive */
        const char *empty;   /* a name with a NOERROR without addresses, when none has any */
        const char *server;  /* "10.96.0.10:53" */
        const char *failure; /* rcode that is neither: "SERVFAIL" */
        const char *name;    /* that had an address: "bar.shop.svc.cluster.local." */
        int64_t ns;          /* from the first query to the last answer */
        unsigned a_answered, aaaa, aaaa_answered; /* queries for these types */
        unsigned seconds_lost; /* the later one of two by one port at once: only it got no answer */
        unsigned
            insert_failed;   /* entries that the node's connection table did not take meanwhile */
        const char *entry;   /* "10.244.2.9:53", nobody's: that table sends them there; or "" */
        unsigned port;       /* by which those left */
        bool local;          /* the name server's address is one of the client's node */
        bool bound;          /* and somebody on the node listens there */
        bool tracked;        /* the node's connection table knows the queries */
        size_t search_bytes; /* of the search line that the client has */
        bool as_typed_only;  /* no name but the typed one was asked for */
        const char *chosen;  /* where the node sent the query on to: "kube-dns-1, 10.244.1.3:53" */
        const struct sighted_exchange *exchanges;
        size_t n_exchanges;
        const char **denied; /* names that were answered with NXDOMAIN */
        size_t n_denied;
    } dns;
    struct {
        unsigned attempts; /* SYNs, or datagrams, that left the client */
        const char *to;    /* "10.96.0.20:80" */
        const char
            *chosen;      /* where the node sent it on to, "10.244.1.4:8080"; the same: as it is */
        const char *peer; /* "pod bar-1 on node-2" that is there; "" for nobody who is watched */
        const char *rule; /* that ended it, as nft prints it */
        bool rejected, dropped; /* by that rule */
        bool translated;        /* chosen is not to */
        bool blind;             /* nobody watches where it was sent on to */
        bool to_is_somebody;    /* a pod or node has the address that was asked for */
        bool to_itself; /* it arrived at the client, with the client's own address as its source */
        bool arrived, refused_there, answered_there, answer_came, refused_here;
        int64_t at_ns, arrived_at_ns, answer_at_ns, reply_at_ns; /* since the first packet */
    } tcp;
    size_t reply_bytes; /* of data that came back to the client */
    int status;         /* HTTP status; 0: none */
    int64_t total_ns;
};

enum outcome outcome_of(const struct sightings *s);
/* One sentence, without a line break, NUL-terminated; returns out. */
char *outcome_text(enum outcome o, const struct sightings *s, char out[OUTCOME_TEXT_MAX]);
/* A word for programs: "answered", "name-unknown", ... */
const char *outcome_word(enum outcome o);
/* What went well but cost time, a sentence; "" when nothing did. Returns out. */
char *outcome_cost(const struct sightings *s, char out[OUTCOME_TEXT_MAX]);
/* Is the name (with its final dot) the one that was typed ("web", "web.:80")? */
bool outcome_is_typed(const char *typed, const char *name);
