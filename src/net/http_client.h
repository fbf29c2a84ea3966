/* An HTTP client for long-lived loops: requests run side by side on one libuv loop and nothing
 * blocks (libcurl's multi interface, with its resolver on threads of its own). HTTP/2 where a TLS
 * server offers it, else HTTP/1.1; connections are kept and used again; redirects are not followed,
 * and no proxy is used but the one that a request names, whatever the environment says.
 *
 * A request that gets no reply in time puts the connections in doubt that were there before it:
 * new requests go on others. When one of these gets a reply, then it was not the server, and https
 * requests that have been silent since before the doubt, and may share the connection, end
 * (-ETIMEDOUT). What is sent and never acknowledged ends a connection after half a minute.
 *
 * A request ends in exactly one of two ways: its `end` is called once, or it was cancelled (or the
 * client freed) and nothing is called any more. Callbacks run on the loop's thread and may send and
 * cancel requests, but not free the client. All calls are made on the loop's thread; a loop may
 * have several clients, each with connections of its own. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define HTTP_CLIENT_REQUESTS_MAX 256         /* of one client at a time */
#define HTTP_CLIENT_BODY_MAX     (64L << 20) /* bytes of a collected reply, unless set lower */
#define HTTP_CLIENT_CONNECTIONS  64          /* that are kept, used or idle */
#define HTTP_CLIENT_TLS_FILE_MAX (1 << 20)   /* bytes of a file of certificates */

struct http_client;
struct http_call;

/* How to reach a https server. Files are PEM, and what they would hold may be given as a text
 * instead; NULL: none. */
struct http_tls {
    const char *ca;         /* instead of the system's authorities */
    const char *cert, *key; /* of the client; both or neither */
    const char *ca_pem, *cert_pem, *key_pem;
    const char *server_name; /* in the certificate; NULL: the URL's host */
    bool insecure;           /* take any certificate */
};

struct http_result {
    int error;        /* 0: there was a whole reply; else a negative code */
    long status;      /* 0: no reply */
    const char *body; /* the collected body, NUL behind it; NULL with a `chunk` callback */
    size_t len;
    const char *text; /* with an error: what happened */
    long retry_after; /* seconds that the server asks us to wait; 0: it says nothing */
};

/* A piece of the reply's body as it came in; not 0: give up, `end` then has -ECANCELED. */
typedef int http_chunk_fn(void *ctx, long status, const char *p, size_t n);
/* The head of the reply is there. Must not cancel the call. */
typedef void http_head_fn(void *ctx, long status);
typedef void http_end_fn(void *ctx, const struct http_result *r);

/* All that it points to is copied, or read during the call only. */
struct http_request {
    const char *method;         /* NULL: GET, or POST when there is a body */
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value" */
    size_t n_headers;
    const char *body; /* or NULL */
    size_t body_len;
    const struct http_tls *tls;         /* or NULL */
    const char *bearer;                 /* token for "Authorization: Bearer", or NULL */
    const char *user, *password;        /* basic authentication, or NULL */
    long connect_ms, total_ms, idle_ms; /* 0: 10 s to connect, the others without limit;
                                         * idle_ms: so long without a byte is a failure */
    const char *proxy;                  /* URL of one, or NULL */
    bool gzip;                          /* the reply may come compressed */
    bool held;                          /* not before http_call_release() */
    size_t body_max;                    /* 0: HTTP_CLIENT_BODY_MAX; not looked at with `chunk` */
    http_head_fn *head;                 /* NULL: nobody waits for it */
    http_chunk_fn *chunk;               /* NULL: the body is collected */
    http_end_fn *end;
    void *ctx;
};

int http_client_new(uv_loop_t *loop, struct http_client **ret, struct err *e);
/* Ends all requests without a word. NULL is fine. */
void http_client_free(struct http_client *c);

/* Tells of each request once: when the head of its reply is there, or when it has failed without.
 * `took_ns` is since it was sent, `method` a static string; status 0: it failed. */
typedef void http_observe_fn(void *ctx, const char *method, long status, int64_t took_ns);
void http_client_observe(struct http_client *c, http_observe_fn *fn, void *ctx);

/* Begins a request; `end` is never called from within. Fails with ERR_LIMIT when too many are
 * under way, ERR_INVALID for a URL that is none. */
int http_client_send(struct http_client *c, const struct http_request *r, struct http_call **ret,
                     struct err *e) must_check;
/* Calls that have been sent, or are about to be, and that the observer was not told of yet. */
unsigned http_client_in_flight(const struct http_client *c);
/* A held call that has waited longest; NULL: none. */
struct http_call *http_client_held(const struct http_client *c);
/* Sends it, with the request's bearer, user and password, and with its tls' certificate and key;
 * nothing else of the request is looked at. */
void http_call_release(struct http_call *call, const struct http_request *identity);
/* Ends it instead: `end` has the code and the text. */
void http_call_refuse(struct http_call *call, int code, const char *text);
const char *http_call_method(const struct http_call *call); /* static */
int64_t http_call_age_ns(const struct http_call *call);     /* since it was asked for */

/* From now on so long without a byte is a failure; 0: without limit. */
void http_call_set_idle(struct http_call *call, long idle_ms);
/* What comes for it within so many ms after something has come may wait until they are over, so
 * that many small pieces are read at once: so long at most, when they come fast; a piece that comes
 * alone hardly waits. Holds for a connection on which all calls say so: the shortest counts. 0, as
 * at first: nothing waits. */
void http_call_set_rest(struct http_call *call, unsigned ms);
/* Nothing of the call is used or called any more. NULL is fine. */
void http_call_cancel(struct http_call *call);

/* 0 or ERR_INVALID. */
int http_url_check(const char *url, struct err *e) must_check;
/* Do the files exist, can they be read as PEM, and does the key fit the certificate? Sentences are
 * those of the tools around cluster DNS: "could not load TLS cert: ...", "error reading ...",
 * "could not read root certs: ...". */
int http_tls_check(const struct http_tls *t, struct err *e) must_check;
