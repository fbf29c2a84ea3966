/* Requests to one API server in the name of one identity (source/kubeconfig.h).
 *
 * Tokens and certificates in files are read again every minute and after the server has refused
 * them, so that rotated ones are taken up; programs are asked for credentials when these have
 * expired or were refused. Requests wait for them, and for their turn where a rate is set. One
 * client a loop, all on the loop's thread. */
#pragma once

#include "config/tree.h"
#include "net/http_client.h"
#include "source/kubeconfig.h"

struct api_client;

struct api_request {
    const char *method; /* NULL: GET, or POST when there is a body */
    const char *path;   /* "/api/v1/services?limit=500" */
    const char *accept; /* NULL: JSON */
    const char *content_type;
    const char *body;
    size_t body_len;
    long total_ms, idle_ms; /* as in struct http_request */
    size_t body_max;
    bool gzip;
    http_head_fn *head;
    http_chunk_fn *chunk;
    http_end_fn *end;
    void *ctx;
};

/* Copies the configuration. */
int api_client_new(uv_loop_t *loop, const struct api_config *config, struct api_client **ret,
                   struct err *e) must_check;
/* Ends all requests without a word. NULL is fine. */
void api_client_free(struct api_client *c);
const char *api_client_server(const struct api_client *c); /* its URL */

/* As http_client_send(). */
int api_client_send(struct api_client *c, const struct api_request *r, struct http_call **ret,
                    struct err *e) must_check;
/* At most so many requests a second, and so many at once after a calm; qps 0 (as it is at first):
 * no limit. */
void api_client_limit(struct api_client *c, double qps, double burst);
/* At most so many requests are under way at a time, each counting until the head of its reply is
 * there; 0 (as it is at first): no limit. None may be cancelled then but by api_client_free(). */
void api_client_limit_inflight(struct api_client *c, unsigned max);
/* Counts requests under the names that one of the originals has: kube-proxy and kube-controller-
 * manager (rest_client_...), or CoreDNS. Not before this is called. */
enum api_metrics { API_METRICS_PROXY, API_METRICS_DNS };
void api_client_metrics(struct api_client *c, enum api_metrics which);
/* No connection came about: certificates are to be looked at again. */
void api_client_unreached(struct api_client *c);

/* Whether a request failed for a reason that lies with the server or with our identity, not with
 * what was asked: a later try may do. */
bool api_is_away(const struct http_result *r);
/* A reply as a tree in the arena, from JSON or protocol buffers: an object of this kind (see
 * proto_message_find()), or a Status. NULL: it is none, or cannot be read. */
const struct tree *api_reply_tree(const char *body, size_t len, const char *kind, struct arena *a);
/* "the server says 403 Forbidden: ..." from the reply's Status, for errors; in the buffer. */
#define API_STATUS_TEXT 512
const char *api_status_text(const struct http_result *r, const char *body, size_t len,
                            char text[API_STATUS_TEXT]);
