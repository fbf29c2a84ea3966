/* The inside of the etcd source: etcd.c decides what is done when (connect, list, watch),
 * etcd_follow.c takes what etcd sends, etcd_lease.c knows how long leases last. */
#pragma once

#include "base/arena.h"
#include "base/ht.h"
#include "base/rand.h"
#include "base/sm.h"
#include "base/str.h"
#include "source/etcd.h"
#include "source/etcd_reply.h"

enum etcd_state { ETCD_WAIT, ETCD_LOGIN, ETCD_LIST, ETCD_WATCH, ETCD_STATES };

struct etcd_range {
    const char *path;  /* "/skydns/test/etcd"; "" for the root */
    const char *start; /* path; or "path/" where only that may be read */
    const char *end;   /* "path0", the first key behind all of "path/..." */
    int64_t next;      /* the first revision that was not seen yet; 0: not listed */
    bool created;      /* its watch is up */
};

struct etcd_leases {
    struct ht table; /* id, 8 bytes -> struct etcd_lease */
    uv_timer_t *timer;
    unsigned asking; /* requests under way */
    bool full;       /* the limit has been reported */
};

struct etcd_source {
    struct arena arena; /* of the options */
    uv_loop_t *loop;
    struct http_client *http;
    struct etcd_sink sink;
    const char *name;
    const char **endpoints;
    size_t n_endpoints, endpoint; /* the one in use */
    struct etcd_range *ranges;
    size_t n_ranges;
    const char *user, *password;
    struct http_tls tls;

    struct sm sm;
    uv_timer_t *timer;      /* of WAIT */
    struct http_call *call; /* of the state */
    char *token;            /* "Authorization: ...", or NULL */
    bool no_login;          /* the cluster wants none */
    bool fresh_token;       /* it has not been taken yet */
    unsigned failures;      /* in a row */
    char *told;             /* the last failure that was logged, until the watch is up again */
    uint64_t cluster;
    struct rand rand;

    size_t range;          /* of the list that is being read */
    struct strbuf from;    /* the key that its next page begins with */
    unsigned page;         /* keys of a page */
    int64_t list_revision; /* 0: the first page is still to come */
    struct strbuf line;    /* of the watch: what has come of it */
    size_t scanned;        /* bytes of it without a line end */
    struct etcd_leases leases;
    struct etcd_status status;
};

/* etcd.c: a POST to the endpoint in use. chunk NULL: the reply is collected. */
int etcd_post(struct etcd_source *s, const char *path, const struct strbuf *body,
              http_chunk_fn *chunk, http_end_fn *end, void *ctx, struct http_call **ret);
/* The state's work cannot go on: later again, with the next endpoint. */
void etcd_fail(struct etcd_source *s, const char *fmt, ...) printf_like(2, 3);
void etcd_login(struct etcd_source *s);
void etcd_list(struct etcd_source *s);      /* from the start */
void etcd_list_page(struct etcd_source *s); /* the next one */
void etcd_watch(struct etcd_source *s);
/* An error that etcd itself gave. */
void etcd_refused(struct etcd_source *s, int code, const char *text);
bool etcd_narrow(struct etcd_source *s, struct etcd_range *r); /* false: it is already */

/* etcd_follow.c */
void etcd_take_page(struct etcd_source *s, const struct http_result *r);
http_chunk_fn etcd_on_watch;
void etcd_watch_ended(struct etcd_source *s, const struct http_result *r);

/* etcd_lease.c */
void etcd_leases_open(struct etcd_source *s);
void etcd_leases_close(struct etcd_source *s);
/* The lease of that id, made when it is new; NULL for 0 and beyond the limit. No reference is
 * taken. */
struct etcd_lease *etcd_lease_get(struct etcd_source *s, int64_t id);
