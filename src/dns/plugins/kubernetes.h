/* The `kubernetes` plugin: cluster names from a snapshot (Kubernetes DNS specification 1.1.0; the
 * reference's behaviour where that is silent). Shared by its files only. */
#pragma once

#include "dns/plugin.h"
#include "dns/snapshot.h"

#define KUBERNETES_TTL_DEFAULT 5
#define KUBERNETES_TTL_MAX     3600
#define KUBERNETES_STARTUP_NS  5000000000LL
/* Bytes of a zone's name: that of its SOA record begins with "hostmaster". */
#define KUBERNETES_ZONE_MAX (NAME_MAX_WIRE - 11)
#define KUBERNETES_CHASE    11 /* ExternalNames in a row inside the zone, as in the reference */

struct kubernetes {
    struct zone_list multicluster; /* asked for; none can be served */
    struct object_source source;
    struct zone_set *zones;
    uint8_t **soa; /* by zone: rdata of its SOA record with its length in front; serial 0 */
    int primary;   /* first zone that is not a reverse zone: where PTR names live */
    uint32_t ttl;
    bool zonal;
    struct zone_set *fallthrough; /* NULL: none */
    bool *keeps;                  /* by zone: no name of it falls through */
    struct snapshot_options options;
    struct snapshot *snapshot;
    struct store *store;
    long long startup_ns; /* before which nothing is served without the first lists */
    struct ip *local;     /* our own addresses, loopback left out: for NS */
    size_t n_local;
    struct setup *setup; /* during set-up only */
};

/* Where a name points to, relative to its zone. */
enum place_kind {
    PLACE_NONE, /* no such form: a name error */
    PLACE_APEX,
    PLACE_LEVEL,     /* "svc", "pod" */
    PLACE_NAMESPACE, /* "ns.svc", "ns.pod" */
    PLACE_SERVICE,   /* "s.ns.svc" */
    PLACE_ENDPOINT,  /* "e.s.ns.svc" */
    PLACE_PORT,      /* "_p._t.s.ns.svc" */
    PLACE_ZONAL,     /* "z.pin._zone.s.ns.svc" */
    PLACE_POD,       /* "1-2-3-4.ns.pod" */
    PLACE_DNS_VERSION,
    PLACE_NS_DNS,
};

/* Labels are pointers to wire labels (length, lower-case text) of the question. */
struct place {
    enum place_kind kind;
    const struct snap_service *service; /* visible, or NULL */
    const uint8_t *namespace;
    const uint8_t *endpoint;        /* or the pod's address label */
    const uint8_t *port, *protocol; /* without their underscore: see label_matches() */
    const uint8_t *zone_first;      /* zonal: the first label of the zone's name ... */
    uint8_t n_zone;                 /* ... and how many there are */
    bool prefer;
    bool pods; /* below "pod" rather than "svc" */
};

/* One name that is looked up: the question, or a CNAME target inside the zone. */
struct lookup {
    struct query *q;
    const struct kubernetes *k;
    const struct question *name;
    const uint8_t *owner; /* of answers: NULL for the question itself, else the name's wire */
    int zone;
    uint16_t type;
};

enum outcome { OUTCOME_NAME_ERROR, OUTCOME_NODATA, OUTCOME_ANSWER, OUTCOME_WAIT };

/* The zone part of the looked-up name as it was typed. */
const uint8_t *lookup_zone(const struct lookup *l);
/* The reference compares some names letter by letter with the zone as typed: mixed case misses them
 * (docs/decisions). */
bool zone_is_lower(const struct lookup *l);

/* kubernetes_name.c */
void kubernetes_ahead(struct query *q, const void *conf, struct query_ahead *ahead, bool second);
/* The zone that the question lies in; -1: none. */
int kubernetes_zone(const struct kubernetes *k, const struct query *q);
/* The Service of a name that has one, whatever stands left of it; NULL: none. */
const struct snap_service *kubernetes_service(const struct kubernetes *k, const struct query *q,
                                              int zone);
void place_parse(const struct lookup *l, struct place *ret);
/* a: a label, possibly with a leading underscore that does not count; b: length-prefixed text. An
 * emptied or missing label matches everything. */
bool label_matches(const uint8_t *a, const uint8_t *b);
/* Does the endpoint answer to the place's endpoint label, port and zone? *ret_ports: how many of
 * its group's ports match. */
bool place_has_endpoint(const struct place *p, const struct snap_endpoint *e, unsigned *ret_ports);
bool place_has_port(const struct place *p, const struct snap_port *port);

/* kubernetes_answer.c: each fills q->reply and says whether the name exists. */
enum outcome answer_address(struct lookup *l, const struct place *p);
enum outcome answer_ptr(struct lookup *l, const struct ip *ip);
enum outcome answer_ns(struct lookup *l);
enum outcome answer_ns_dns(struct lookup *l);
enum outcome answer_txt_version(struct lookup *l);
void add_soa(struct lookup *l, enum section s);
/* rdata of the zone's SOA record, in the arena. */
uint8_t *soa_rdata(const struct kubernetes *k, struct arena *a, const uint8_t *zone);
/* One name in the arena: labels (without root) followed by a plain wire name. */
uint8_t *join_name(struct arena *a, const uint8_t *labels, size_t len, const uint8_t *tail);
void add_address_set(struct query *q, enum section s, const uint8_t *owner, uint32_t ttl,
                     uint8_t family, const uint8_t *bytes, uint16_t n);

/* kubernetes_srv.c */
enum outcome answer_srv(struct lookup *l, const struct place *p);
/* The share of each of n items in a hundred, at least 1. */
uint16_t srv_weight(size_t n);
/* Priority 0; target is plain wire. */
uint8_t *srv_rdata(struct arena *a, const uint8_t *target, uint16_t weight, uint16_t port);

/* kubernetes_transfer.c: a transfer_fn */
int kubernetes_transfer(struct query *q, void *conf,
                        bool (*emit)(void *ctx, const struct rrset *rr), void *ctx);

/* kubernetes_meta.c: values for `metadata`. */
const char *kubernetes_label(struct query *q, const void *conf, const char *name);

/* kubernetes_why.c */
extern const struct plugin_why kubernetes_why;

/* kubernetes.c */
bool kubernetes_at_once(const struct query *q, const void *conf);
enum step kubernetes_in(struct query *q, void *conf);
