/* Private to doh*.c. */
#pragma once

#include "base/cleanup.h"
#include "net/doh.h"
#include "net/doh_request.h"

#define DOH_READ_BYTES 16384 /* for HTTP/2, which uses up what it reads at once */
#define DOH_MIME       "application/dns-message"
#define DOH_ALLOW      "GET, HEAD, POST"
#define DOH_DATE       40

enum doh_method { DOH_GET, DOH_POST, DOH_HEAD, DOH_OTHER };

struct doh_server {
    struct stream_server s;
    struct doh_handler handler;
    uint8_t in[DOH_READ_BYTES];
};

/* A request, from its first header to the end of its response. */
struct doh_request {
    struct doh_conn *conn;
    struct doh_request *prev, *next; /* of the connection */
    enum doh_method method;
    bool waiting;  /* the handler owes a reply */
    bool gone;     /* the peer has given it up */
    bool complete; /* HTTP/2: all of it has come */
    bool foreign;  /* its Content-Type is another one; without any it is taken for a message */
    /* The message that came: body of a POST, else decoded from the target. */
    uint8_t *in;
    size_t in_len;
    /* HTTP/2 only */
    int32_t stream;
    int status; /* of the failure that was found while it came; 0: none */
    size_t head;
    char *target;
    size_t target_len;
    uint8_t *out; /* the response's body */
    size_t out_len, out_pos;
};

struct doh_conn {
    struct stream s;
    bool chosen;                /* the protocol */
    struct nghttp2_session *h2; /* NULL: HTTP/1.1 */
    struct doh_request *requests;
    size_t bodies, held;
    /* HTTP/1.1 only */
    uint8_t *buf; /* DOH_HEAD_MAX + DOH_BODY_MAX bytes while a request is incomplete, else NULL */
    size_t len, scanned;
    bool waiting; /* for a reply; nothing is read meanwhile */
    bool last;    /* closes behind the response */
};

/* What a response is made of. */
struct doh_response {
    int status;
    const uint8_t *data; /* NULL: a text that names the status */
    size_t len;
    uint32_t max_age;
};

/* ---- doh.c ---- */

static inline struct doh_conn *doh_conn_of(struct stream *s)
{
    return container_of(s, struct doh_conn, s);
}

static inline struct doh_server *doh_server_of(const struct doh_conn *c)
{
    return container_of(c->s.server, struct doh_server, s);
}

enum doh_method doh_method_of(const char *text, size_t len);
bool doh_is_message(const char *type, size_t len);       /* a Content-Type, parameters and all */
const char *doh_reason(int status);                      /* "Not Found" */
void doh_date(char ret[DOH_DATE]);                       /* now, for a response's head */
struct doh_request *doh_request_new(struct doh_conn *c); /* NULL: out of memory */
void doh_request_free(struct doh_request *r);
/* A request is complete: hands its message to the handler, or answers at once. */
void doh_request_done(struct doh_request *r, const char *target, size_t len, const uint8_t *body,
                      size_t body_len);

/* ---- doh_h1.c, doh_h2.c ---- */

void h1_room(struct doh_conn *c, uint8_t **ret, size_t *ret_len);
void h1_got(struct doh_conn *c, size_t n);
/* A response was given outside of h1_got(): what was read already has its turn. */
void h1_go_on(struct doh_conn *c);
void h1_respond(struct doh_request *r, const struct doh_response *a); /* r is gone */

bool h2_begin(struct doh_conn *c);
void h2_got(struct doh_conn *c, const uint8_t *data, size_t n);
/* Sends what there is to be sent, as much as the peer takes. */
void h2_go_on(struct doh_conn *c);
void h2_respond(struct doh_request *r, const struct doh_response *a); /* the same */
/* The session is not to speak of it any more. */
void h2_forget(struct doh_request *r);
/* Tells the peer that further requests are to go elsewhere. */
void h2_retire(struct doh_conn *c);
void h2_end(struct doh_conn *c);
