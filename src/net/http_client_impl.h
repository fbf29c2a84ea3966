/* The inside of an HTTP client: http_client.c runs requests, http_options.c says what they are. */
#pragma once

#include "base/str.h"
#include "net/http_client.h"

#include <curl/curl.h>

enum call_state { CALL_HELD, CALL_QUEUED, CALL_RUNNING, CALL_CANCELLED };

struct http_call {
    struct http_client *client;
    struct http_call *next, **link; /* in the client's list */
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    enum call_state state;
    http_head_fn *head;
    http_chunk_fn *chunk;
    http_end_fn *end;
    void *ctx;
    struct strbuf body;
    size_t body_max;
    bool too_long, stopped, observed;
    bool fresh;                 /* on a connection of its own */
    bool shares;                /* may have its connection in common with others */
    const char *method;         /* static */
    int64_t asked_ns, begun_ns; /* when it was wanted; when it was sent */
    unsigned rest_ms;           /* 0: none */
    int64_t idle_ns, last_ns;   /* the longest silence, 0: any; when something came */
    char why[CURL_ERROR_SIZE];
};

struct http_client {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t *timer; /* on the heap: they outlive us until the loop has closed them */
    uv_timer_t *idle;
    uv_timer_t *rest;  /* sockets rest until then */
    unsigned rest_ms;  /* for so long, last time */
    unsigned n_pieces; /* that came when a socket was read last, and their bytes */
    size_t came;
    struct http_call *calls;
    struct socket_watch *sockets;
    unsigned n_calls;
    int64_t doubt_ns;  /* connections from before are not used again; 0: all may be */
    int64_t silent_ns; /* the call that raised it had heard nothing since */
    bool doubts;       /* those may still be in use: none of what is in use is used by others */
    bool proved;       /* ... and a new one does what they do not: their calls are to end */
    unsigned depth;    /* of calls into libcurl: it must not be called again from within */
    http_observe_fn *observe;
    void *observe_ctx;
    bool pending; /* calls to be begun or taken out when the depth is 0 again */
};

/* libcurl's callbacks for the head and the body of a reply. */
size_t http_call_on_head(char *p, size_t size, size_t n, void *ctx);
size_t http_call_on_body(char *p, size_t size, size_t n, void *ctx);

/* All that the request says. 0 or a negative code. */
int http_call_set_options(struct http_call *call, const struct http_request *r);
/* Its bearer, user and password, and its tls' certificate and key when these are texts. */
void http_call_set_identity(struct http_call *call, const struct http_request *r);
