/* One request on its way through the API: what came, who asks, how the answer is to look. It is
 * made by serve.c, and gone with its answer: nobody may touch it afterwards. */
#pragma once

#include "base/str.h"
#include "net/exchange.h"
#include "registry/access.h"
#include "registry/fault.h"
#include "registry/negotiate.h"
#include "registry/registry.h"
#include "registry/request.h"

struct server;

struct call {
    struct server *server;
    struct registry *registry;
    struct exchange *exchange; /* NULL: the peer has gone, or a call from inside */
    const char *given;         /* the request's body */
    size_t given_len;
    const char *given_type; /* Content-Type of a call from inside, or NULL */
    struct arena arena;
    struct request request;
    const struct user *user;
    struct wish wish; /* how the answer is to look */
    struct fault fault;
    json_t *warnings;   /* texts; NULL: none */
    struct item **made; /* where the object goes that it is answered with; NULL: nobody asks */
    json_t *managers;   /* managedFields as an apply leaves them; NULL: no apply */
    /* the answer, while it waits to be durable */
    int status;
    struct strbuf body;
    const char *content_type;
    bool packed; /* in gzip */
};

/* A call of this process itself, whose answer nobody reads: the caller sets request and body, and
 * what it calls ends it. */
struct call *call_inside(struct registry *r);
/* Finds what the request asks for and does it, whoever asks. -1: the fault is set; else the call is
 * answered, or on its way, and gone. */
int call_route(struct call *c);
/* Ends a call that was not answered. */
void call_free(struct call *c);
/* The value of a header field, or NULL. */
const char *call_header(const struct call *c, const char *name);

/* Answers with a document (a reference is taken over) in the form that was wished for. Objects and
 * lists of the call's resource only where a table or the metadata alone may be wanted. */
void call_answer(struct call *c, int status, json_t *doc);
/* With an object as it is stored. */
void call_answer_item(struct call *c, int status, struct item *i);
/* With a text of a type of its own; takes over the body. */
void call_answer_text(struct call *c, int status, const char *content_type, struct strbuf *body);
/* With the fault. */
void call_fail(struct call *c);
void call_warn(struct call *c, const char *fmt, ...) printf_like(2, 3);
/* The exchange belongs to the caller (a watch) from now on; the call is gone. */
struct exchange *call_detach(struct call *c);
