/* What would happen to a request, from objects alone: the look-up, the Service, its endpoints, the
 * rules on the way, and the reply; or why it fails and what to change. Pure: nothing is sent and no
 * kernel is asked. The parts are the program's own: the search walk of client/, the answers of
 * dns/, the rules of proxy/.
 *
 * Everything in a report lies in the arena that it was built with, or in the store's objects. */
#pragma once

#include "client/resolvconf.h"
#include "client/way.h"
#include "explain/node_view.h"
#include "store/store.h"

#define EXPLAIN_ADDRESSES_MAX 16   /* of a name; further ones are counted, not followed */
#define EXPLAIN_ENDPOINTS_MAX 5000 /* rows */
#define EXPLAIN_NEAR_MAX      8

enum answer_kind {
    ANSWER_ADDRESSES,
    ANSWER_ALIAS, /* another name, outside of what is known */
    ANSWER_NODATA,
    ANSWER_NXDOMAIN,
    ANSWER_OUTSIDE, /* a name that the objects say nothing about */
    ANSWER_FAILED,
};

/* What the cluster's DNS says to one name, A and AAAA together. */
struct explain_answer {
    enum answer_kind kind;
    struct ip ips[EXPLAIN_ADDRESSES_MAX];
    size_t n_ips, n_all;
    const char *alias; /* end of the CNAMEs, without final dot, or NULL */
    const char *cause; /* of a miss: one sentence, or NULL */
    const char *near[EXPLAIN_NEAR_MAX];
    size_t n_near;
};

typedef void explain_ask_fn(void *ctx, const char *name, struct arena *a,
                            struct explain_answer *ret);

/* The Corefile of the pods behind that Service, or NULL; *ret_name: how to call it. In the arena.
 */
typedef const char *explain_corefile_fn(void *ctx, const char *namespace, const char *service,
                                        struct arena *a, const char **ret_name);

/* What may be known besides the objects; each NULL: it is not. */
struct explain_around {
    explain_corefile_fn *corefile;
    void *ctx;
    const char *rules;       /* of the source's Node, as `nft -j list ruleset` prints them */
    const char *connections; /* of the same, as `conntrack -L` or /proc/net/nf_conntrack */
    const char *resolv_conf; /* the source's own, in place of the one that a kubelet would write */
};

struct explain_request {
    struct store *store; /* synced */
    const char *from;    /* "NAMESPACE/NAME", "NAME" of a pod, the name of a Node, or an address */
    const char *at;      /* Node where what comes from outside arrives; NULL: the target's own */
    const char *to;      /* as the client types it: name or address, with ":PORT" or without */
    enum protocol protocol;
    const struct way *way; /* whose search walk */
    const char *cluster_domain;
    const struct pod_dns *pod_dns; /* of the pod, NULL: as an ordinary pod's */
    const char *host_resolv;       /* text of the node's resolv.conf; NULL: not known */
    struct strlist cluster_dns;    /* none: the address of the Service kube-system/kube-dns */
    const char *node_hosts;        /* text of the node's hosts file, or NULL */
    struct ruleset_options rules[2];
    const struct chain_options *chains; /* [2]: the proxy is in iptables mode; or NULL */
    const struct ip_prefix *ranges;     /* of cluster IPs */
    size_t n_ranges;
    bool assumed_status; /* pods without a status were taken as running: to be said */
    struct explain_around around;
    explain_ask_fn *ask;
    void *ctx;
};

/* ---- the report ---- */

struct explain_source {
    const struct pod *pod;   /* or NULL */
    const struct node *node; /* where its packets meet rules; or NULL */
    const char *text;        /* "pod shop/foo" */
    struct ip ips[2];        /* IPv4, IPv6; family 0: none */
    bool from_here;          /* a process of the node itself */
    bool outside;
};

struct explain_candidate {
    const char *name;
    enum walk_outcome outcome;
    struct explain_answer answer;
};

struct explain_lookup {
    bool done;      /* a name was looked up */
    bool no_server; /* where the cluster's DNS is, is not known */
    struct resolvconf conf;
    struct stub_conf stub;
    VEC(struct explain_candidate) candidates;
    const char *from_files; /* the hosts file had it: its name there; or NULL */
    int won;                /* candidate, or -1 */
    unsigned ndots, dots;
};

struct explain_endpoint {
    struct ip ip;
    uint16_t port;
    const char *pod, *node, *zone; /* "" where not known */
    bool in;
    const char *why;
};

/* One address and port, walked. */
struct explain_leg {
    struct ip to;
    uint16_t port;
    const char *node;            /* whose rules; "": none are known */
    const char *target;          /* "cluster IP of Service shop/bar", "pod shop/bar-1", ... */
    const struct portal *portal; /* of a Service's front, or NULL */
    const struct front *front;
    struct flow flow;
    bool ok;          /* some outcome arrives */
    bool all_ok;      /* every one */
    const char *next; /* the Node that it is sent to, whose rules come next; or NULL */
};

/* `code` is one word for programs; `change` says what to do. */
struct explain_cause {
    const char *code, *text, *change;
    bool doubt; /* a note that belongs into the verdict: the request may fail, or be slow, by it */
};

struct explain_report {
    struct arena *arena;
    const struct explain_request *request;
    struct explain_source source;
    const char *name; /* the target without its port */
    uint16_t port;    /* 0: none given and none found */
    const char *port_text;
    struct explain_lookup lookup;
    const struct service *service; /* or NULL */
    const struct service_port *service_port;
    VEC(struct explain_endpoint) endpoints;
    unsigned n_stale;             /* of those that are in, how many have no pod any more */
    VEC(struct explain_leg) dns;  /* to the name servers */
    VEC(struct explain_leg) legs; /* to the target, in the order of the walk */
    VEC(struct explain_cause) causes, notes;
    VEC(const char *) near;
    struct node_view view;
    struct {
        struct node_view view;
        const char *node;
    } other; /* the Node that a packet went on to */
    bool has_view, reachable;
    const char *verdict;
};

/* Fails when the request makes no sense: no such pod, no such form of target. */
int explain_build(const struct explain_request *q, struct arena *a, struct explain_report *ret,
                  struct err *e) must_check;
void explain_done(struct explain_report *r);

void explain_print(const struct explain_report *r, FILE *out);
void explain_json(const struct explain_report *r, struct strbuf *out);
